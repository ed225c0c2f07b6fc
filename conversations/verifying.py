"""Whether the logs are those of the archive: looked at once for each start of Redis, and repaired where not."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone

from . import keys, log, restoring, store
from .archive_base import UNFINISHED
from .archive_pages import LogPage
from .batching import batcher
from .models import Conversation, Member, Turn, User
from .rebuilding import ROWS, rebuild
from .threads import in_database

logger = structlog.get_logger(__name__)


async def verify_once(keep_going: Callable[[], Awaitable[None]]) -> int:
    """Compare every log with the archive's head, once for each start of Redis; return how many were rebuilt.

    Nobody waits for it: a log that is opened meanwhile is compared when it is copied next. ``keep_going`` is
    called for each page of rows.
    """
    facts, verified = batcher().command("INFO", "server"), batcher().command("GET", keys.VERIFIED)
    run_id = (await facts).partition(b"run_id:")[2].split()[0]
    if await verified == run_id:
        return 0
    rebuilt, last = 0, None
    while rows := await in_database(_rows_after, last):
        await keep_going()
        rebuilt += await _verify([row for row in rows if row.status == Conversation.Status.ACTIVE])
        last = rows[-1].pk
    with store.mapped_errors():
        await store.client().set(keys.VERIFIED, run_id)
    logger.info("archive.verified", rebuilt=rebuilt)
    return rebuilt


def _rows_after(last: Any) -> list[Conversation]:
    rows = Conversation.objects.order_by("pk")
    return list((rows.filter(pk__gt=last) if last else rows)[:ROWS])


async def _verify(rows: list[Conversation]) -> int:
    heads = await log.heads([str(row.pk) for row in rows])
    rebuilt = 0
    for row in rows:
        head = heads.get(str(row.pk))
        if head is None:
            await _bring_back_unfinished(row)
            continue
        epoch, seq, chain = head.position
        if epoch < row.epoch or seq < row.archived_seq or (seq == row.archived_seq and chain != row.archived_chain):
            rebuilt += await rebuild(str(row.pk))
        elif seq > row.archived_seq:  # the archiver compares the chains when it copies
            await _mark_dirty(str(row.pk))
    return rebuilt


async def _bring_back_unfinished(row: Conversation) -> None:
    """A lost log comes back when somebody wants it; with an unfinished turn the answer is wanted now."""
    if await Turn.objects.filter(conversation=row, status__in=UNFINISHED).aexists():
        await restoring.bring_back(str(row.pk))


async def _mark_dirty(conversation_id: str) -> None:
    now = await store.now_ms()
    with store.mapped_errors():
        await store.client().zadd(keys.dirty(keys.tag(conversation_id)), {conversation_id: now}, nx=True)


async def adopt(page: LogPage) -> None:
    """Make the row of a log that the database does not know, as after a restored backup; its entries follow.

    Raises ValueError where its people are unknown too.
    """
    with store.mapped_errors():
        members = await store.client().hgetall(keys.members(page.conversation_id))
    await in_database(_make_row, page, {int(user): role.decode() for user, role in members.items()})
    logger.warning("log.adopted", conversation_id=page.conversation_id)


@transaction.atomic
def _make_row(page: LogPage, members: dict[int, str]) -> None:
    known = set(User.objects.filter(pk__in=members).values_list("pk", flat=True))
    owners = [user for user, role in members.items() if role == "owner" and user in known]
    if not owners:
        raise ValueError("a log without a known owner")
    row = Conversation.objects.create(
        pk=page.conversation_id, owner_id=owners[0], epoch=page.epoch, last_active_at=timezone.now()
    )
    Member.objects.bulk_create(
        Member(conversation=row, user_id=user, role=role) for user, role in members.items() if user in known
    )
