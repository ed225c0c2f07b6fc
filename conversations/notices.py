"""What the operators have to say for a while: told to whoever is connected, and to whoever comes later.

One set in Redis; what is over is dropped with the next one that is made, and never read.
"""

import time
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

import orjson

from . import keys, store
from .batching import batcher

MOST = 20


class Standing(NamedTuple):
    """``people``: ids of those it is for, empty: everybody."""

    id: str
    level: str
    message: str
    people: list[str]
    until: datetime

    def frame(self) -> bytes:
        return frame_of(self.message, self.level, self.id)


def frame_of(message: str, level: str, notice_id: str = "") -> bytes:
    """Return the wire's `notice`; with an id where it comes again with the next connection."""
    named = {"id": notice_id} if notice_id else {}
    return orjson.dumps({"type": "system", "event": "notice", "level": level, "message": message, **named})


def keep(message: str, level: str, people: list[str], hours: int) -> Standing:
    """Let it stand for so long; where 20 stand, the one that ends first makes room. Synchronous. Raises Unavailable."""
    until = time.time() + hours * 3600
    made = Standing(str(uuid4()), level, message, people, datetime.fromtimestamp(until, UTC))
    kept = orjson.dumps([made.id, level, message, people])
    with store.mapped_errors(), store.connect_sync() as redis, redis.pipeline(transaction=True) as pipe:
        pipe.zremrangebyscore(keys.NOTICES, 0, time.time())
        pipe.zremrangebyrank(keys.NOTICES, 0, -MOST)
        pipe.zadd(keys.NOTICES, {kept: until})
        pipe.execute()
    return made


def take_back(notice_id: str) -> bool:
    """Tell it to nobody any more; return whether it stood. Synchronous. Raises Unavailable."""
    with store.mapped_errors(), store.connect_sync() as redis:
        found = [kept for kept in redis.zrange(keys.NOTICES, 0, -1) if orjson.loads(kept)[0] == notice_id]
        return bool(found and redis.zrem(keys.NOTICES, *found))


def standing() -> list[Standing]:
    """Return what stands now, what ends first at the front. Synchronous. Raises Unavailable."""
    with store.mapped_errors(), store.connect_sync() as redis:
        return _standing(redis.zrangebyscore(keys.NOTICES, time.time(), "+inf", withscores=True))


async def frames_for(user_id: str) -> list[bytes]:
    """Return the frames for somebody who comes now. Raises Unavailable."""
    found = await batcher().command("ZRANGEBYSCORE", keys.NOTICES, time.time(), "+inf", "WITHSCORES")
    stand = _standing(list(zip(found[::2], map(float, found[1::2]), strict=True)))
    return [each.frame() for each in stand if not each.people or user_id in each.people]


def _standing(found: list[tuple[bytes, float]]) -> list[Standing]:
    return [_one(orjson.loads(kept), until) for kept, until in found]


def _one(kept: tuple[str, str, str, list[str]], until: float) -> Standing:
    return Standing(*kept, datetime.fromtimestamp(until, UTC))
