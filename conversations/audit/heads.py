"""The journal's newest heads, kept apart from it, in Redis: what was cut off its end is missed there."""

import structlog
from redis.exceptions import RedisError

from .. import keys, store

KEPT = 100
logger = structlog.get_logger(__name__)


def keep(seq: int, hash_: str) -> None:
    """Remember that the journal has been so far, in whatever order this is told. Never raises."""
    try:
        with store.connect_sync() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.zadd(keys.AUDIT, {hash_: seq})
            pipe.zremrangebyrank(keys.AUDIT, 0, -KEPT - 1)
            pipe.execute()
    except (RedisError, OSError) as error:
        logger.warning("audit.head_not_kept", seq=seq, error=repr(error))  # the next one is


def kept() -> list[tuple[int, str]]:
    """Return (seq, hash) of what is remembered, oldest first. Raises RedisError, OSError."""
    with store.connect_sync() as redis:
        return [(int(seq), hash_.decode()) for hash_, seq in redis.zrange(keys.AUDIT, 0, -1, withscores=True)]
