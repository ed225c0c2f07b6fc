"""One socket's frames on their way in: what needs no waiting is done at once, the rest by one worker, in order.

No worker exists while there is nothing to do, so an idle socket costs nothing here.
"""

import asyncio
import secrets
import sys
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
# What a client that has not come in yet, or that does not read, may make the node hold.
MAX_UNREAD_BYTES = 1024 * 1024
# Parsed, frames may take thirty times their size: what waits behind so much is parsed again when its turn comes.
MAX_PARSED_BYTES = 32 * 1024
# So many answers at the most before it is looked again whether the client reads them.
MOST_TEXTS = 500

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
        self._waiting: deque[tuple[Frames | str, int]] = deque()  # the messages, and their sizes in memory
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
        size = sys.getsizeof(text)
        self._waiting_bytes += size
        if text is not None and self._waiting and self._waiting_bytes > MAX_PARSED_BYTES:
            self._waiting.append((text, size))
        else:
            self._waiting.append((frames, size))
        most_bytes = MAX_UNREAD_BYTES if self.connection is None else MAX_UNANSWERED_BYTES
        if len(self._waiting) > MAX_UNANSWERED_FRAMES or self._waiting_bytes > most_bytes:
            self._close_soon(CloseCode.RATE, "Too many frames are unanswered; wait for the answers.", 1)
        elif self._worker is None:
            self._worker = self._loop.create_task(self._work(), name="socket")

    @property
    def held_bytes(self) -> int:
        """What the node holds for this client: its frames that are not handled, and what it has not confirmed."""
        return self._waiting_bytes + (self.connection.session.unconfirmed_bytes if self.connection else 0)

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
                frames, taken, size = self._next()
                start = 0
                while start < len(frames) and not self.is_closed:
                    end = start + 1
                    if isinstance(frames[start], Text):
                        last = min(len(frames), start + MOST_TEXTS)
                        while end < last and isinstance(frames[end], Text):
                            end += 1
                    await self._handle(frames[start:end])
                    start = end
                for _ in range(taken):
                    self._waiting.popleft()
                self._waiting_bytes -= size
        except Closing as closing:
            self._close_soon(closing.code, closing.reason, closing.retry_after)
        except Exception:  # nobody else would hear of it, and the socket would stay, deaf
            fault = secrets.token_hex(8)
            logger.exception("socket.crashed", fault=fault, connection_id=self.connection_id)
            self._close_soon(CloseCode.RESTART, f"A fault of the server, in its log as {fault}.", 1)
        finally:
            self._worker = None

    def _next(self) -> tuple[Frames, int, int]:
        """Return the frames to handle next, and how many messages and bytes those are."""
        frames: Frames = []
        taken = size = 0
        for waiting, waiting_bytes in self._waiting:
            frames += parse(waiting) if isinstance(waiting, str) else waiting
            taken += 1
            size += waiting_bytes
            if size > MAX_PARSED_BYTES:
                break
        return frames, taken, size

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
