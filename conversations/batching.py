"""Micro-batches: scripts that wait at the same moment go to Redis in one write, in order, over one shared connection.

System calls and fsyncs are dear; one write and one reply for many appends share both. A lone call waits for nobody.
"""

import asyncio
from typing import Any

from django.conf import settings

from . import store
from .wire import Wire


class Batcher:
    """Runs scripts over one wire, in the order of their calls."""

    def __init__(self) -> None:
        self._wire = Wire(settings.REDIS_URL)

    def submit(self, name: str, keys: list[str], args: list[Any]) -> "asyncio.Future[Any]":
        """Run a script; the future gets its reply, or Unavailable (the script may have run)."""
        digest, source = store.script(name)
        # A Redis that was restarted knows no scripts: then it gets the source.
        return self._wire.call(
            "EVALSHA",
            digest,
            len(keys),
            *keys,
            *args,
            instead=lambda: ("EVAL", source, len(keys), *keys, *args),
        )

    def command(self, *parts: Any) -> "asyncio.Future[Any]":
        """Run a command that is no script, in the same way."""
        return self._wire.call(*parts)

    async def close(self) -> None:
        await self._wire.close()


# A weak dictionary would be asked for every command, and is slow; a loop that ends closes its batcher.
_batchers: dict[asyncio.AbstractEventLoop, Batcher] = {}


def batcher() -> Batcher:
    """Return this event loop's batcher."""
    loop = asyncio.get_running_loop()
    found = _batchers.get(loop)
    if found is None:
        found = _batchers[loop] = Batcher()
    return found


async def close() -> None:
    """Close this loop's batcher, if it has one."""
    found = _batchers.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()
