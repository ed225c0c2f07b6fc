"""The archiver's side towards the database: pages of logs become rows. Synchronous; runs in a thread.

One transaction holds a page of each of several logs. A page's first statement moves the archive's head on by
compare-and-swap, so two archivers at once cannot both insert, and a copy that was cut off is simply made again.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from .archive_insert import Values, insert_rows, raise_values, update_row
from .archive_pages import LogPage, continues
from .archive_turns import store_turns
from .events import Entry
from .faults import point
from .models import Conversation, Event, Member, Message, Rating, Share, Turn
from .seats import settle_seats
from .words_index import insert_messages

ROWS_AT_ONCE = 500
SHORT_TEXT = 200

EVENT_FIELDS = ("conversation", "epoch", "seq", "chain", "kind", "at", "body")
MESSAGE_FIELDS = (
    "conversation",
    "seq",
    "message_id",
    "role",
    "author",
    "device_id",
    "client_id",
    "turn_id",
    "status",
    "content",
    "at",
)

Found = tuple[LogPage, Conversation]


class Stored(NamedTuple):
    """What became of pages: those copied, and those whose log is not what the archive holds."""

    copied: list[LogPage]
    apart: list[LogPage]


class ParsedPage(NamedTuple):
    page: LogPage
    values: Values
    entries: list[tuple[Entry, dict[str, Any], Any]]  # with the body's content, and its time as the database keeps it


def load_rows(conversation_ids: list[str]) -> dict[str, Conversation]:
    return {str(row.pk): row for row in Conversation.objects.filter(pk__in=conversation_ids)}


def store_pages(found: list[Found], *, is_careful: bool = False) -> Stored:
    """Copy pages and move the archive's heads on, all or none; leave out those where another archiver was first.

    It takes for granted that no message is in the archive already. ``is_careful`` looks, which takes longer.
    Raises IntegrityError where one is.
    """
    # In one order everywhere: two archivers that lock the same rows never wait for each other in a circle.
    found = sorted(found, key=lambda each: each[0].conversation_id)
    # Before the transaction: SQLite has one writer, and this needs no lock.
    fitting = [(page, row) for page, row in found if continues(page, row.epoch, row.archived_seq, row.archived_chain)]
    values = Values()
    parsed = {page.conversation_id: _parse(page, values) for page, _ in fitting}
    with transaction.atomic():
        copied = [page for page, row in fitting if _move_head(page, row)]
        _insert([parsed[page.conversation_id] for page in copied], is_careful)
        _follow_members(copied)
        point("archive.inserting")
    fits = {page.conversation_id for page, _ in fitting}
    return Stored(copied, [page for page, _ in found if page.conversation_id not in fits])


def _parse(page: LogPage, values: Values) -> ParsedPage:
    parsed = [(entry, orjson.loads(entry.body)) for entry in page.entries]
    return ParsedPage(page, values, [(entry, body, values.time(body["at"])) for entry, body in parsed])


def _insert(pages: list[ParsedPage], is_careful: bool) -> None:
    if not any(each.entries for each in pages):
        return
    insert_rows(Event, EVENT_FIELDS, [row for each in pages for row in _event_rows(each)])
    insert_messages(MESSAGE_FIELDS, [row for each in pages for row in _message_rows(each, is_careful)])
    store_turns([(each.page, [body for _, body, _ in each.entries]) for each in pages])


def _move_head(page: LogPage, row: Conversation) -> bool:
    news = {name: value for name, value in _facts(page, row).items() if getattr(row, name) != value}
    if not news:
        return True  # read once more, because a feed was not told yet
    before = {name: getattr(row, name) for name in ("id", "epoch", "archived_seq", "archived_chain")}
    return update_row(Conversation, news, before)


def _facts(page: LogPage, row: Conversation) -> dict[str, Any]:
    deleted = page.state != Conversation.Status.ACTIVE
    facts: dict[str, Any] = {
        "epoch": page.epoch,
        "title": _short(page.title),
        "topic": _short(page.topic),
        "message_count": page.message_count,
        "preview": _short(page.preview),
        "cleared_seq": page.cleared,
        "status": Conversation.Status.DELETED if deleted else Conversation.Status.ACTIVE,
        "deleted_at": (row.deleted_at or timezone.now()) if deleted else None,
    }
    if page.language:
        facts["language"] = page.language[:16]
    if page.active_ms:
        facts["last_active_at"] = datetime.fromtimestamp(page.active_ms / 1000, UTC)
    if page.entries:
        facts |= {"archived_seq": page.entries[-1].seq, "archived_chain": page.entries[-1].chain}
    return facts


def _storable(text: str) -> str:
    """PostgreSQL's text holds no NUL. The exact content stands in the event, where devices get it from."""
    return text.replace("\0", "")


def _short(text: str) -> str:
    return _storable(text)[:SHORT_TEXT]


def _event_rows(parsed: ParsedPage) -> list[tuple[Any, ...]]:
    conversation, epoch = parsed.values.uuid(parsed.page.conversation_id), parsed.page.epoch
    return [
        (conversation, epoch, entry.seq, entry.chain, entry.kind, at, entry.body.decode())
        for entry, _, at in parsed.entries
    ]


def _message_rows(parsed: ParsedPage, is_careful: bool) -> list[tuple[Any, ...]]:
    conversation_id = parsed.page.conversation_id
    said = [(entry.seq, body["data"], at) for entry, body, at in parsed.entries if entry.kind == "message"]
    if is_careful:
        said = _new_messages(conversation_id, said)
    uuid = parsed.values.uuid
    conversation = uuid(conversation_id)
    return [
        (
            conversation,
            seq,
            uuid(data["message_id"]),
            data["role"],
            data["author"],
            data.get("device_id", ""),
            data.get("client_id", ""),
            uuid(data["turn_id"]) if data.get("turn_id") else None,
            data.get("status", "complete"),
            _storable(data["content"]),
            at,
        )
        for seq, data, at in said
    ]


Said = list[tuple[int, dict[str, Any], Any]]


def _new_messages(conversation_id: str, said: Said) -> Said:
    """Leave out what the archive has, and the client_ids that another message has there.

    Redis keeps client_ids for days only: one that came again later is an entry, but not found by it.
    """
    known = Message.objects.filter(message_id__in=[data["message_id"] for _, data, _ in said])
    message_ids = {str(each) for each in known.values_list("message_id", flat=True)}
    client_ids = _client_ids(conversation_id, {(data["author"], data.get("client_id", "")) for _, data, _ in said})
    new: Said = []
    for seq, data, at in said:
        if data["message_id"] in message_ids:
            continue
        message_ids.add(data["message_id"])
        sent = (data["author"], data.get("client_id", ""))
        new.append((seq, data | {"client_id": ""} if sent in client_ids else data, at))
        client_ids.add(sent)
    return new


def _client_ids(conversation_id: str, sent: set[tuple[str, str]]) -> set[tuple[str, str]]:
    authors, client_ids = {author for author, _ in sent}, {client_id for _, client_id in sent}
    found = Message.objects.filter(conversation_id=conversation_id, author__in=authors, client_id__in=client_ids)
    # Says again what the index is made under, or SQLite reads the whole conversation.
    return set(found.exclude(client_id="").values_list("author", "client_id"))


def _follow_members(pages: list[LogPage]) -> None:
    """Move on those who have read further, and seat or unseat those who came or went.

    Only who is behind is written: most have read nothing since, and come and go seldom.
    """
    reads = {page.conversation_id: page.reads for page in pages}
    members = Member.objects.filter(conversation_id__in=list(reads)).order_by("pk")
    found: list[Any] = list(
        members.values_list("pk", "conversation_id", "user_id", "read_seq", "role", "left_seq", named=True)
    )
    now = [(row.pk, reads[str(row.conversation_id)].get(str(row.user_id), 0), row.read_seq) for row in found]
    raise_values(Member, "read_seq", [(pk, seq) for pk, seq, before in now if seq > before])
    settle_seats([page for page in pages if page.entries], found)


def drop_cleared(conversation_id: str, cleared_seq: int) -> None:
    """Delete what was before a clearing, a batch a transaction."""
    Share.objects.filter(conversation_id=conversation_id, seq__lt=cleared_seq).exclude(title="").update(title="")
    for model in (Event, Message, Turn, Rating):
        rows = model._default_manager.filter(conversation_id=conversation_id, seq__lt=cleared_seq)
        delete_in_batches(rows)
        point(f"archive.clearing_{model.__name__.lower()}")


def delete_in_batches(rows: QuerySet[Any]) -> None:
    """Delete rows that nothing else refers to, so that no transaction is long."""
    while ids := list(rows.values_list("pk", flat=True)[:ROWS_AT_ONCE]):
        rows.model._default_manager.filter(pk__in=ids).delete()
