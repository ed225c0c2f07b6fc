"""Below the stream: what the archive knows of a log that Redis keeps only the newest part of, or nothing."""

from typing import Any
from uuid import UUID

from django.db.models import F

from . import log
from .events import NO_CHAIN, Entry, Position, time_text
from .models import Conversation, Event, Member, Message

ROWS = 500


async def bring_back(conversation_id: str) -> bool:
    """Put a log that Redis does not hold back from the archive; return whether there is one now.

    Parked whole: under its old epoch. Lost: under a new one, so that no cursor is silently reused.
    """
    row = await Conversation.objects.filter(pk=conversation_id, status="active").afirst()
    if row is None:
        return False
    memberships = [m async for m in Member.objects.filter(conversation=row, left_seq=None)]
    position = Position(row.epoch + 1, row.archived_seq, row.archived_chain)
    await log.create(
        conversation_id,
        position=position,
        cleared=row.cleared_seq,
        born_ms="0",
        meta={"title": row.title, "topic": row.topic, "count": row.message_count, "preview": row.preview},
        members={str(m.user_id): m.role for m in memberships},
        reads={f"r{m.user_id}": m.read_seq for m in memberships},
    )
    await Conversation.objects.filter(pk=conversation_id).aupdate(epoch=F("epoch") + 1)
    return True


async def read_below(conversation_id: str, cursor: "log.Cursor", *, first_kept: int) -> list[Entry] | None:
    """Return up to 500 archived entries after the cursor and below the stream, verified to be gapless.

    None: the archive does not hold them, or the cursor's chain is not the archive's.
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
    return entries


async def messages_before(conversation_id: str, before_seq: int, limit: int, *, after: int) -> list[dict[str, Any]]:
    """Return up to ``limit`` archived messages below a seq (0: the newest) and after a clearing, oldest first."""
    rows = Message.objects.filter(conversation_id=conversation_id, seq__gt=after)
    if before_seq:
        rows = rows.filter(seq__lt=before_seq)
    newest = [row async for row in rows.order_by("-seq")[:limit]]
    return [message_row(row) for row in reversed(newest)]


def message_row(row: Message) -> dict[str, Any]:
    """Return an archived message as `snapshot` and `history` show it: the same as from its log entry."""
    item: dict[str, Any] = {
        "seq": row.seq,
        "at": time_text(row.at),
        "message_id": str(row.message_id),
        "role": row.role,
        "author": row.author,
        "content": row.content,
        "status": row.status,
    }
    optional = {
        "device_id": row.device_id,
        "client_id": row.client_id,
        "turn_id": str(row.turn_id) if row.turn_id else "",
    }
    return item | {name: value for name, value in optional.items() if value}


async def find_sent(conversation_id: str, user_id: str, client_id: str) -> tuple[int, str] | None:
    """Return (seq, message_id) of what this client_id became, however long ago."""
    row = await (
        Message.objects.filter(conversation_id=conversation_id, author=user_id, client_id=client_id)
        .values_list("seq", "message_id")
        .afirst()
    )
    return (row[0], str(row[1])) if row and isinstance(row[1], UUID) else None
