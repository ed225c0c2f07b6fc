"""Keeps one device connected: authentication, beats, flow control, backoff."""

import asyncio
import json
import random
from collections import Counter
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from .wire import FINAL, MAX_FRAME_BYTES, Frame, close_code, dial, joined, split

CONFIRM_BYTES = 48 * 1024
CONFIRM_FRAMES = 64
LATE_SECONDS = 10
# Codes that a server sends on purpose, so that a `bye` must come first.
WITH_BYE = {1012, 4400, 4401, 4403, 4408, 4409, 4426, 4429}


# What of a frame is filled; the rest is room for brackets and for one more object.
FILL_BYTES = MAX_FRAME_BYTES - 140_000


def taken(outbox: list[Frame]) -> list[Frame]:
    """Take from the front what fits one WebSocket frame; at least one, whatever its size."""
    count = size_bytes = 0
    while count < len(outbox) and (not count or size_bytes < FILL_BYTES):
        size_bytes += len(json.dumps(outbox[count], ensure_ascii=False).encode()) + 2
        count += 1
    front, outbox[:count] = outbox[:count], []
    return front


class Owner(Protocol):
    def auth(self) -> Frame: ...
    def beat(self) -> Frame: ...
    def handle(self, frame: Frame, raw: str) -> None: ...
    def handled(self) -> None: ...
    def lost(self) -> None: ...


class Link:
    """``urls`` are tried in turn: the same again after a connection, the next after a failure.

    ``backoff_seconds``: the least and the most of the full-jitter backoff.
    """

    def __init__(
        self, owner: Owner, urls: list[str], *, seed: int | None, backoff_seconds: tuple[float, float]
    ) -> None:
        self.owner, self.urls, self.backoff_seconds = owner, urls, backoff_seconds
        self.ready: Frame = {}
        self.connected = self.stopping = False
        self.byes: list[Frame] = []
        self.closes: list[int] = []
        self.breaches: list[str] = []
        self.counts: Counter[str] = Counter()
        self._at = 0
        self._random = random.Random(seed)
        self._socket: ClientConnection | None = None
        self._outbox: list[Frame] = []
        self._wake = asyncio.Event()
        self._is_ready = asyncio.Event()
        self._beat_answered = asyncio.Event()
        self._frames = self._unconfirmed_frames = self._unconfirmed_bytes = 0

    def send(self, frame: Frame) -> None:
        """Queue it; all that waits leaves as one WebSocket frame. Dropped when the connection is."""
        self._outbox.append(frame)
        self._wake.set()

    def cut(self) -> None:
        if self._socket is not None:
            self.counts["cuts"] += 1
            self._socket.transport.abort()

    def go_home(self) -> None:
        """Leave the node it is on for the first of its own."""
        self._at = 0
        self.cut()

    async def run(self) -> None:
        """Stay connected until a final close code. Cancelled: the socket is closed."""
        failures = 0
        while not self.stopping:
            code = await self._connection(self.urls[self._at % len(self.urls)])
            failures = 0 if self.connected else failures + 1
            self._at += not self.connected
            self._close(code)
            if code not in FINAL:
                await asyncio.sleep(self._pause_seconds(failures))

    def _pause_seconds(self, failures: int) -> float:
        least, most = self.backoff_seconds
        retry_after = self.byes[-1].get("retry_after") if self._said_bye(self.closes[-1]) else 0
        return max(self._random.uniform(0, min(most, least * 2**failures)), retry_after or 0)

    def _close(self, code: int) -> None:
        self.closes.append(code)
        self.connected = False
        self.stopping = code in FINAL
        if code == 1011 or (code in WITH_BYE and not self._said_bye(code)):
            self.breaches.append(f"close: {code}" if code == 1011 else f"close: {code} without a bye")
        self.owner.lost()

    def _said_bye(self, code: int) -> bool:
        return bool(self.byes) and self.byes[-1]["code"] == code

    async def _connection(self, url: str) -> int:
        """Live through one connection; return its close code, 1006 where there was none to get."""
        helpers: list[asyncio.Task[None]] = []
        try:
            async with dial(url) as socket:
                self._begin(socket)
                await socket.send(joined([self.owner.auth()]))
                helpers += [asyncio.create_task(self._write(socket)), asyncio.create_task(self._beat(socket))]
                async for message in socket:
                    self._receive(message)
                return socket.close_code or 1006
        except ConnectionClosed as error:
            return close_code(error)
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage):
            return 1006
        finally:
            self._socket = None
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    def _begin(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._outbox.clear()
        self._is_ready, self._beat_answered = asyncio.Event(), asyncio.Event()
        self._frames = self._unconfirmed_frames = self._unconfirmed_bytes = 0

    async def _write(self, socket: ClientConnection) -> None:
        await self._is_ready.wait()
        while True:
            while self._outbox:
                await socket.send(joined(taken(self._outbox)))
            self._wake.clear()
            if not self._outbox:
                await self._wake.wait()

    async def _beat(self, socket: ClientConnection) -> None:
        """Send heartbeats once ready, and drop the connection when an answer is late."""
        await self._is_ready.wait()
        while True:
            await asyncio.sleep(self.ready["heartbeat_seconds"])
            self._beat_answered.clear()
            self.send({**self.owner.beat(), "type": "heartbeat", "frames": self._confirmed()})
            try:
                async with asyncio.timeout(LATE_SECONDS):
                    await self._beat_answered.wait()
            except TimeoutError:
                self.counts["late_beats"] += 1
                socket.transport.abort()
                return

    def _confirmed(self) -> int:
        self._unconfirmed_frames = self._unconfirmed_bytes = 0
        return self._frames

    def _receive(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.breaches.append("frame: a binary frame")
            return
        size_bytes = len(message.encode())
        if size_bytes > MAX_FRAME_BYTES:
            self.breaches.append(f"frame: of {size_bytes} bytes")
        self._frames += 1
        self._unconfirmed_frames += 1
        self._unconfirmed_bytes += size_bytes
        for frame, raw in split(message):
            self._notice(frame)
            self.owner.handle(frame, raw)
        if self._unconfirmed_bytes >= CONFIRM_BYTES or self._unconfirmed_frames >= CONFIRM_FRAMES:
            self.send({"type": "received", "frames": self._confirmed()})
        self.owner.handled()

    def _notice(self, frame: Frame) -> None:
        if frame["type"] == "system" and frame["event"] == "ready":
            self.ready, self.connected = frame, True
            self.counts["connections"] += 1
            self._is_ready.set()
        elif frame["type"] == "heartbeat":
            self._beat_answered.set()
        elif frame["type"] == "bye":
            self.byes.append(frame)
