"""One conversation as Redis has it at this moment: head, members, queue, lease, connected devices."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any

import orjson

from .. import keys, store
from ..assistant import keys as checkpoint_keys

MOST_TURNS = 20
MOST_MEMBERS = 50


@dataclass
class LiveTurn:
    """``lease_ms`` is what is left of its lease, negative once it has lapsed; None where nobody holds one."""

    turn_id: str
    seq: int
    status: str
    attempt: int
    node: str
    user_id: str
    pieces: int
    lapses: int
    queued_at: datetime | None
    started_at: datetime | None
    lease_ms: int | None
    is_cancelled: bool


@dataclass
class LiveDevice:
    user_id: str
    device_id: str
    name: str
    node: str
    lapses_in_ms: int


@dataclass
class Live:
    """``is_there`` is false for a log that is parked, lost or erased."""

    is_there: bool = False
    meta: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    turns: list[LiveTurn] = field(default_factory=list)
    waiting_turns: int = 0
    devices: list[LiveDevice] = field(default_factory=list)
    checkpoints: int = 0
    is_parked: bool = False
    is_due: bool = False
    is_dirty: bool = False
    heads: dict[str, str] = field(default_factory=dict)


def read_live(conversation_id: str) -> Live:
    """Return what Redis has, in two round trips. Raises Unavailable."""
    tag = keys.tag(conversation_id)
    with store.mapped_errors(), store.connect_sync() as redis:
        with redis.pipeline(transaction=True) as pipe:
            pipe.time()
            pipe.hgetall(keys.meta(conversation_id))
            pipe.hgetall(keys.members(conversation_id))
            pipe.hgetall(keys.reads(conversation_id))
            pipe.lrange(keys.turns(conversation_id), 0, MOST_TURNS - 1)
            pipe.llen(keys.turns(conversation_id))
            pipe.zscore(keys.due(tag), conversation_id)
            pipe.zscore(keys.dirty(tag), conversation_id)
            pipe.zcard(checkpoint_keys.order(conversation_id))
            pipe.hexists(keys.parked(tag), conversation_id)
            pipe.hgetall(checkpoint_keys.heads(conversation_id))
            found = pipe.execute()
        time, meta, members, reads, queue, count, due, dirty, checkpoints, parked, heads = found
        now_ms = time[0] * 1000 + time[1] // 1000
        users = [user.decode() for user in list(members)[:MOST_MEMBERS]]
        with redis.pipeline(transaction=False) as pipe:
            for turn_id in queue:
                pipe.hgetall(keys.turn(conversation_id, turn_id.decode()))
                pipe.llen(keys.pieces(conversation_id, turn_id.decode()))
            for user in users:
                pipe.zrangebyscore(keys.user_connections(user), now_ms, "+inf", withscores=True)
            details = pipe.execute()
    turns = [
        _turn(turn_id.decode(), details[2 * index], details[2 * index + 1], due if index == 0 else None, now_ms)
        for index, turn_id in enumerate(queue)
    ]
    connected = zip(users, details[2 * len(queue) :], strict=True)
    return Live(
        is_there=bool(meta),
        meta=_texts(meta),
        members=_texts(members),
        reads={name: int(value) for name, value in _texts(reads).items()},
        turns=turns,
        waiting_turns=count,
        devices=[_device(user, member, until, now_ms) for user, leases in connected for member, until in leases],
        checkpoints=checkpoints,
        is_parked=bool(parked),
        is_due=due is not None,
        is_dirty=dirty is not None,
        heads=_texts(heads),
    )


def _texts(hash_: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode(errors="replace") for name, value in hash_.items()}


def _turn(turn_id: str, facts: dict[bytes, bytes], pieces: int, due: float | None, now_ms: int) -> LiveTurn:
    of = _texts(facts)
    leased = of.get("status") == "running" and due is not None and due != inf
    return LiveTurn(
        turn_id=turn_id,
        seq=int(of.get("seq", 0)),
        status=of.get("status", ""),
        attempt=int(of.get("attempt", 0)),
        node=of.get("node", ""),
        user_id=of.get("user", ""),
        pieces=pieces,
        lapses=int(of.get("lapses", 0)),
        queued_at=moment(of.get("queued_ms")),
        started_at=moment(of.get("started_ms")),
        lease_ms=int(due - now_ms) if leased and due is not None else None,
        is_cancelled="cancelled_by" in of,
    )


def moment(ms: Any) -> datetime | None:
    return datetime.fromtimestamp(int(ms) / 1000, UTC) if ms else None


def _device(user_id: str, member: bytes, until: float, now_ms: int) -> LiveDevice:
    _, device_id, node, name = orjson.loads(member)
    return LiveDevice(user_id, device_id, name, node, int(until - now_ms))
