"""How much of a node's processor the archiver may take: people who wait for messages come first."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from .threads import in_database

# Of one core, while the node has other work and while it has none.
BUSY_SHARE = 0.05
IDLE_SHARE = 0.4
# A node that uses less of a core by itself, and wakes in time, has no other work.
IDLE_BELOW = 0.2
LATE_SECONDS = 0.005
LONGEST_REST_SECONDS = 2.0

T = TypeVar("T")


def rest_seconds(used_seconds: float, *, is_idle: bool) -> float:
    """Return how long to rest after so much work."""
    share = IDLE_SHARE if is_idle else BUSY_SHARE
    return min(used_seconds * (1 / share - 1), LONGEST_REST_SECONDS)


class Pace:
    """Counts the processor time of work in the database's thread, and rests in proportion.

    What the event loop has to do for it is not counted: it is a small part, and cannot be told from the rest.
    """

    def __init__(self) -> None:
        self._used_seconds = 0.0
        self._is_idle = False

    async def in_database(self, work: Callable[..., T], *args: Any) -> T:
        """Run synchronous database work in the thread for it, and return its result."""
        return await in_database(self._timed, work, *args)

    def _timed(self, work: Callable[..., T], *args: Any) -> T:
        before = time.thread_time()
        try:
            return work(*args)
        finally:
            self._used_seconds += time.thread_time() - before

    async def rest(self, least_seconds: float) -> None:
        """Rest for as long as keeps this work within its share, and look meanwhile how busy the node is without it."""
        seconds = max(least_seconds, rest_seconds(self._used_seconds, is_idle=self._is_idle))
        self._used_seconds = 0.0
        started, used = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        passed = time.monotonic() - started
        self._is_idle = (time.process_time() - used) / passed < IDLE_BELOW and passed - seconds < LATE_SECONDS
