"""The archiver's side towards the database: pages of logs become rows. Synchronous; runs in a thread.

One transaction holds one page of one log. Its first statement moves the archive's head on by compare-and-swap,
so two archivers at once cannot both insert, and a copy that was cut off is simply made again.
"""

from datetime import UTC, datetime
from typing import Any

import orjson
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from .archive_pages import LogPage
from .archive_turns import CHANGING, turn_rows
from .faults import point
from .models import Conversation, Event, Member, Message, Turn

ROWS_AT_ONCE = 500
SHORT_TEXT = 200


def load_rows(conversation_ids: list[str]) -> dict[str, Conversation]:
    return {str(row.pk): row for row in Conversation.objects.filter(pk__in=conversation_ids)}


def store_page(page: LogPage, row: Conversation) -> bool:
    """Copy a page and move the archive's head on; return False where another archiver was first."""
    with transaction.atomic():
        if not _move_head(page, row):
            return False
        parsed = [orjson.loads(entry.body) for entry in page.entries]
        Event.objects.bulk_create(_event_rows(page, parsed))
        Message.objects.bulk_create(_message_rows(page, parsed))
        Turn.objects.bulk_create(
            turn_rows(page, parsed), update_conflicts=True, unique_fields=["id"], update_fields=CHANGING
        )
        _move_reads(page)
        point("archive.inserting")
    return True


def _move_head(page: LogPage, row: Conversation) -> bool:
    now = timezone.now()
    deleted = page.state != Conversation.Status.ACTIVE
    facts: dict[str, Any] = {
        "epoch": page.epoch,
        "title": _short(page.title),
        "topic": _short(page.topic),
        "message_count": page.message_count,
        "preview": _short(page.preview),
        "cleared_seq": page.cleared,
        "status": Conversation.Status.DELETED if deleted else Conversation.Status.ACTIVE,
        "deleted_at": (row.deleted_at or now) if deleted else None,
    }
    if page.language:
        facts["language"] = page.language[:16]
    if page.active_ms:
        facts["last_active_at"] = datetime.fromtimestamp(page.active_ms / 1000, UTC)
    if page.entries:
        facts |= {"archived_seq": page.entries[-1].seq, "archived_chain": page.entries[-1].chain}
    unmoved = Conversation.objects.filter(
        pk=row.pk, epoch=row.epoch, archived_seq=row.archived_seq, archived_chain=row.archived_chain
    )
    return unmoved.update(**facts) == 1


def _storable(text: str) -> str:
    """PostgreSQL's text holds no NUL. The exact content stands in the event, where devices get it from."""
    return text.replace("\0", "")


def _short(text: str) -> str:
    return _storable(text)[:SHORT_TEXT]


def _event_rows(page: LogPage, parsed: list[dict[str, Any]]) -> list[Event]:
    return [
        Event(
            conversation_id=page.conversation_id,
            epoch=page.epoch,
            seq=entry.seq,
            chain=entry.chain,
            kind=entry.kind,
            at=datetime.fromisoformat(body["at"]),
            body=entry.body.decode(),
        )
        for entry, body in zip(page.entries, parsed, strict=True)
    ]


def _message_rows(page: LogPage, parsed: list[dict[str, Any]]) -> list[Message]:
    said = [(e.seq, b) for e, b in zip(page.entries, parsed, strict=True) if e.kind == "message"]
    known = Message.objects.filter(message_id__in=[body["data"]["message_id"] for _, body in said])
    message_ids = {str(each) for each in known.values_list("message_id", flat=True)}
    client_ids = _client_ids(page.conversation_id, [body["data"].get("client_id", "") for _, body in said])
    rows = []
    for seq, body in said:
        data = body["data"]
        if data["message_id"] in message_ids:
            continue
        message_ids.add(data["message_id"])
        # Redis keeps client_ids for days only: one that came again later is an entry, but not found by it.
        author, client_id = data["author"], data.get("client_id", "")
        if (author, client_id) in client_ids:
            client_id = ""
        client_ids.add((author, client_id))
        rows.append(_message_row(page.conversation_id, seq, body, client_id))
    return rows


def _client_ids(conversation_id: str, client_ids: list[str]) -> set[tuple[str, str]]:
    wanted = [each for each in client_ids if each]
    found = Message.objects.filter(conversation_id=conversation_id, client_id__in=wanted)
    return set(found.values_list("author", "client_id"))


def _message_row(conversation_id: str, seq: int, body: dict[str, Any], client_id: str) -> Message:
    data = body["data"]
    return Message(
        conversation_id=conversation_id,
        seq=seq,
        message_id=data["message_id"],
        role=data["role"],
        author=data["author"],
        device_id=data.get("device_id", ""),
        client_id=client_id,
        turn_id=data.get("turn_id"),
        status=data.get("status", "complete"),
        content=_storable(data["content"]),
        at=datetime.fromisoformat(body["at"]),
    )


def _move_reads(page: LogPage) -> None:
    for user_id, seq in page.reads.items():
        behind = Member.objects.filter(conversation_id=page.conversation_id, user_id=user_id, read_seq__lt=seq)
        behind.update(read_seq=seq)


def drop_cleared(conversation_id: str, cleared_seq: int) -> None:
    """Delete what was before a clearing, a batch a transaction."""
    for model in (Event, Message, Turn):
        rows = model._default_manager.filter(conversation_id=conversation_id, seq__lt=cleared_seq)
        delete_in_batches(rows)
        point(f"archive.clearing_{model.__name__.lower()}")


def delete_in_batches(rows: QuerySet[Any]) -> None:
    """Delete rows that nothing else refers to, so that no transaction is long."""
    while ids := list(rows.values_list("pk", flat=True)[:ROWS_AT_ONCE]):
        rows.model._default_manager.filter(pk__in=ids).delete()
