"""Below the stream: what the archive knows of a log that Redis keeps only the newest part of, or nothing."""

import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

from . import keys, log, placing, store
from .archive_base import load_base, take_epoch
from .errors import Unavailable
from .events import NO_CHAIN, Entry, message_item
from .faults import point
from .models import Conversation, Event, Message
from .threads import in_database, mapped_errors

ROWS = 500
LOCK_MS = 5_000
WAIT_SECONDS = 5
POLL_SECONDS = 0.02


@mapped_errors()
async def bring_back(conversation_id: str) -> bool:
    """Put a log that Redis does not hold back from the archive; return whether there is one now.

    Parked whole: under its old epoch. Lost: under a new one, so that no cursor is silently reused, and with the
    turns that were not finished. Any number of callers at once make one log. Raises Unavailable.
    """
    if not await Conversation.objects.filter(pk=conversation_id, status="active").aexists():
        return False
    caller, deadline = str(uuid4()), time.monotonic() + WAIT_SECONDS
    lock = [keys.bringing(conversation_id)]
    while time.monotonic() < deadline:
        # Only for quiet: without the lock, several epochs would be used up where one is enough.
        if await store.run_script("hold_lease", lock, [caller, LOCK_MS]):
            try:
                return await _bring_back(conversation_id)
            finally:
                await asyncio.shield(store.run_script("hold_lease", lock, [caller, 0]))
        if await _is_there(conversation_id):
            return True
        await asyncio.sleep(POLL_SECONDS)
    raise Unavailable("This conversation is being brought back; try again.", retry_after=1)


async def _is_there(conversation_id: str) -> bool:
    with store.mapped_errors():
        return bool(await store.client().exists(keys.meta(conversation_id)))


async def _bring_back(conversation_id: str) -> bool:
    if await _is_there(conversation_id):
        return True
    base = await in_database(load_base, conversation_id)
    if base is None:
        return False
    with store.mapped_errors():
        mark = await store.client().hget(keys.parked(keys.tag(conversation_id)), conversation_id)
    parked = mark == b"%d %d %s" % (base.row.epoch, base.position.seq, base.position.chain.encode())
    epoch = base.row.epoch if parked else await in_database(take_epoch, base.row)
    point("bring_back.epoch_taken")
    if epoch is not None:
        position = base.position._replace(epoch=epoch)
        await placing.place_log(placing.Placing(base, position, base.row.cleared_seq, with_turns=not parked))
    # Where another one was faster there is a log as well, and as good.
    return await _is_there(conversation_id)


@mapped_errors()
async def read_below(
    conversation_id: str, cursor: "log.Cursor", *, first_kept: int, most_bytes: int
) -> list[Entry] | None:
    """Return up to 500 archived entries after the cursor and below the stream that fit, verified to be gapless.

    None: the archive does not hold them, or the cursor's chain is not the archive's. Raises Unavailable.
    """
    rows = Event.objects.filter(conversation_id=conversation_id, seq__gte=cursor.seq, seq__lt=first_kept)
    found = [row async for row in rows.order_by("seq")[: ROWS + 1]]
    if cursor.seq > 0:
        if not found or found[0].seq != cursor.seq:
            return None
        if cursor.chain and found[0].chain != cursor.chain:
            return None
        found = found[1:]
    elif cursor.chain not in ("", NO_CHAIN):
        return None
    entries = [Entry(row.seq, row.chain, row.kind, row.body.encode()) for row in found]
    if [entry.seq for entry in entries] != list(range(cursor.seq + 1, cursor.seq + 1 + len(entries))):
        return None
    if not entries and cursor.seq + 1 < first_kept:
        return None
    return log.cut(entries, most_bytes)


@mapped_errors()
async def messages_before(conversation_id: str, before_seq: int, limit: int, *, after: int) -> list[dict[str, Any]]:
    """Return up to ``limit`` archived messages below a seq (0: the newest) and after a clearing, oldest first."""
    rows = Event.objects.filter(conversation_id=conversation_id, seq__gt=after, kind="message")
    if before_seq:
        rows = rows.filter(seq__lt=before_seq)
    newest = rows.order_by("-seq").values_list("seq", "body")[:limit]
    # From the entries' own bytes, so that a message is the same from here and from the stream.
    return [message_item(seq, body.encode()) async for seq, body in newest][::-1]


@mapped_errors()
async def find_sent(conversation_id: str, user_id: str, client_id: str) -> tuple[int, str] | None:
    """Return (seq, message_id) of what this client_id became, however long ago."""
    row = await (
        Message.objects.filter(conversation_id=conversation_id, author=user_id, client_id=client_id)
        .exclude(client_id="")  # what the index is made under; without it SQLite reads the whole conversation
        .values_list("seq", "message_id")
        .afirst()
    )
    return (row[0], str(row[1])) if row and isinstance(row[1], UUID) else None
