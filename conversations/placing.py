"""Put a log in place in Redis: one script, only if what was there has not moved on."""

from dataclasses import dataclass, field
from typing import Any

from . import keys, log
from .archive_base import LOST_ATTEMPTS, Base, meta_of, reads_of
from .batching import batcher
from .events import Entry, Position


@dataclass
class Placing:
    """A log to put in place: the archive's base, and entries after it that only the old log had.

    ``old`` is the (epoch, seq) that the old log must still have, None where there must be none.
    ``sent``: key -> ``<seq> <message id>``, for client_ids whose message has another seq now.
    """

    base: Base
    position: Position
    cleared: int
    old: tuple[int, int] | None = None
    entries: list[Entry] = field(default_factory=list)
    private: dict[int, bytes] = field(default_factory=dict)  # by the entry's seq
    sent: dict[str, str] = field(default_factory=dict)
    with_turns: bool = True

    @property
    def next_seq(self) -> int:
        return self.base.position.seq + len(self.entries) + 1


async def place_log(placing: Placing) -> bool:
    """Put it in place, durable; return False where another one did, or the old log went on meanwhile."""
    conversation_id = str(placing.base.row.pk)
    tag = keys.tag(conversation_id)
    script_keys = log.conversation_keys(conversation_id, keys.parked(tag), keys.erasing(tag))
    args: list[Any] = [conversation_id, tag, *(placing.old or ("", "")), *placing.position]
    args += [placing.cleared, 0]
    for fields in (meta_of(placing.base), placing.base.members, reads_of(placing.base)):
        args += _counted([list(pair) for pair in fields.items()])
    args += _counted([[each.kind, each.body, placing.private.get(each.seq, b"")] for each in placing.entries])
    args += _counted([[key, value, log.SENT_TTL_SECONDS] for key, value in placing.sent.items()])
    turns = sorted(placing.base.turns.values(), key=lambda turn: turn.seq) if placing.with_turns else []
    args += _counted([[turn.turn_id, turn.seq, turn.user_id, turn.attempts + LOST_ATTEMPTS] for turn in turns])
    args += _counted([[each.to_seq, each.member()] for each in placing.base.superseded])
    return bool(await batcher().submit("rebuild", script_keys, args))


def _counted(records: list[list[Any]]) -> list[Any]:
    return [len(records), *(value for record in records for value in record)]
