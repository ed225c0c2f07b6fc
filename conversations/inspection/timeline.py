"""One conversation as a timeline, a page at a time: what log and archive hold, and checkpoints."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from .. import keys, store
from ..assistant import keys as checkpoint_keys
from ..errors import Unavailable
from ..models import Conversation, Event, Turn

PAGE_ENTRIES = 50
MOST_CHECKPOINTS = 60
# Of an entry's data, what nobody has written.
FACTS = (
    "role",
    "author",
    "user_id",
    "owner",
    "device_id",
    "client_id",
    "message_id",
    "turn_id",
    "attempt",
    "node",
    "status",
    "interrupt_id",
    "from_seq",
    "to_seq",
    "by",
)
CONTENT = ("content", "title", "topic", "value", "interrupts", "error")


@dataclass
class Item:
    """An entry of the log. ``where``: redis, archive or both. ``content`` is for whoever may see it."""

    seq: int
    kind: str
    at: datetime | None
    epoch: int
    chain: str
    where: str
    body_bytes: int
    facts: list[tuple[str, str]]
    content: list[tuple[str, str]]
    checkpoints: list["Checkpoint"] = field(default_factory=list)

    @property
    def is_failure(self) -> bool:
        return self.kind == "turn.finished" and ("status", "failed") in self.facts


@dataclass
class Checkpoint:
    checkpoint_id: str
    turn_id: str
    at: datetime
    step: str
    source: str
    is_head: bool


@dataclass
class Page:
    """Newest first. ``older``: the seq to go on before, None at the end. ``is_whole``: Redis was there to be asked."""

    items: list[Item]
    turns: list[Turn]
    older: int | None
    is_whole: bool


def load_page(row: Conversation, before: int | None = None, entries: int = PAGE_ENTRIES) -> Page:
    """Return the newest entries before a seq. Costs a page, however long the conversation is.

    Without Redis, what the archive has.
    """
    conversation_id, is_whole = str(row.pk), True
    fresh: list[Item] = []
    try:
        fresh = _from_stream(row, conversation_id, before, entries + 1)
    except Unavailable:
        is_whole = False
    items = fresh
    if len(items) <= entries:
        lowest = items[-1].seq if items else before
        items = items + _from_archive(row, lowest, entries + 1 - len(items))
    older = items[entries - 1].seq if len(items) > entries else None
    items = items[:entries]
    turns: list[Turn] = []
    if items:
        within = Turn.objects.filter(conversation=row, seq__gte=items[-1].seq, seq__lte=items[0].seq)
        turns = list(within.order_by("-seq")[:entries])
    if is_whole:
        _add_checkpoints(conversation_id, items, is_newest=before is None)
    return Page(items, turns, older, is_whole)


def _from_stream(row: Conversation, conversation_id: str, before: int | None, most: int) -> list[Item]:
    with store.mapped_errors(), store.connect_sync() as redis, redis.pipeline(transaction=True) as pipe:
        pipe.hget(keys.meta(conversation_id), "epoch")
        highest = "+" if before is None else f"({before}-0"
        pipe.xrevrange(keys.log(conversation_id), highest, "-", count=most)
        epoch, rows = pipe.execute()
    return [
        _item(
            int(number.split(b"-")[0]),
            fields[b"k"].decode(),
            int(epoch or 0),
            fields[b"c"].decode(),
            fields[b"b"],
            "both" if int(number.split(b"-")[0]) <= row.archived_seq else "redis",
        )
        for number, fields in rows
    ]


def _from_archive(row: Conversation, before: int | None, most: int) -> list[Item]:
    rows = Event.objects.filter(conversation=row)
    if before is not None:
        rows = rows.filter(seq__lt=before)
    return [
        _item(each.seq, each.kind, each.epoch, each.chain, each.body.encode(), "archive")
        for each in rows.order_by("-seq")[:most]
    ]


def _item(seq: int, kind: str, epoch: int, chain: str, body: bytes, where: str) -> Item:
    try:
        entry = orjson.loads(body)
        data, at = dict(entry["data"]), datetime.fromisoformat(entry["at"])
    except (ValueError, KeyError, TypeError):  # somebody has changed it; the consistency check says so
        data, at = {}, None
    facts = [(name, str(data[name])) for name in FACTS if data.get(name) not in (None, "")]
    content = [(name, _text(data[name])) for name in CONTENT if data.get(name) not in (None, "")]
    return Item(seq, kind, at, epoch, chain, where, len(body), facts, content)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _add_checkpoints(conversation_id: str, items: list[Item], *, is_newest: bool) -> None:
    """Hang each checkpoint on the entry that it was written after."""
    dated = [item for item in items if item.at is not None]
    if not dated:
        return
    oldest = dated[-1].at.timestamp() * 1_000_000 if dated[-1].at else 0
    newest = "+inf" if is_newest or dated[0].at is None else dated[0].at.timestamp() * 1_000_000
    try:
        found = _read_checkpoints(conversation_id, oldest, newest)
    except Unavailable:
        return
    for each in found:
        home = next((item for item in dated if item.at is not None and item.at <= each.at), dated[-1])
        home.checkpoints.append(each)


def _read_checkpoints(conversation_id: str, oldest: float, newest: Any) -> list[Checkpoint]:
    prefix = checkpoint_keys.prefix(conversation_id).encode()
    with store.mapped_errors(), store.connect_sync() as redis:
        with redis.pipeline(transaction=False) as pipe:
            order = checkpoint_keys.order(conversation_id)
            pipe.zrevrangebyscore(order, newest, oldest, start=0, num=MOST_CHECKPOINTS, withscores=True)
            pipe.hgetall(checkpoint_keys.heads(conversation_id))
            places, heads = pipe.execute()
        with redis.pipeline(transaction=False) as pipe:
            for place, _ in places:
                document = prefix + place.partition(b"|")[2]
                pipe.execute_command("JSON.GET", document, "$.step", "$.source")
            documents = pipe.execute()
    newest_ids = set(heads.values())
    return [
        _checkpoint(place, micros, document, newest_ids)
        for (place, micros), document in zip(places, documents, strict=True)
    ]


def _checkpoint(place: bytes, micros: float, document: bytes | None, newest_ids: set[bytes]) -> Checkpoint:
    turn_id, _, name = place.partition(b"|")
    checkpoint_id = name.rpartition(b":")[2]
    facts = orjson.loads(document) if document else {}
    step, source = ("".join(str(value) for value in facts.get(path, [])) for path in ("$.step", "$.source"))
    at = datetime.fromtimestamp(micros / 1_000_000, UTC)
    return Checkpoint(checkpoint_id.decode(), turn_id.decode(), at, step, source, checkpoint_id in newest_ids)
