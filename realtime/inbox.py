"""One socket's frames on their way in: what needs no waiting is done at once, the rest by one worker, in order.

No worker exists while there is nothing to do, so an idle socket costs nothing here.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from conversations.errors import InvalidMessage, Unauthenticated

from . import outgoing
from .codes import MAX_BAD_FRAMES, MAX_FRAME_BYTES, MAX_UNANSWERED_FRAMES, CloseCode
from .connection import Connection
from .frames import Auth, Bad, Close, Command, Heartbeat, Open, Received, Text, parse
from .outbox import Write

# As many texts of the largest size as may be unanswered; frames may be larger, but nobody needs many of those.
MAX_UNANSWERED_BYTES = 32 * MAX_FRAME_BYTES

Frames = list[Any]
CloseSoon = Callable[[CloseCode, str, float | None], None]

logger = structlog.get_logger(__name__)


class Closing(Exception):
    """End this socket with a `bye`: code, reason, and when to come back."""

    def __init__(self, code: CloseCode, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class Inbox:
    """``authenticate`` sets the connection by an `auth` frame, or raises Closing; ``close_soon`` ends the socket."""

    def __init__(
        self,
        connection_id: str,
        authenticate: Callable[[Auth], Awaitable[None]],
        write: Write,
        close_soon: CloseSoon,
    ) -> None:
        self.connection_id = connection_id
        self.connection: Connection | None = None
        self.is_closed = False
        self.heard_at = time.monotonic()
        self.auth_at: float | None = None  # what takes long after it is our fault, not the client's
        self._authenticate = authenticate
        self._write = write
        self._close_soon = close_soon
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Frames, int]] = deque()
        self._waiting_bytes = 0
        self._bad_frames = 0
        self._refused_early = 0  # frames that the client counts and the connection does not know of
        self._worker: asyncio.Task[None] | None = None

    def take(self, text: str | None) -> None:
        """Take one WebSocket message; None for one that is not text."""
        if self.is_closed:
            return
        self.heard_at = time.monotonic()
        frames = parse(text) if text is not None else [Bad(InvalidMessage("Send text frames only."))]
        if self.connection is not None:
            for frame in frames:  # at once: a worker may wait for just this room
                if isinstance(frame, Received | Heartbeat) and frame.frames is not None:
                    self.connection.confirm(frame.frames - self._refused_early)
            if len(frames) == 1 and isinstance(frames[0], Received):
                self._bad_frames = 0
                return
        elif self.auth_at is None and isinstance(frames[0], Auth):
            self.auth_at = self.heard_at
        size = len(text or "")
        self._waiting.append((frames, size))
        self._waiting_bytes += size
        if len(self._waiting) > MAX_UNANSWERED_FRAMES or self._waiting_bytes > MAX_UNANSWERED_BYTES:
            self._close_soon(CloseCode.RATE, "Too many frames are unanswered; wait for the answers.", 1)
        elif self._worker is None:
            self._worker = self._loop.create_task(self._work(), name="socket")

    async def finish(self, seconds: float) -> None:
        """Wait for the answer to what is being handled, at most so long; what is queued behind it is not begun."""
        self.is_closed = True
        if self._worker is not None:
            await asyncio.wait([self._worker], timeout=seconds)

    async def stop(self) -> None:
        """Take no more; end what is under way."""
        self.is_closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        """Handle what is queued, in order; texts that follow each other go to the log together."""
        try:
            while self._waiting and not self.is_closed:
                frames = [frame for waiting, _ in self._waiting for frame in waiting]
                taken, size = len(self._waiting), self._waiting_bytes
                start = 0
                while start < len(frames) and not self.is_closed:
                    end = start + 1
                    if isinstance(frames[start], Text):
                        while end < len(frames) and isinstance(frames[end], Text):
                            end += 1
                    await self._handle(frames[start:end])
                    start = end
                for _ in range(taken):
                    self._waiting.popleft()
                self._waiting_bytes -= size
        except Closing as closing:
            self._close_soon(closing.code, closing.reason, closing.retry_after)
        except Exception:
            fault = secrets.token_hex(8)
            logger.exception("socket.crashed", fault=fault, connection_id=self.connection_id)
            self._close_soon(CloseCode.RESTART, f"A fault of the server, in its log as {fault}.", 1)
        finally:
            self._worker = None

    async def _handle(self, frames: Frames) -> None:
        frame, connection = frames[0], self.connection
        if isinstance(frame, Bad):
            self._count_bad(frame)
            return
        if connection is None:
            if not isinstance(frame, Auth):
                error = Unauthenticated("Send auth first.")
                self._count_bad(Bad(error, getattr(frame, "client_id", None), getattr(frame, "id", None)))
                return
            await self._authenticate(frame)
            self._bad_frames = 0
            return
        if isinstance(frame, Auth):
            self._count_bad(Bad(InvalidMessage("This socket is authenticated already.")))
            return
        self._bad_frames = 0
        if connection.is_over_full:
            await connection.has_room()
        if isinstance(frame, Text):
            await connection.say(frames)
        elif isinstance(frame, Command):
            await connection.obey(frame)
        elif isinstance(frame, Open):
            connection.open(frame)
        elif isinstance(frame, Close):
            connection.close(frame.conversation_id)
        elif isinstance(frame, Heartbeat):
            connection.beat(frame)
        elif isinstance(frame, Received):
            connection.confirm(frame.frames - self._refused_early)

    def _count_bad(self, bad: Bad) -> None:
        self._bad_frames += 1
        frame = outgoing.error(bad.error, client_id=bad.client_id, id=bad.id)
        if self.connection is not None:
            self.connection.send(frame)
        else:
            self._refused_early += 1
            self._write(frame)
        if self._bad_frames >= MAX_BAD_FRAMES:
            raise Closing(CloseCode.BAD_PROTOCOL, f"{MAX_BAD_FRAMES} bad frames in a row.")
