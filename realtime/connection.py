"""An authenticated socket at work: feeds its session with facts, carries out its reads, writes its frames out."""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError

from conversations import asides, feed, log, messages, notices, people, services
from conversations.errors import Forbidden, RateLimited, TetherError, Unavailable
from conversations.events import Position, now_text
from conversations.log import Cursor

from . import commands, frames, limits, outgoing
from .auth import Identity
from .codes import LIMITS, MAX_FRAME_BYTES, PROTOCOL_VERSION
from .node import Node
from .session import FEED, Read, Session

# A WebSocket frame holds what is queued, up to this; below the limit by the brackets of a batch and one answer.
FRAME_BYTES = MAX_FRAME_BYTES - 16 * 1024
QUIET_SECONDS = 2.0
RETRY_SECONDS = 0.5

Write = Callable[[bytes], None]

logger = structlog.get_logger(__name__)


class Connection:
    """What the frames of one socket do. ``session`` decides what may be sent."""

    def __init__(self, node: Node, identity: Identity, device_id: str, write: Write) -> None:
        self.node = node
        self.identity = identity
        self.user_id = identity.user_id
        self.device_id = device_id
        self.conversation_id = ""
        self.session = Session(settings.FLOW_WINDOW_BYTES)
        self._most_bytes = 2 * settings.FLOW_WINDOW_BYTES
        self.on_revoked: Callable[[dict[str, str]], None] = _ignore
        self._write = write
        self._reader: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._stalled_at: float | None = None
        self._sent_at = 0.0

    # -- beginning

    async def start(self, frame: frames.Auth) -> None:
        """Tell who and where the client is, then open what it asked for. Raises Unavailable, TooLarge."""
        latest = await services.find_latest_conversation(user_id=self.user_id)
        head = (await feed.read(self.user_id, None)).head
        said = await notices.frames_for(self.user_id)
        self.conversation_id = latest.conversation_id
        self.send(outgoing.encode(self._ready(latest, head)))
        for notice in said:
            self.send(notice)
        self.session.open_feed(_position(frame.feed), head)
        wanted = {latest.conversation_id: None} if frame.opens_latest else frame.open or {}
        for conversation_id, cursor in wanted.items():
            self.session.open(conversation_id, _cursor(cursor))
        self.wake()

    def _ready(self, latest: services.Latest, head: Position) -> dict[str, Any]:
        return {
            "type": "system",
            "event": "ready",
            "session_id": latest.conversation_id,
            "conversation_id": latest.conversation_id,
            "recovered": latest.recovered,
            "last_active": latest.last_active,
            "message_count": latest.message_count,
            "user": {"id": self.user_id, "username": self.identity.username},
            "device_id": self.device_id,
            "node": self.node.name,
            "protocol": PROTOCOL_VERSION,
            "heartbeat_seconds": settings.HEARTBEAT_SECONDS,
            "server_time": now_text(),
            "limits": LIMITS | {"flow_window_bytes": settings.FLOW_WINDOW_BYTES},
            "feed": head.wire(),
        }

    # -- what the client says

    async def say(self, texts: list[frames.Text]) -> None:
        """Append messages in order, each answered by its `ack` or `error`; those of one moment together."""
        granted, wait_seconds = await self._granted("messages", len(texts))
        by_conversation: dict[str, list[frames.Text]] = {}
        for text in texts[:granted]:
            by_conversation.setdefault(text.conversation_id or self.conversation_id, []).append(text)
        if len(by_conversation) == 1:
            for conversation_id, said in by_conversation.items():
                await self._say_in(conversation_id, said)
        else:
            await asyncio.gather(*[self._say_in(each, said) for each, said in by_conversation.items()])
        if granted < len(texts):
            self._refuse_texts(texts[granted:], wait_seconds)
        self.wake()

    async def _say_in(self, conversation_id: str, texts: list[frames.Text]) -> None:
        user_id, device_id = self.user_id, self.device_id
        drafts = [
            messages.draft_message(
                user_id=user_id,
                device_id=device_id,
                client_id=text.client_id,
                content=text.content,
                respond=text.respond,
                if_seq=text.if_seq,
                retry=text.retry,
            )
            for text in texts
        ]
        done: list[log.Appended | TetherError]
        try:
            done = await messages.append_drafts(conversation_id, user_id, device_id, drafts)
        except Exception as error:
            done = [self.as_problem(error)] * len(drafts)
        appended = []
        for draft, where in zip(drafts, done, strict=True):
            if isinstance(where, TetherError):
                if isinstance(where, Forbidden):
                    self.node.denials.note(self.user_id, "text")
                self.send(outgoing.error(where, client_id=draft.client_id, conversation_id=conversation_id))
                continue
            self.send(outgoing.ack(draft.client_id, conversation_id, where.message_id, where.seq, where.duplicate))
            appended.append((where, draft))
        log.announce_appended(conversation_id, appended)
        for where, draft in appended:
            if where.is_next:
                self.node.runner.start_soon(conversation_id, draft.turn_id, 0)

    async def _granted(self, kind: str, count: int) -> tuple[int, float]:
        """Return how many of so many the user's bucket grants now, and the seconds until one more would be."""
        if not limits.is_limited(kind):
            return count, 0.0
        try:
            return await limits.take_some(self.user_id, kind, count)
        except Unavailable:
            return count, 0.0  # the store itself will say so

    def _refuse_texts(self, texts: list[frames.Text], wait_seconds: float) -> None:
        error = RateLimited("Too many messages; wait a little.", retry_after=round(max(0.1, wait_seconds), 2))
        for text in texts:
            conversation_id = text.conversation_id or self.conversation_id
            self.send(outgoing.error(error, client_id=text.client_id, conversation_id=conversation_id))

    async def obey(self, command: frames.Command) -> None:
        """Carry a command out and answer it."""
        try:
            granted, wait_seconds = await self._granted("commands", 1)
            if not granted:
                raise RateLimited("Too many commands; wait a little.", retry_after=round(max(0.1, wait_seconds), 2))
            self.send(await commands.run(self, command))
        except Exception as error:
            problem = self.as_problem(error)
            if isinstance(problem, Forbidden):
                self.node.denials.note(self.user_id, command.command)
            self.send(outgoing.error(problem, id=command.id, conversation_id=command.conversation_id))
        self.wake()

    def as_problem(self, error: Exception) -> TetherError:
        """Return the error as the wire tells it; what is our own fault is logged under an id."""
        if isinstance(error, TetherError):
            return error
        if isinstance(error, OperationalError | InterfaceError):
            return Unavailable("The database does not answer; try again.", retry_after=1)
        fault = secrets.token_hex(8)
        logger.error("socket.fault", fault=fault, user_id=self.user_id, exc_info=error)
        return TetherError("Something went wrong here; try again.", data={"fault": fault}, retry_after=1)

    def open(self, frame: frames.Open) -> None:
        self.session.open(frame.conversation_id, _cursor(frame.cursor))
        self.wake()

    def close(self, conversation_id: str) -> None:
        self.session.close(conversation_id)

    def confirm(self, count: int) -> None:
        if self.session.confirm(count):
            self._stalled_at = None
            self._room.set()
            self.wake()

    def beat(self, frame: frames.Heartbeat) -> None:
        """Answer with the heads, and read again what the client's cursors show to be missing."""
        settled = self.session.has_arrived(frame.frames)
        if frame.frames is None and not settled:  # a client that confirms elsewhere, or not yet
            settled = time.monotonic() - self._sent_at > QUIET_SECONDS
        for conversation_id, cursor in (frame.cursors or {}).items():
            self.session.claims(conversation_id, Cursor(cursor.epoch, cursor.seq, cursor.chain or ""), settled=settled)
        position = _position(frame.feed)
        if position is not None:
            self.session.claims(FEED, Cursor(*position), settled=settled)
        heads = self.session.cursors()
        for conversation_id in heads:
            known = self.node.heads.get(conversation_id)
            if known and known.position.seq > heads[conversation_id]["seq"]:
                heads[conversation_id] = known.position.wire()
        self.send(outgoing.heartbeat(heads, self.session.feed_cursor()))
        self.wake()

    # -- what the layer says

    def hear(self, message: dict[str, Any]) -> None:
        """Take an announcement where it arrives; the outbox writes when all of them are taken."""
        session = self.session
        match message["type"]:
            case "entries":
                session.entries(message["c"], message["e"], message["i"])
            case "piece":
                session.piece(message["c"], message["t"], message["a"], message["n"], message["f"])
            case "feed":
                session.feed_entry(message["e"], message["s"], message["h"], message["f"])
            case "hint":
                if message.get("d") != self.device_id:
                    session.hint(message["c"], message["f"])
            case "direct":
                if not session.is_full:
                    session.push(message["f"])
            case "departed":
                session.recheck(message["c"])
            case "doubt":
                session.doubt()
            case "revoked":
                self.on_revoked(message)
        self.wake()

    # -- frames out

    def send(self, frame: bytes) -> None:
        self.session.push(frame)
        self.node.outbox.flush_soon(self)

    def wake(self) -> None:
        """Let the outbox and the reader look whether there is something to do."""
        if self.session.out:
            self.node.outbox.flush_soon(self)
        if self.session.reads and self._reader is None:
            self._reader = asyncio.get_running_loop().create_task(self._read(), name="reader")

    def flush(self) -> None:
        """Write everything queued in as few WebSocket frames as fit. Called by the outbox only: one writer."""
        session = self.session
        if not session.out:
            return
        out, session.out = session.out, []
        self._sent_at = time.monotonic()
        for data in packed(out):
            session.sent(len(data))
            self._write(data)
        session.emptied()

    async def _read(self) -> None:
        try:
            while self.session.reads:
                await self._read_one(self.session.reads.popleft())
                self.node.outbox.flush_soon(self)
        finally:
            self._reader = None

    async def _read_one(self, read: Read) -> None:
        conversation_id = read.conversation_id
        try:
            if conversation_id == FEED:
                assert read.cursor is not None
                cursor = Position(read.cursor.epoch or 0, read.cursor.seq, read.cursor.chain)
                self.session.feed_page(read, await feed.read(self.user_id, cursor, most_bytes=read.most_bytes))
            else:
                page = await log.read(conversation_id, self.user_id, read.cursor, most_bytes=read.most_bytes)
                if isinstance(page, log.Snapshot):
                    page = page._replace(names=await self._names(page.members))
                    page = page._replace(entries=await self._entries(conversation_id, page))
                self.session.page(read, page)
        except Forbidden as error:
            self.node.denials.note(self.user_id, "open")
            frame = outgoing.error(error, conversation_id=conversation_id)
            self.session.read_failed(read, frame, gone=True)
        except Exception as error:
            self.as_problem(error)
            self.session.read_failed(read, b"", gone=False)  # the node's next poll tries again

    async def _names(self, members: dict[str, str]) -> dict[str, str]:
        if len(members) == 1:  # nearly all: then nobody needs to be asked
            return {self.user_id: self.identity.username}
        try:
            return await people.names(members)
        except Unavailable:
            return {}  # a snapshot without names is better than none

    async def _entries(self, conversation_id: str, page: log.Snapshot) -> list[dict[str, Any]]:
        from_seq = page.messages[0]["seq"] if page.more and page.messages else 0
        return await asides.read_asides(conversation_id, self.user_id, from_seq=from_seq, before_seq=page.head.seq + 1)

    # -- time and the end

    @property
    def is_over_full(self) -> bool:
        return bool(self.session.unconfirmed_bytes > self._most_bytes)

    async def has_room(self) -> None:
        """Wait while the client leaves twice the window unconfirmed: nobody's answers pile up here."""
        while self.is_over_full:
            self._room.clear()
            await self._room.wait()

    def tick(self, now: float) -> None:
        if not self.session.is_stalled:
            self._stalled_at = None
        elif self._stalled_at is None:
            self._stalled_at = now
        self.wake()

    def stalled_seconds(self, now: float) -> float:
        """Return since when the client has left a full window unconfirmed, without any progress."""
        return 0.0 if self._stalled_at is None or not self.session.is_full else now - self._stalled_at

    async def stop(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])


def _ignore(revoked: dict[str, str]) -> None:
    """Nobody listens to this socket's layer yet; the node polls for revocations too."""


def packed(out: list[bytes]) -> list[bytes]:
    """Return WebSocket frames: one frame as it is, several as an array, each array below the size limit."""
    if len(out) == 1:
        return out
    batches, start, size = [], 0, 0
    for index, frame in enumerate(out):
        if size and size + len(frame) > FRAME_BYTES:
            batches.append(_batch(out[start:index]))
            start, size = index, 0
        size += len(frame) + 1
    batches.append(_batch(out[start:]))
    return batches


def _batch(out: list[bytes]) -> bytes:
    return out[0] if len(out) == 1 else b"[" + b",".join(out) + b"]"


def _cursor(cursor: frames.Cursor | None) -> Cursor | None:
    return None if cursor is None else Cursor(cursor.epoch, cursor.seq, cursor.chain or "")


def _position(cursor: frames.Cursor | None) -> Position | None:
    return None if cursor is None else Position(cursor.epoch or 0, cursor.seq, cursor.chain or "")
