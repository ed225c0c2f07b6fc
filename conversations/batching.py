"""Micro-batches: scripts that wait at the same moment go to Redis in one pipeline, in order.

System calls and fsyncs are dear; one write and one reply for many appends share both. A lone call waits for nobody.
"""

import asyncio
from collections import deque
from typing import Any
from weakref import WeakKeyDictionary

from redis.exceptions import NoScriptError, RedisError

from . import store
from .errors import Unavailable

MOST_IN_A_BATCH = 256
PIPELINES_IN_FLIGHT = 2

Call = tuple[str, list[str], list[Any], "asyncio.Future[Any]"]


class Batcher:
    """Runs scripts in pipelines. Order is kept within one pipeline; callers order what depends on each other."""

    def __init__(self) -> None:
        self._waiting: deque[Call] = deque()
        self._flushing: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def submit(self, name: str, keys: list[str], args: list[Any]) -> "asyncio.Future[Any]":
        """Queue a script; the future gets its reply, or Unavailable (the script may have run)."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((name, keys, args, future))
        if not self._scheduled and len(self._flushing) < PIPELINES_IN_FLIGHT:
            self._scheduled = True
            loop.call_soon(self._start)
        return future

    def _start(self) -> None:
        self._scheduled = False
        if not self._waiting:
            return
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_IN_A_BATCH))]
        task = asyncio.get_running_loop().create_task(self._flush(batch), name="batch")
        self._flushing.add(task)
        task.add_done_callback(self._flushed)

    def _flushed(self, task: "asyncio.Task[None]") -> None:
        self._flushing.discard(task)
        if self._waiting and not self._scheduled:
            self._start()

    async def _flush(self, batch: list[Call]) -> None:
        try:
            replies = await self._execute(batch)
        except asyncio.CancelledError:
            replies = [Unavailable("The node stops.", retry_after=1)] * len(batch)
        except Exception as error:
            replies = [error] * len(batch)
        for (_, _, _, future), reply in zip(batch, replies, strict=True):
            if future.done():
                continue  # its caller was cancelled; the script ran all the same
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    async def _execute(self, batch: list[Call]) -> list[Any]:
        with store.mapped_errors():
            replies = await _pipeline(batch)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                # Redis was restarted and knows no scripts; none of these calls had an effect.
                await store.load_scripts({call[0] for call in batch})
                missed = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
                again = await _pipeline([batch[i] for i in missed])
                for i, reply in zip(missed, again, strict=True):
                    replies[i] = reply
        return [_mapped(reply) for reply in replies]


async def _pipeline(batch: list[Call]) -> list[Any]:
    if len(batch) == 1:
        name, keys, args, _ = batch[0]
        try:
            return [await store.client().evalsha(store.script(name)[0], len(keys), *keys, *args)]
        except NoScriptError as error:
            return [error]
    async with store.client().pipeline(transaction=False) as pipeline:
        for name, keys, args, _ in batch:
            pipeline.evalsha(store.script(name)[0], len(keys), *keys, *args)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies


def _mapped(reply: Any) -> Any:
    if isinstance(reply, RedisError):
        try:
            with store.mapped_errors():
                raise reply
        except Exception as error:
            return error
    return reply


_batchers: "WeakKeyDictionary[asyncio.AbstractEventLoop, Batcher]" = WeakKeyDictionary()


def batcher() -> Batcher:
    """Return this event loop's batcher."""
    loop = asyncio.get_running_loop()
    found = _batchers.get(loop)
    if found is None:
        found = _batchers[loop] = Batcher()
    return found
