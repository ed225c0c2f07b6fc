"""The consumers: one for each WebSocket, and one on every node that runs what is due.

A socket's frames are handled in order by one worker task; the node's outbox is the only writer. Neither worker nor
reader exist while there is nothing to do: an idle socket costs one waiting loop. Announcements are handed over where
they arrive. Channels' own dispatch is not used: it asks the database for old connections, in a thread, at each event.
"""

import asyncio
import contextlib
import secrets
import time
from collections import deque
from typing import Any

import structlog
from channels.consumer import AsyncConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer

from conversations.announce import user_group
from conversations.errors import Forbidden, InvalidMessage, RateLimited, TetherError, Unauthenticated

from . import auth, outgoing
from .auth import Identity
from .codes import MAX_BAD_FRAMES, MAX_FRAME_BYTES, MAX_UNANSWERED_FRAMES, CloseCode
from .connection import Connection
from .frames import Auth, Bad, Close, Command, Heartbeat, Open, Received, Text, parse
from .node import Node, running_node
from .outbox import AsgiWriter, Write

# As many texts of the largest size as may be unanswered; frames may be larger, but nobody needs many of those.
MAX_UNANSWERED_BYTES = 32 * MAX_FRAME_BYTES

FOREIGN_SECONDS = 0.5
# Whoever revokes the login or token that they use themselves is told so first.
LAST_ANSWER_SECONDS = 1.0

logger = structlog.get_logger(__name__)

Frames = list[Any]


class Closing(Exception):
    """End this socket with a `bye`: code, reason, and when to come back."""

    def __init__(self, code: CloseCode, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class SocketConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One WebSocket. Joins its user's group once authenticated; then first the group, then the log."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.base_send = send
        self.opened_at = self.heard_at = time.monotonic()
        self.connection_id = secrets.token_hex(12)
        self.identity: Identity | None = None
        self.device_id = ""
        self.connection: Connection | None = None
        self._inbox: deque[tuple[Frames, int]] = deque()
        self._inbox_bytes = 0
        self._bad_frames = 0
        self._auth_at: float | None = None  # what takes long after it is our fault, not the client's
        self._worker: asyncio.Task[None] | None = None
        # `serve` offers a write that does not wait; any other ASGI server gets the same through `send`.
        self._write: Write = scope.get("extensions", {}).get("tether.write") or AsgiWriter(send)
        self._closing: asyncio.Task[None] | None = None
        self.node: Node = await running_node()
        self.channel_layer = get_channel_layer()
        self.channel_name = await self.channel_layer.new_channel()
        try:
            await self._serve(receive)
        finally:
            # Also when the node kills this task: the places it holds must be given back.
            await asyncio.shield(asyncio.ensure_future(self._leave()))

    async def _serve(self, receive: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.receive":
                self._take_in(message.get("text"))
            elif message["type"] == "websocket.connect":
                if listen := self.scope.get("extensions", {}).get("tether.listen"):
                    listen(self._take_in)  # `serve` hands messages over where they arrive
                await self.base_send({"type": "websocket.accept"})
                self.node.sockets.add(self)
                self._refuse_early()
            else:
                return

    def _refuse_early(self) -> None:
        """Refuse what no `auth` can mend; a page that is not ours a little later, so that its `auth` is answered."""
        if self.node.draining:
            self.close_soon(CloseCode.RESTART, "This node is being restarted.", self.node.spread_seconds())
            return
        try:
            auth.check_origin(self.scope)
        except Forbidden as error:
            asyncio.get_running_loop().call_later(FOREIGN_SECONDS, self._refuse_foreign, error.message)

    def _refuse_foreign(self, reason: str) -> None:
        if self.identity is None:  # a token in its `auth` may have let it in
            self.close_soon(CloseCode.FORBIDDEN, reason)

    # -- frames in

    def _take_in(self, text: str | None) -> None:
        """Take what needs no waiting at once, queue the rest for the worker, in order."""
        if self._closing is not None:
            return
        self.heard_at = time.monotonic()
        frames = parse(text) if text is not None else [Bad(InvalidMessage("Send text frames only."))]
        if self.connection is not None:
            for frame in frames:  # at once: a worker may wait for just this room
                if isinstance(frame, Received | Heartbeat) and frame.frames is not None:
                    self.connection.confirm(frame.frames)
            if len(frames) == 1 and isinstance(frames[0], Received):
                self._bad_frames = 0
                return
        elif isinstance(frames[0], Auth):
            self._auth_at = self._auth_at or self.heard_at
        size = len(text or "")
        self._inbox.append((frames, size))
        self._inbox_bytes += size
        if len(self._inbox) > MAX_UNANSWERED_FRAMES or self._inbox_bytes > MAX_UNANSWERED_BYTES:
            self.close_soon(CloseCode.RATE, "Too many frames are unanswered; wait for the answers.", 1)
            return
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work(), name="socket")

    async def _work(self) -> None:
        """Handle what is queued, in order; texts that follow each other go to the log together."""
        try:
            while self._inbox and self._closing is None:
                frames = [frame for queued, _ in self._inbox for frame in queued]
                taken, size = len(self._inbox), self._inbox_bytes
                start = 0
                while start < len(frames) and self._closing is None:
                    end = start + 1
                    if isinstance(frames[start], Text):
                        while end < len(frames) and isinstance(frames[end], Text):
                            end += 1
                    await self._handle(frames[start:end])
                    start = end
                for _ in range(taken):
                    self._inbox.popleft()
                self._inbox_bytes -= size
        except Closing as closing:
            self.close_soon(closing.code, closing.reason, closing.retry_after)
        except Exception:
            fault = secrets.token_hex(8)
            logger.exception("socket.crashed", fault=fault, connection_id=self.connection_id)
            self.close_soon(CloseCode.RESTART, f"A fault of the server, in its log as {fault}.", 1)
        finally:
            self._worker = None

    async def _handle(self, frames: Frames) -> None:
        frame = frames[0]
        if isinstance(frame, Bad):
            self._count_bad(frame)
            return
        if self.connection is None:
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
        await self.connection.has_room()
        if isinstance(frame, Text):
            await self.connection.say(frames)
        elif isinstance(frame, Command):
            await self.connection.obey(frame)
        elif isinstance(frame, Open):
            self.connection.open(frame)
        elif isinstance(frame, Close):
            self.connection.close(frame.conversation_id)
        elif isinstance(frame, Heartbeat):
            self.connection.beat(frame)
        elif isinstance(frame, Received):
            self.connection.confirm(frame.frames)

    def _count_bad(self, bad: Bad) -> None:
        self._bad_frames += 1
        frame = outgoing.error(bad.error, client_id=bad.client_id, id=bad.id)
        if self.connection is not None:
            self.connection.send(frame)
        else:
            self._write(frame)
        if self._bad_frames >= MAX_BAD_FRAMES:
            raise Closing(CloseCode.BAD_PROTOCOL, f"{MAX_BAD_FRAMES} bad frames in a row.")

    # -- the door

    async def _authenticate(self, frame: Auth) -> None:
        try:
            identity = await auth.identify(self.scope, frame.token)
            await self._admit(identity, frame)
        except Unauthenticated as error:
            raise Closing(CloseCode.UNAUTHENTICATED, error.message) from error
        except Forbidden as error:
            raise Closing(CloseCode.FORBIDDEN, error.message) from error
        except RateLimited as error:
            raise Closing(CloseCode.TOO_MANY_CONNECTIONS, error.message, 5) from error
        except TetherError as error:
            raise Closing(CloseCode.RESTART, error.message, error.retry_after or 1) from error

    async def _admit(self, identity: Identity, frame: Auth) -> None:
        """Take a place, listen for revocations and entries, and only then look at credentials and log once more."""
        full = await self.node.registry.register(
            connection_id=self.connection_id,
            user_id=identity.user_id,
            address=auth.client_address(self.scope),
            device_id=frame.device_id,
            device_name=frame.device_name or "",
        )
        if full is not None:
            raise RateLimited(f"Too many connections of this {full}.")
        self.identity = identity
        self.device_id = frame.device_id
        await self.channel_layer.group_add(user_group(identity.user_id), self.channel_name)
        await auth.admit_device(identity, device_id=frame.device_id, name=frame.device_name or "")
        connection = Connection(self.node, identity, frame.device_id, self._write)
        await connection.start(frame)
        self.connection = connection
        self.channel_layer.listen(self.channel_name, self._announced)
        connection.session.doubt()  # what was announced before we listened
        await self.node.tell_presence(identity.user_id)

    def _announced(self, message: dict[str, Any]) -> None:
        """Take an announcement where it arrives; the outbox writes when all of them are taken."""
        if message["type"] == "revoked":
            self.revoke(message)
        elif self.connection is not None:
            self.connection.announced(message)
            self.connection.wake()

    def revoke(self, revoked: dict[str, str]) -> None:
        """Close with 4401 if the revocation is about this socket's user, login, token or device."""
        identity = self.identity
        if identity is None or revoked["user_id"] != identity.user_id:
            return
        mine = {
            "user": "",
            "session": identity.session_key,
            "token": "" if identity.token_id is None else str(identity.token_id),
            "device": self.device_id,
        }
        if revoked["kind"] == "user" or (revoked["value"] and mine.get(revoked["kind"]) == revoked["value"]):
            self.close_soon(CloseCode.UNAUTHENTICATED, "You were signed out.")

    # -- the end

    def tick(self, now: float, *, auth_seconds: float, heartbeat_seconds: float, flow_seconds: float) -> None:
        """Called each second by the node: too late, too silent or too slow sockets end here."""
        if self._closing is not None:
            return
        if self.connection is None:
            if self._auth_at is None and now - self.opened_at > auth_seconds:
                self.close_soon(CloseCode.UNAUTHENTICATED, "No auth came in time.")
            elif self._auth_at is not None and now - self._auth_at > auth_seconds:
                self.close_soon(CloseCode.RESTART, "The server cannot let you in just now; come back.", 1)
            return
        self.connection.tick(now)
        if now - self.heard_at > 2 * heartbeat_seconds:
            self.close_soon(CloseCode.SLOW, "Two heartbeats were missed.")
        elif self.connection.stalled_seconds(now) > flow_seconds:
            self.close_soon(CloseCode.SLOW, "What was sent is not being confirmed.")

    def close_soon(self, code: CloseCode, reason: str, retry_after: float | None = None) -> None:
        """Say `bye`, then close; once."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(
                self._close(code, reason, retry_after), name="closing"
            )

    async def _close(self, code: CloseCode, reason: str, retry_after: float | None) -> None:
        logger.info("socket.closed_by_us", connection_id=self.connection_id, code=int(code), reason=reason)
        if self._worker is not None and code == CloseCode.UNAUTHENTICATED:
            await asyncio.wait([self._worker], timeout=LAST_ANSWER_SECONDS)
        if self.connection is not None:
            self.connection.flush()
        self._write(outgoing.bye(int(code), reason, retry_after or 0))
        if isinstance(self._write, AsgiWriter):
            await self._write.drained()
        await self.base_send({"type": "websocket.close", "code": int(code)})

    async def _leave(self) -> None:
        self.node.sockets.discard(self)
        if self._closing is not None:
            await asyncio.wait([self._closing], timeout=1)
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        if self.connection is not None:
            await self.connection.stop()
        if self.identity is not None:
            with contextlib.suppress(TetherError):
                await self.channel_layer.group_discard(user_group(self.identity.user_id), self.channel_name)
                await self.node.registry.unregister(self.connection_id)
                await self.node.tell_presence(self.identity.user_id)
        self.channel_layer.forget_channel(self.channel_name)


class TurnConsumer(AsyncConsumer):  # type: ignore[misc]
    """Every node hosts one. What the sweep finds due arrives as `turn.due`; the turn outlives this handler."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        while True:
            message = await receive()
            if message["type"] != "turn.due":
                return
            self.turn_due(message)

    def turn_due(self, message: dict[str, Any]) -> None:
        self.scope["runner"].start_soon(message["conversation_id"])
