"""What a page of conversations takes up in Redis, and how far the archive is behind: two round trips for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import keys, store
from ..assistant import keys as checkpoint_keys
from ..models import Conversation

# Turn-ends are 20 at most, and a running turn has some more.
MOST_CHECKPOINTS = 60
META = ("state", "epoch", "seq", "chain", "archived", "cleared")


@dataclass
class Footprint:
    """``state`` is empty where the log is not in Redis: parked, lost, or erased."""

    state: str = ""
    epoch: int = 0
    seq: int = 0
    chain: str = ""
    lag: int = 0
    lag_ms: int = 0
    turns: int = 0
    checkpoints: int = 0
    redis_bytes: int = 0
    parked: bool = False


def read_footprints(rows: Sequence[Conversation]) -> dict[str, Footprint]:
    """Return the footprint of each, by id. Raises Unavailable."""
    if not rows:
        return {}
    with store.mapped_errors(), store.connect_sync() as redis:
        with redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for row in rows:
                _ask(pipe, str(row.pk))
            (seconds, micros), *replies = pipe.execute()
        now_ms = seconds * 1000 + micros // 1000
        found, documents = {}, {}
        for index, row in enumerate(rows):
            conversation_id = str(row.pk)
            found[conversation_id], documents[conversation_id] = _read(row, now_ms, replies[6 * index : 6 * index + 6])
        with redis.pipeline(transaction=False) as pipe:
            asked = [_ask_bytes(pipe, each, documents[each]) for each in found]
            sizes = iter(pipe.execute())
        for each, count in zip(found.values(), asked, strict=True):
            each.redis_bytes = sum(next(sizes) or 0 for _ in range(count))
    return found


def _ask(pipe: Any, conversation_id: str) -> None:
    tag = keys.tag(conversation_id)
    pipe.hmget(keys.meta(conversation_id), META)
    pipe.llen(keys.turns(conversation_id))
    pipe.zscore(keys.dirty(tag), conversation_id)
    pipe.zcard(checkpoint_keys.order(conversation_id))
    pipe.zrevrange(checkpoint_keys.order(conversation_id), 0, MOST_CHECKPOINTS - 1)
    pipe.hexists(keys.parked(tag), conversation_id)


def _read(row: Conversation, now_ms: int, replies: list[Any]) -> tuple[Footprint, list[bytes]]:
    (state, epoch, seq, chain, *_), turns, dirty, checkpoints, places, parked = replies
    found = Footprint(turns=turns, checkpoints=checkpoints, parked=bool(parked))
    if state is not None:
        found.state, found.epoch, found.seq, found.chain = state.decode(), int(epoch), int(seq), chain.decode()
        found.lag = max(0, found.seq - row.archived_seq)
        found.lag_ms = max(0, int(now_ms - dirty)) if dirty and found.lag else 0
    return found, places


def _ask_bytes(pipe: Any, conversation_id: str, places: list[bytes]) -> int:
    prefix = checkpoint_keys.prefix(conversation_id).encode()
    named = [
        keys.log(conversation_id),
        keys.meta(conversation_id),
        keys.members(conversation_id),
        keys.reads(conversation_id),
        keys.turns(conversation_id),
        checkpoint_keys.order(conversation_id),
        *(prefix + place.partition(b"|")[2] for place in places),
    ]
    for name in named:
        pipe.memory_usage(name)
    return len(named)
