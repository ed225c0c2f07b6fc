"""One connection to Redis that many share: the commands of one moment go out in one write, replies come back in order.

redis-py takes a connection, a lock, a timer and several tasks for each call; on the path of every message that costs
more than Redis itself. This speaks RESP with hiredis and resolves futures where the bytes arrive. Nothing is retried
here: a lost connection fails what was under way with Unavailable (it may have been carried out), and the next call
connects again.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis
from redis.asyncio.connection import parse_url
from redis.exceptions import ResponseError

from .errors import Unavailable

CONNECT_SECONDS = 3.0
# Longer than any fsync should take; a Redis that is silent for so long is treated as gone.
REPLY_SECONDS = 5.0
# What a Redis answers that is starting, held by a long script, out of space, or being failed over: it may answer later.
# (Not BUSYGROUP and BUSYKEY, which are answers.)
PASSING = ("LOADING", "BUSY ", "MASTERDOWN", "READONLY", "MISCONF", "OOM", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS")

Reply = Any
OnReply = Callable[[Reply], None]
Command = tuple[Any, ...]


class Pending:
    """A command under way. ``instead`` gives the command to send where Redis does not know the script."""

    def __init__(
        self, future: "asyncio.Future[Reply]", since: float, instead: Callable[[], Command] | None = None
    ) -> None:
        self.future = future
        self.since = since
        self.instead = instead


def unavailable() -> Unavailable:
    return Unavailable("The store does not answer; try again.", retry_after=1)


def _pack(*parts: Any) -> bytes:
    packed: bytes = hiredis.pack_command(cast(Any, parts))
    return packed


class Wire(asyncio.Protocol):
    """A multiplexed connection. ``call`` never blocks and never raises; its future may fail with Unavailable.

    ``on_message`` makes it a subscriber: every reply goes there. ``on_connected`` runs after each (re)connection.
    """

    def __init__(
        self,
        url: str,
        *,
        on_message: OnReply | None = None,
        on_connected: Callable[[], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._options = parse_url(url)
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(replyError=ResponseError)
        self._out: list[bytes] = []
        self._pending: deque[Pending] = deque()
        self._connecting: asyncio.Task[None] | None = None
        self._is_scheduled = False
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    def call(self, *parts: Any, instead: Callable[[], Command] | None = None) -> "asyncio.Future[Reply]":
        """Send a command with all others of this tick; the future gets its reply, a ResponseError or Unavailable."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._pending.append(Pending(future, self._loop.time(), instead))
        self.send(*parts)
        return future

    def send(self, *parts: Any) -> None:
        """Send without awaiting a reply: for subscribers, whose replies go to ``on_message``."""
        self._out.append(_pack(*parts))
        if self._transport is None:
            if self._connecting is None:
                self._connecting = self._loop.create_task(self._connect(), name="redis connect")
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def connect_soon(self) -> None:
        if self._transport is None and self._connecting is None and not self._closed:
            self._connecting = self._loop.create_task(self._connect(), name="redis connect")

    def abort(self) -> None:
        """Break the connection; the next call makes a new one."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Close; what is under way fails with Unavailable."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._fail()

    # -- the connection

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._open()
        except (OSError, TimeoutError):
            self._fail()
            if self._on_lost is not None:
                self._on_lost()
        finally:
            self._connecting = None

    async def _open(self) -> None:
        options = self._options
        if path := options.get("path"):
            await self._loop.create_unix_connection(lambda: self, path)
            return
        secure = options.get("connection_class") is not None
        await self._loop.create_connection(
            lambda: self,
            options.get("host", "localhost"),
            options.get("port", 6379),
            ssl=ssl.create_default_context() if secure else None,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._reader = hiredis.Reader(replyError=ResponseError)
        if password := self._options.get("password"):
            username = self._options.get("username") or "default"
            # Its reply is the first; a refusal fails every call after it with NOAUTH, which says what is wrong.
            self._out.insert(0, _pack("AUTH", username, password))
            if self._on_message is None:
                self._pending.appendleft(Pending(self._loop.create_future(), self._loop.time()))
        if self._on_connected is not None:
            self._on_connected()
        self._flush()

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._transport is None or not self._out:
            return
        out, self._out = self._out, []
        self._transport.write(b"".join(out))
        if self._watch is None and self._pending:
            self._watch = self._loop.call_later(REPLY_SECONDS, self._check_silence)

    def _check_silence(self) -> None:
        self._watch = None
        if not self._pending or self._transport is None:
            return
        waited = self._loop.time() - self._pending[0].since
        if waited >= REPLY_SECONDS:
            self._transport.abort()
        else:
            self._watch = self._loop.call_later(REPLY_SECONDS - waited, self._check_silence)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        reader.feed(data)
        on_message, pending = self._on_message, self._pending
        while (reply := reader.gets()) is not False:
            if on_message is not None:
                on_message(reply)
                continue
            self._answer(pending.popleft(), reply)

    def _answer(self, asked: Pending, reply: Reply) -> None:
        future = asked.future
        if future.done():
            return  # its caller was cancelled; the command was carried out all the same
        if not isinstance(reply, ResponseError):
            future.set_result(reply)
        elif asked.instead is not None and str(reply).startswith("NOSCRIPT"):
            self._pending.append(Pending(future, self._loop.time()))
            self.send(*asked.instead())
        elif str(reply).startswith(PASSING):
            future.set_exception(unavailable())
            future.exception()  # as below: a hint that was lost is missed by nobody
        else:
            future.set_exception(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._out.clear()
        self._fail()
        if self._on_lost is not None and not self._closed:
            self._on_lost()

    def _fail(self) -> None:
        self._out.clear()
        pending, self._pending = self._pending, deque()
        for asked in pending:
            if not asked.future.done():
                asked.future.set_exception(unavailable())
                asked.future.exception()  # nobody may be waiting any more; that is no error of its own
