"""The journal's newest heads, kept apart from it, in Redis: what was cut off its end is missed there.

The newest would be pushed out by what is written after a cut. So one for about each 100 entries stays, as a milestone.
"""

import structlog
from redis.exceptions import RedisError

from .. import keys, store

KEPT = 100
STONE_EACH = 100
logger = structlog.get_logger(__name__)


def keep(seq: int, hash_: str, added: int = 1) -> None:
    """Remember that the journal has been so far, in whatever order this is told. Never raises.

    ``added``: how many entries were written at once, of which this is the last.
    """
    try:
        with store.connect_sync() as redis, redis.pipeline(transaction=True) as pipe:
            pipe.zadd(keys.AUDIT, {hash_: seq})
            pipe.zremrangebyrank(keys.AUDIT, 0, -KEPT - 1)
            if seq % STONE_EACH < added:
                pipe.zadd(keys.AUDIT_STONES, {hash_: seq})
            pipe.execute()
    except (RedisError, OSError) as error:
        logger.warning("audit.head_not_kept", seq=seq, error=repr(error))  # the next one is


def kept() -> list[tuple[int, str]]:
    """Return (seq, hash) of what is remembered, oldest first. Raises RedisError, OSError."""
    with store.connect_sync() as redis:
        both = (redis.zrange(key, 0, -1, withscores=True) for key in (keys.AUDIT_STONES, keys.AUDIT))
        return sorted({(int(seq), hash_.decode()) for found in both for hash_, seq in found})
