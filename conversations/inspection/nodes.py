"""The nodes as they tell of themselves each 2 s, and the archive's backlog."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from .. import keys, store

PAGE_NODES = 100


@dataclass
class NodeFacts:
    """``is_alive``: its record has not lapsed. What a silent node said last is gone; only when that was is known."""

    name: str
    seen_seconds: float
    is_alive: bool
    version: str = ""
    pid: int = 0
    started_at: datetime | None = None
    connections: int = 0
    turns: int = 0
    lag_ms: float = 0.0
    draining: bool = False
    archives: bool = False


@dataclass
class Overview:
    nodes: list[NodeFacts]
    waiting_logs: int  # ahead of the archive
    due_turns: int
    waiting_turns: int
    redis_bytes: int
    redis_limit: int
    more: bool = False


def read_overview() -> Overview:
    """Return the nodes heard of within a day, the latest first, and what waits. Raises Unavailable."""
    with store.mapped_errors(), store.connect_sync() as redis:
        with redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zrevrange(keys.NODES, 0, PAGE_NODES, withscores=True)
            pipe.get(keys.ARCHIVER)
            pipe.info("memory")
            for tag in keys.TAGS:
                pipe.zcard(keys.dirty(tag))
            (seconds, micros), seen, archiver, memory, *dirty = pipe.execute()
        now_ms = seconds * 1000 + micros // 1000
        seen, more = seen[:PAGE_NODES], len(seen) > PAGE_NODES
        with redis.pipeline(transaction=False) as pipe:
            for name, _ in seen:
                pipe.get(keys.node(name.decode()))
            for tag in keys.TAGS:
                pipe.zcount(keys.due(tag), "-inf", now_ms)
                pipe.zcount(keys.due(tag), "+inf", "+inf")
            replies = pipe.execute()
    records, counts = replies[: len(seen)], replies[len(seen) :]
    nodes = [
        _facts(name.decode(), at_ms, record, archiver) for (name, at_ms), record in zip(seen, records, strict=True)
    ]
    nodes.sort(key=lambda node: (not node.is_alive, node.name))
    return Overview(
        nodes,
        waiting_logs=sum(dirty),
        due_turns=sum(counts[::2]),
        waiting_turns=sum(counts[1::2]),
        redis_bytes=memory["used_memory"],
        redis_limit=memory["maxmemory"],
        more=more,
    )


def live_names() -> list[str]:
    """Return the names of the nodes that are there. Raises Unavailable."""
    return [node.name for node in read_overview().nodes if node.is_alive]


def _facts(name: str, at_ms: float, record: bytes | None, archiver: bytes | None) -> NodeFacts:
    seen_seconds = max(0.0, time.time() - at_ms / 1000)
    if record is None:
        return NodeFacts(name, seen_seconds, is_alive=False)
    said: dict[str, Any] = orjson.loads(record)
    return NodeFacts(
        name,
        seen_seconds,
        is_alive=True,
        version=said.get("version", ""),
        pid=said.get("pid", 0),
        started_at=datetime.fromtimestamp(said["started"], UTC) if said.get("started") else None,
        connections=said.get("connections", 0),
        turns=said.get("turns", 0),
        lag_ms=said.get("lag_ms", 0.0),
        draining=said.get("draining", False),
        archives=archiver is not None and archiver.decode().rpartition(":")[0] == name,
    )
