"""Whether this node may still act on its turn, told by its own clock and without asking anybody.

The fence keeps a late writer out of Redis, not out of the world: a node that was frozen, or that cannot reach Redis,
does not know yet that its turn runs elsewhere. But it knows when it last renewed its lease, and that nobody else
takes the turn before that lease ends. Past that moment it does nothing outside until Redis has renewed it.
"""

import asyncio
import time
from contextvars import ContextVar

from django.conf import settings

# Goes on while the machine sleeps, where the system has such a clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def clock_seconds() -> float:
    """Return this machine's time since some moment; it never goes back and does not stop for a frozen process."""
    return time.clock_gettime(_CLOCK)


class Lease:
    """One turn's lease as its holder knows it: counted from the sending of what renewed it, so never too long."""

    def __init__(self, asked_at: float) -> None:
        self._until = asked_at + settings.LEASE_SECONDS
        self._renewal = asyncio.Event()

    def enter(self) -> None:
        """Make it the one that `hold_lease` looks at, in this context and its copies."""
        _lease.set(self)

    def renewed(self, asked_at: float) -> None:
        """Redis has renewed it, as it was asked to at that time."""
        self._until = max(self._until, asked_at + settings.LEASE_SECONDS)
        self._renewal.set()
        self._renewal = asyncio.Event()

    async def hold(self) -> None:
        while clock_seconds() >= self._until:
            await self._renewal.wait()


_lease: ContextVar[Lease | None] = ContextVar("lease", default=None)


async def hold_lease() -> None:
    """Return while the turn is surely ours: call it right before an effect that Redis does not guard.

    Waits for the next renewal where the lease has run out; if the turn has gone to another node, this one is
    cancelled there. Outside a turn it returns at once.
    """
    lease = _lease.get()
    if lease is not None:
        await lease.hold()
