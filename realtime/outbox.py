"""Writing to sockets: all that have something to say in this tick are flushed together, each by one write."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol


class Flushable(Protocol):
    def flush(self) -> None: ...


class Outbox:
    """The connections with queued frames; flushed once a tick, after everything that arrived in it was handled."""

    def __init__(self) -> None:
        self._waiting: dict[Flushable, None] = {}

    def flush_soon(self, connection: Flushable) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting[connection] = None

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for connection in waiting:
            connection.flush()


Write = Callable[[bytes], None]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class AsgiWriter:
    """Writes through ASGI's `send`, which is awaited: for servers that offer no direct write. Keeps the order."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._out: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def __call__(self, data: bytes) -> None:
        self._out.append(data)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write(), name="writer")

    async def drained(self) -> None:
        if self._task is not None:
            await self._task

    async def _write(self) -> None:
        try:
            while self._out:
                await self._send({"type": "websocket.send", "text": self._out.pop(0).decode()})
        finally:
            self._task = None
