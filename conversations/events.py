"""Log entries and frames as bytes: each body is encoded once, kept, hashed and delivered as it is.

A body is ``{"event": kind, "at": time, "data": {...}}``. The wire's `event` frame is the position put before it.
"""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha1
from typing import Any, NamedTuple

import orjson

NO_CHAIN = "0" * 16


class Position(NamedTuple):
    """A cursor: where a log is. Two devices at the same position have seen the same bytes."""

    epoch: int
    seq: int
    chain: str

    def wire(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "seq": self.seq, "chain": self.chain}


class Entry(NamedTuple):
    seq: int
    chain: str
    kind: str
    body: bytes


def chain_after(chain: str, body: bytes) -> str:
    """Return the running hash with this body added, as the append script computes it."""
    return sha1(chain.encode() + body).hexdigest()[:16]


def now_text() -> str:
    """Return this node's time as the wire has it: RFC 3339, UTC, milliseconds."""
    return _text_of(time.time_ns() // 1_000_000)


@lru_cache(maxsize=1)  # many messages share their millisecond
def _text_of(ms: int) -> str:
    return time_text(datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000))


def time_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode_body(kind: str, data: dict[str, Any], *, at: str = "") -> bytes:
    return orjson.dumps({"event": kind, "at": at or now_text(), "data": data})


def event_frame(conversation_id: str, epoch: int, seq: int, chain: str, body: bytes) -> bytes:
    """Return the `event` frame; ids and chain need no escaping."""
    head = f'{{"type":"event","conversation_id":"{conversation_id}","epoch":{epoch},"seq":{seq},"chain":"{chain}",'
    return head.encode() + body[1:]


def feed_frame(epoch: int, seq: int, chain: str, body: bytes) -> bytes:
    return b'{"type":"feed","epoch":%d,"seq":%d,"chain":"%s",' % (epoch, seq, chain.encode()) + body[1:]


def message_item(seq: int, body: bytes) -> dict[str, Any]:
    """Return a `message` entry as `snapshot` and `history` show it."""
    entry = orjson.loads(body)
    return {"seq": seq, "at": entry["at"], **entry["data"]}
