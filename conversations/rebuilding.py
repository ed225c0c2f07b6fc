"""When log and archive disagree: one of them was set back by a restored backup or a lost disk.

The archive is the base. Entries that only the log had are appended again after it, so that nothing acked is lost;
the epoch rises, so that every device takes a snapshot instead of going on from a cursor that means something else.
"""

from typing import Any

import orjson
import structlog
from django.utils import timezone

from . import keys, store
from .archive_base import Base, QueuedTurn, load_base, message_seqs, source_of, take_epoch
from .archive_known import Known, Places
from .events import Entry, chain_after, encode_body
from .faults import point
from .models import Conversation, Event
from .placing import Placing, place_log
from .superseding import Range, runs_of
from .threads import in_database

TRIES = 20
ROWS = 500

logger = structlog.get_logger(__name__)


async def rebuild(conversation_id: str) -> bool:
    """Replace the log by the archive and what only the log had, under a new epoch; return whether that was done.

    Raises Unavailable.
    """
    for attempt in range(TRIES):
        base = await in_database(load_base, conversation_id)
        old = await _read_old(conversation_id)
        if base is None or old is None:
            return False
        if old.meta[b"state"] != b"active":  # it will be erased, not read
            await _mark_deleted(conversation_id)
            return False
        if attempt > 0 and _agree(base, old):  # somebody else has rebuilt it
            return True
        epoch = await in_database(take_epoch, base.row, old.epoch)
        point("rebuild.epoch_taken")
        if epoch is None:
            continue
        plan = await in_database(_plan, base, old, epoch)
        if await place_log(plan):
            point("rebuild.replaced")
            logger.warning(
                "log.rebuilt",
                conversation_id=conversation_id,
                epoch=epoch,
                kept=len(plan.entries),
                seq=base.position.seq,
            )
            return True
    return False


class OldLog:
    """A whole log as it lies in Redis."""

    def __init__(self, meta: dict[bytes, bytes], rows: list[Any]) -> None:
        self.meta = meta
        self.epoch, self.seq = int(meta[b"epoch"]), int(meta[b"seq"])
        fields = [(int(number.split(b"-")[0]), row) for number, row in rows]
        self.entries = [Entry(n, row[b"c"].decode(), row[b"k"].decode(), row[b"b"]) for n, row in fields]
        self.private = {n: row[b"x"] for n, row in fields if b"x" in row}


async def _read_old(conversation_id: str) -> OldLog | None:
    with store.mapped_errors():
        async with store.client().pipeline(transaction=True) as pipeline:
            pipeline.hgetall(keys.meta(conversation_id))
            pipeline.xrange(keys.log(conversation_id))
            meta, rows = await pipeline.execute()
    return OldLog(meta, rows) if meta else None


def _agree(base: Base, old: OldLog) -> bool:
    if old.epoch < base.row.epoch or old.seq < base.position.seq:
        return False
    if old.seq == base.position.seq:
        return old.meta[b"chain"].decode() == base.position.chain
    following = [entry for entry in old.entries if entry.seq > base.position.seq]
    if not following or following[0].seq > base.position.seq + 1:
        return bool(following) and following[0].kind == "history.cleared"
    return chain_after(base.position.chain, following[0].body) == following[0].chain


async def _mark_deleted(conversation_id: str) -> None:
    await Conversation.objects.filter(pk=conversation_id, deleted_at=None).aupdate(
        status=Conversation.Status.DELETED, deleted_at=timezone.now()
    )
    with store.mapped_errors():
        await store.client().zrem(keys.dirty(keys.tag(conversation_id)), conversation_id)


def _plan(base: Base, old: OldLog, epoch: int) -> Placing:
    """Return the log to put in place: every entry of the old one that the archive lacks gets the next seq."""
    extras = [(entry, orjson.loads(entry.body)["data"]) for entry in _after_common(base, old)]
    for index in reversed(range(len(extras))):
        if extras[index][0].kind == "history.cleared":
            extras = extras[index:]
            break
    plan = Placing(
        base,
        base.position._replace(epoch=epoch),
        base.row.cleared_seq,
        old=(old.epoch, old.seq),
    )
    known = Known(base, [data for _, data in extras])
    places = Places(extras[0][0].seq if extras else 0)
    for entry, data in extras:
        private = old.private.get(entry.seq)
        if entry.kind == "message.superseded":
            if not known.is_over(data):
                _add_superseded(plan, entry, data, private, places)
            continue
        seq = known.seq_of(entry.kind, data)
        if seq is None and not known.is_over(data):
            seq = plan.next_seq
            _add(plan, entry._replace(seq=seq), data, private)
        if seq is not None and entry.kind == "message" and data.get("client_id"):
            key = keys.sent(str(base.row.pk), data["author"], data["client_id"])
            plan.sent[key] = f"{seq} {data['message_id']}"
        if seq is not None or (seq := known.answer_of(data)) is not None:
            places.moved[entry.seq] = seq
    if plan.entries:
        _take_facts(base, old)
    return plan


def _add_superseded(plan: Placing, entry: Entry, data: dict[str, Any], private: bytes | None, places: Places) -> None:
    """Add that messages gave way: an entry for each run of them, so that what the archive alone has between stays."""
    if private:
        facts = orjson.loads(private)
        private = orjson.dumps(facts | {"asked": places.of(facts["asked"]) or facts["asked"]})
    seqs = (places.of(seq) for seq in range(data["from_seq"], data["to_seq"] + 1))
    gave_way = {seq for seq in seqs if seq is not None} or {plan.next_seq}  # nothing that is still there: only itself
    between = {each.seq for each in plan.entries if each.kind == "message"}
    between |= message_seqs(plan.base.row, min(gave_way), max(gave_way))
    for from_seq, to_seq in runs_of(gave_way, between - gave_way):
        told = data | {"from_seq": from_seq, "to_seq": to_seq}
        body = entry.body if told == data else encode_body(entry.kind, told, at=orjson.loads(entry.body)["at"])
        _add(plan, entry._replace(seq=plan.next_seq, body=body), told, private)


def _after_common(base: Base, old: OldLog) -> list[Entry]:
    """Return the old log's entries after the last one that the archive has with the same chain."""
    seqs = [entry.seq for entry in old.entries if entry.seq <= base.position.seq]
    archived: dict[int, str] = {}
    for index in range(0, len(seqs), ROWS):
        rows = Event.objects.filter(conversation=base.row, seq__in=seqs[index : index + ROWS])
        archived |= dict(rows.values_list("seq", "chain"))
    common = max((e.seq for e in old.entries if archived.get(e.seq) == e.chain), default=0)
    if not old.entries or (old.seq == base.position.seq and old.meta[b"chain"].decode() == base.position.chain):
        return []
    return [entry for entry in old.entries if entry.seq > common]


def _add(plan: Placing, entry: Entry, data: dict[str, Any], private: bytes | None) -> None:
    base, turn_id = plan.base, data.get("turn_id")
    plan.entries.append(entry)
    if private:
        plan.private[entry.seq] = private
    if entry.kind == "history.cleared":
        plan.cleared = entry.seq
        base.turns.clear()
        base.superseded.clear()
        base.newest.clear()
        base.row.message_count = 0
        base.unread = dict.fromkeys(base.unread, 0)
    elif entry.kind == "message":
        base.newest.insert(0, (entry.seq, source_of(data["role"], data["author"], data.get("device_id", ""))))
        base.row.message_count += 1
        for user in base.unread:
            base.unread[user] += user != data["author"]
        if turn_id and data["role"] == "user":
            base.turns[turn_id] = QueuedTurn(turn_id, entry.seq, data["author"], 0)
    elif entry.kind in ("member.joined", "member.left"):
        _seat(base, entry, data)
    elif entry.kind == "message.superseded":
        again: dict[str, Any] = orjson.loads(private) if private else {"asked": 0}
        base.superseded.append(Range(data["from_seq"], data["to_seq"], entry.seq, data["by"], again["asked"]))
        if private:
            base.turns[data["by"]] = QueuedTurn(data["by"], again["asked"], again["user"], 0)
    elif entry.kind == "turn.started" and turn_id in base.turns:
        base.turns[turn_id].attempts = max(base.turns[turn_id].attempts, data["attempt"])
    elif entry.kind == "turn.finished":
        base.turns.pop(turn_id or "", None)


def _seat(base: Base, entry: Entry, data: dict[str, Any]) -> None:
    user = data["user_id"]
    if entry.kind == "member.joined":
        base.members.setdefault(user, data["role"])
        base.read[user] = base.joined[user] = entry.seq
        base.unread[user] = 0
        return
    for facts in (base.members, base.joined, base.read, base.unread):
        facts.pop(user, None)
    if data.get("owner") in base.members:
        base.members[data["owner"]] = "owner"


def _take_facts(base: Base, old: OldLog) -> None:
    """The old log has news, so its title and topic are newer too."""
    for name in ("title", "topic", "preview", "language", "model", "instructions"):
        if (value := old.meta.get(name.encode())) is not None:
            setattr(base.row, name, value.decode())
