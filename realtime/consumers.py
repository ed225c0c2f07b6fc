"""The consumers: one for each WebSocket, and one on every node that runs what is due.

A socket's frames are handled in order by one worker task; the node's outbox is the only writer. Neither worker nor
reader exist while there is nothing to do: an idle socket costs one waiting loop. Announcements are handed over where
they arrive. Channels' own dispatch is not used: it asks the database for old connections, in a thread, at each event.
"""

import asyncio
import contextlib
import secrets
import time
from typing import Any

import structlog
from channels.consumer import AsyncConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer

from conversations.announce import user_group
from conversations.errors import Forbidden, RateLimited, TetherError, Unauthenticated

from . import auth, outgoing
from .auth import Identity
from .codes import CloseCode
from .connection import Connection
from .frames import Auth
from .inbox import MAX_UNREAD_BYTES, Closing, Inbox
from .node import Node, running_node
from .outbox import AsgiWriter, Write

FOREIGN_SECONDS = 0.5
# As long as a client may leave us more than MAX_UNREAD_BYTES: a burst is on its way before its confirmations are.
UNREAD_SECONDS = 2.0
# Whoever revokes the login or token that they use themselves is told so first.
LAST_ANSWER_SECONDS = 1.0

logger = structlog.get_logger(__name__)


class SocketConsumer(AsyncWebsocketConsumer):
    """One WebSocket. Joins its user's group once authenticated; then first the group, then the log."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.base_send = send
        self.opened_at = time.monotonic()
        self.connection_id = secrets.token_hex(12)
        self.identity: Identity | None = None
        self.device_id = ""
        # `serve` offers a write that does not wait; any other ASGI server gets the same through `send`.
        self._write: Write = scope.get("extensions", {}).get("tether.write") or AsgiWriter(send)
        self._closing: asyncio.Task[None] | None = None
        self._inbox = Inbox(self.connection_id, self._authenticate, self._write, self.close_soon)
        self.node: Node = await running_node()
        self.channel_layer = get_channel_layer()
        self.channel_name = await self.channel_layer.new_channel()
        try:
            await self._serve(receive)
        finally:
            # Also when the node kills this task: the places it holds must be given back.
            await asyncio.shield(asyncio.ensure_future(self._leave()))

    @property
    def connection(self) -> Connection | None:
        return self._inbox.connection

    async def _serve(self, receive: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.receive":
                self._inbox.take(message.get("text"))
            elif message["type"] == "websocket.connect":
                if listen := self.scope.get("extensions", {}).get("tether.listen"):
                    listen(self._inbox.take)  # `serve` hands messages over where they arrive
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
        self._inbox.connection = connection
        connection.on_revoked = self.revoke
        self.channel_layer.listen(self.channel_name, connection.hear)
        connection.session.doubt()  # what was announced before we listened
        await self.node.tell_presence(identity.user_id)

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
            if self._inbox.auth_at is None and now - self.opened_at > auth_seconds:
                self.close_soon(CloseCode.UNAUTHENTICATED, "No auth came in time.")
            elif self._inbox.auth_at is not None and now - self._inbox.auth_at > auth_seconds:
                self.close_soon(CloseCode.RESTART, "The server cannot let you in just now; come back.", 1)
            return
        self.connection.tick(now)
        if now - self._inbox.heard_at > 2 * heartbeat_seconds:
            self.close_soon(CloseCode.SLOW, "Two heartbeats were missed.")
        elif self._inbox.held_bytes > MAX_UNREAD_BYTES and self.connection.stalled_seconds(now) > UNREAD_SECONDS:
            self.close_soon(CloseCode.RATE, "Too much is unanswered, and what was sent is not being confirmed.", 1)
        elif self.connection.stalled_seconds(now) > flow_seconds:
            self.close_soon(CloseCode.SLOW, "What was sent is not being confirmed.")

    def close_soon(self, code: CloseCode, reason: str, retry_after: float | None = None) -> None:
        """Say `bye`, then close; once."""
        if self._closing is None:
            self._inbox.is_closed = True
            self._closing = asyncio.get_running_loop().create_task(
                self._close(code, reason, retry_after), name="closing"
            )

    async def _close(self, code: CloseCode, reason: str, retry_after: float | None) -> None:
        logger.info("socket.closed_by_us", connection_id=self.connection_id, code=int(code), reason=reason)
        try:
            if code == CloseCode.UNAUTHENTICATED:
                await self._inbox.finish(LAST_ANSWER_SECONDS)
            if self.connection is not None:
                self.connection.flush()
            self._write(outgoing.bye(int(code), reason, retry_after or 0))
            if isinstance(self._write, AsgiWriter):
                await self._write.drained()
        finally:  # whatever is wrong with its last words, it ends
            await self.base_send({"type": "websocket.close", "code": int(code)})

    async def _leave(self) -> None:
        self.node.sockets.discard(self)
        if self._closing is not None:
            await asyncio.wait([self._closing], timeout=1)
        await self._inbox.stop()
        # Before what asks Redis: whatever fails there, nobody listens any more.
        self.channel_layer.forget_channel(self.channel_name)
        if self.connection is not None:
            await self.connection.stop()
        if self.identity is not None:
            with contextlib.suppress(TetherError):
                await self.channel_layer.group_discard(user_group(self.identity.user_id), self.channel_name)
                await self.node.registry.unregister(self.connection_id)
                await self.node.tell_presence(self.identity.user_id)


class TurnConsumer(AsyncConsumer):
    """Every node hosts one. What the sweep finds due arrives as `turn.due`, what others cancelled as `turn.cancel`;
    the turn outlives these handlers.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        handlers = {"turn.due": self.turn_due, "turn.cancel": self.turn_cancel}
        while True:
            message = await receive()
            if message["type"] not in handlers:
                return
            handlers[message["type"]](message)

    def turn_due(self, message: dict[str, Any]) -> None:
        turn_id, attempts = message.get("turn_id", ""), message.get("attempts", 0)
        self.scope["runner"].start_soon(message["conversation_id"], turn_id, attempts)

    def turn_cancel(self, message: dict[str, Any]) -> None:
        self.scope["runner"].hear_cancel(message["c"], message["t"], message["d"])
