"""The archiver: copies what is new in the logs into the database, and what follows from that.

Every node has this task; a lease lets one at a time work, to spare the database. Nothing depends on the lease:
each step is a compare-and-swap or a script that may be repeated, so a kill anywhere loses and doubles nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from functools import partial
from typing import TypeVar
from uuid import uuid4

import orjson
import structlog
from django.db import DatabaseError, InterfaceError, OperationalError

from . import erasing, erasing_people, feed, keys, parking, rebuilding, verifying
from .archive_pages import LogPage, confirm_pages, drop_marks, find_dirty, put_off, read_pages
from .archive_rows import Found, Stored, drop_cleared, load_rows, store_pages
from .batching import batcher
from .errors import Refused, TetherError, Unavailable
from .faults import point
from .models import Conversation
from .pacing import Pace

PASS_SECONDS = 0.5
# Short, since it disturbs; what is left over has its turn after a rest.
MOST_SECONDS_A_PASS = 0.1
LEASE_MS = 5_000
MOST_A_PASS = 200
ROUND = 20
PUT_OFF_SECONDS = 30
OUTAGE_SECONDS = 5

T = TypeVar("T")

logger = structlog.get_logger(__name__)

OUTAGES = (Unavailable, OperationalError, InterfaceError)
FAULTS = (DatabaseError, TetherError, ValueError, KeyError)


class Archiver:
    """One node's archiver. ``forget`` drops a conversation's checkpoints."""

    def __init__(self, node: str, *, forget: erasing.Forget = erasing.forget_checkpoints) -> None:
        self.owner = f"{node}:{uuid4()}"
        self._parker = parking.Parker()
        self._eraser = erasing.Eraser(forget)
        self._people_eraser = erasing_people.PeopleEraser(forget)
        self._pace = Pace()
        self._is_behind = False

    async def run(self) -> None:
        """Archive until cancelled. An outage of Redis or the database is waited out."""
        try:
            while True:
                await self._guarded_pass()
                await self._pace.rest(MOST_SECONDS_A_PASS if self._is_behind else PASS_SECONDS)
        finally:
            with contextlib.suppress(TetherError):
                await asyncio.shield(self._hold_lease(0))

    async def _guarded_pass(self) -> None:
        self._is_behind = False
        try:
            if await self._hold_lease(LEASE_MS):
                await self.run_once()
        except OUTAGES as error:
            logger.warning("archive.waits", error=str(error))
        except Exception:  # whatever it is, the logs wait in Redis, and the next pass may be able to copy them
            logger.exception("archive.failed")

    async def _hold_lease(self, ms: int) -> bool:
        return bool(await batcher().submit("hold_lease", [keys.ARCHIVER], [self.owner, ms]))

    async def run_once(self) -> int:
        """Do one pass, lease or not; return how many conversations are archived whole that were not.

        Raises Unavailable, or the database's own error when that does not answer.
        """
        await verifying.verify_once(self._keep_lease)
        done = 0
        deadline = time.monotonic() + MOST_SECONDS_A_PASS
        waiting = await find_dirty(MOST_A_PASS)
        while waiting and time.monotonic() < deadline:
            await self._keep_lease()
            copied, whole = await self._copy_and_confirm(waiting[:ROUND])
            # Those with another page go behind the others, so that a busy one does not hold them up.
            waiting = waiting[ROUND:] + [page.conversation_id for page in copied if not _is_last(page)]
            done += whole
        self._is_behind = bool(waiting)
        await self._eraser.erase_due()
        await self._people_eraser.erase_due()
        await self._parker.park_some()
        return done

    async def _keep_lease(self) -> None:
        await self._hold_lease(LEASE_MS)

    async def _copy_and_confirm(self, conversation_ids: list[str]) -> tuple[list[LogPage], int]:
        """Copy a page of each log; return the pages that were copied, and how many logs are archived whole now."""
        copied = await self._copy(conversation_ids)
        await asyncio.gather(*(_tell_comings_and_goings(page) for page in copied))
        told = await asyncio.gather(*(_tell(page) for page in copied if _is_last(page)))
        whole = await confirm_pages(copied, {each for each in told if each})
        point("archive.confirmed")
        return copied, whole

    async def _copy(self, conversation_ids: list[str]) -> list[LogPage]:
        """Copy a page of each log; return those that are durable in the database."""
        rows = await self._pace.in_database(load_rows, conversation_ids)
        pages = await read_pages({each: _archived_seq(rows.get(each)) for each in conversation_ids})
        point("archive.read")
        await drop_marks([each for each, page in pages.items() if page is None])
        found: list[Found] = []
        for page in pages.values():
            if page is not None and page.conversation_id in rows:
                found.append((page, rows[page.conversation_id]))
            elif page is not None:
                await self._guarded(page.conversation_id, verifying.adopt(page))
        stored = await self._store(found)
        for page in stored.apart:
            await self._guarded(page.conversation_id, rebuilding.rebuild(page.conversation_id))
        for page in stored.copied:
            if page.cleared:
                await self._pace.in_database(drop_cleared, page.conversation_id, page.cleared)
        return stored.copied

    async def _store(self, found: list[Found]) -> Stored:
        """Store pages in one transaction; should one of them upset it, each in its own."""
        if not found:
            return Stored([], [])
        try:
            stored = await self._pace.in_database(store_pages, found)
        except OUTAGES + FAULTS:
            stored = Stored([], [])
            for page, row in found:
                alone = await self._guarded(page.conversation_id, self._store_alone(page, row))
                if alone is not None:
                    stored = Stored(stored.copied + alone.copied, stored.apart + alone.apart)
        point("archive.inserted")
        return stored

    async def _store_alone(self, page: LogPage, row: Conversation) -> Stored:
        return await self._pace.in_database(partial(store_pages, is_careful=True), [(page, row)])

    async def _guarded(self, conversation_id: str, work: Awaitable[T]) -> T | None:
        """Do this for one log; if it fails, let the others go first and return None. Raises what is an outage."""
        try:
            return await work
        except OUTAGES:
            # Should only this one's rows upset the database, the others get their turn in the next pass.
            await put_off(conversation_id, OUTAGE_SECONDS)
            raise
        except FAULTS as error:
            # The first line only: a database's details may quote what people wrote.
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            logger.error("archive.put_off", conversation_id=conversation_id, error=reason)
            await put_off(conversation_id, PUT_OFF_SECONDS)
            return None


def _archived_seq(row: Conversation | None) -> int:
    return row.archived_seq if row else 0


def _is_last(page: LogPage) -> bool:
    return not page.entries or page.entries[-1].seq == page.seq


async def _tell_comings_and_goings(page: LogPage) -> None:
    """Tell the feeds of those who came or went, for the same reason. A crash just here costs them a moment's list."""
    for entry in page.entries:
        if entry.kind not in ("member.joined", "member.left"):
            continue
        user_id = orjson.loads(entry.body)["data"]["user_id"]
        if entry.kind == "member.joined" and user_id in page.members:
            await feed.tell_joined(user_id, page.conversation_id, entry.seq)
        elif entry.kind == "member.left" and user_id not in page.members:
            await feed.tell_left(user_id, page.conversation_id, entry.seq)


async def _tell(page: LogPage) -> str:
    """Tell the members' feeds, in case that the node which wrote has died before it did; return whom it is told of."""
    try:
        return page.conversation_id if await feed.tell_updated(page.conversation_id) else ""
    except Refused:  # deleted: nothing to tell
        return page.conversation_id
