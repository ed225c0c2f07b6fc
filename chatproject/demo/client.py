"""A strict client: it follows the contract to the letter and records where the server does not.

It reconnects with its cursors, sends again whatever was not answered, confirms what it received, and keeps a
`Mirror` of each conversation. Nothing that the server does wrong raises; it becomes a breach in `report()`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from .asks import Answered, Asks, Stopped
from .ledger import Report
from .link import Link
from .mirror import OPEN, Cursor, Mirror
from .wire import Frame

__all__ = ["START", "Answered", "Client", "Stopped"]

START: Frame = {"seq": 0}


class Client:
    """One device of one user. See `Link` for ``urls`` and ``backoff_seconds``."""

    def __init__(
        self,
        urls: list[str],
        token: str,
        device_id: str,
        *,
        seed: int | None = None,
        backoff_seconds: tuple[float, float] = (0.5, 30.0),
    ) -> None:
        self.token, self.device_id = token, device_id
        self.link = Link(self, urls, seed=seed, backoff_seconds=backoff_seconds)
        self.asks = Asks(self.link)
        self.mirrors: dict[str, Mirror] = {}
        self.counts: Counter[str] = Counter()
        self.breaches: list[str] = []
        self.feed: Cursor | None = None
        self.feed_entries: list[Frame] = []
        self.heard: list[Frame] = []
        self._starts: dict[str, Frame | None] = {}
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    # -- what a caller does

    async def start(self, open: dict[str, Frame | None] | None = None, *, seconds: float = 15) -> Frame:
        """Connect, wait until these are open, and return the `ready` frame. Raises Stopped, TimeoutError."""
        for conversation_id, cursor in (open or {}).items():
            self._follow(conversation_id, cursor)
        self._running = asyncio.create_task(self.link.run(), name=f"client {self.device_id}")
        await self.until(lambda: self.is_live or self.link.stopping, seconds)
        if self.link.stopping:
            raise Stopped(f"{self.device_id} closed with {self.link.closes}")
        return self.link.ready

    @property
    def is_live(self) -> bool:
        return self.link.connected and all(mirror.state == OPEN for mirror in self.mirrors.values())

    async def open(self, conversation_id: str, cursor: Frame | None = START, *, seconds: float = 15) -> Mirror:
        """Open (from the start by default) and wait for `opened`; open already: from where it is."""
        mirror = self._follow(conversation_id, cursor)
        openings = mirror.openings
        self._open(mirror)
        await self.until(lambda: mirror.openings > openings, seconds)
        return mirror

    async def text(self, conversation_id: str, content: str, **fields: Any) -> Frame:
        """Send until it is acked; return the `ack`. ``fields``: respond, if_seq, client_id.

        Raises Answered where it is refused, Stopped.
        """
        frame = {"type": "text", "client_id": uuid4().hex, "content": content, **fields}
        self.counts["sent"] += 1
        return await self.asks.ask(frame["client_id"], {**frame, "conversation_id": conversation_id})

    async def command(self, command: str, conversation_id: str | None = None, **args: Any) -> Frame:
        """Run it once, however often it is sent; return the answering frame. Raises Answered, Stopped."""
        frame: Frame = {"type": "command", "id": uuid4().hex, "command": command, "args": args}
        if conversation_id is not None:
            frame["conversation_id"] = conversation_id
        return await self.asks.ask(frame["id"], frame)

    async def new_conversation(self) -> str:
        """Make a conversation, open it from its start, and return its id."""
        result = await self.command("new_conversation")
        conversation_id: str = result["data"]["conversation_id"]
        await self.open(conversation_id)
        return conversation_id

    async def until(self, condition: Callable[[], Any], seconds: float) -> None:
        """Wait until it holds, looking after each WebSocket frame. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self._changed.wait()

    def cut(self) -> None:
        """Drop the TCP connection as a lost network does; the client comes back by itself."""
        self.link.cut()

    async def stop(self) -> None:
        self.link.stopping = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self.lost()

    def report(self) -> Report:
        """Return the counts, breaches, entries and acks, complete with what link and mirrors noticed."""
        mirrors = self.mirrors.values()
        parts: list[Client | Link | Asks | Mirror] = [self, self.link, self.asks, *mirrors]
        acks = self.asks.acks.items()
        return {
            "device_id": self.device_id,
            "counts": dict(sum((part.counts for part in parts), Counter())),
            "breaches": [text for part in parts for text in part.breaches] + self._broken_acks(),
            "entries": {mirror.conversation_id: [e.seen for e in mirror.entries] for mirror in mirrors},
            "acks": {key: [(seq, name) for name, seq in of.items()] for key, of in acks},
        }

    def _broken_acks(self) -> list[str]:
        """Return a breach for each ack whose entry is missing or is somebody else's."""
        broken = []
        for conversation_id, acks in self.asks.acks.items():
            mirror = self.mirrors.get(conversation_id)
            by_seq = {e.cursor.seq: e.data.get("client_id") for e in mirror.entries} if mirror else {}
            start = min(by_seq, default=0)
            wrong = [seq for name, seq in acks.items() if by_seq and seq >= start and by_seq.get(seq) != name]
            broken += [f"ack: of {conversation_id}/{seq}, where its entry is not" for seq in wrong]
        return broken

    # -- what the link calls

    def auth(self) -> Frame:
        for mirror in self.mirrors.values():
            mirror.asked()
        opened = {key: self._cursor(mirror) for key, mirror in self.mirrors.items()}
        auth: Frame = {"type": "auth", "device_id": self.device_id, "token": self.token, "open": opened}
        return {**auth, "feed": self.feed.as_json()} if self.feed else auth

    def beat(self) -> Frame:
        known = [mirror for mirror in self.mirrors.values() if mirror.state == OPEN and mirror.cursor]
        return {"cursors": {mirror.conversation_id: self._cursor(mirror) for mirror in known}}

    def lost(self) -> None:
        for mirror in self.mirrors.values():
            mirror.lost_socket()
        if self.link.stopping:
            self.asks.give_up()
        self.handled()

    def handled(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def handle(self, frame: Frame, raw: str) -> None:
        kind = frame["type"]
        if kind in ("event", "delta", "snapshot", "opened"):
            self._of_conversation(kind, frame, raw)
        elif kind == "system" and frame["event"] == "ready":
            self.feed = self.feed or Cursor.of(frame["feed"])
            self.asks.send_all()
        elif kind == "ack":
            self.asks.acked(frame)
        elif kind in ("result", "history"):
            self.asks.answered(frame["id"], frame)
        elif kind == "error":
            self.asks.refused(frame)
        elif kind in ("feed", "feed_reset"):
            self._fed(frame)
        elif kind in ("presence", "typing", "step"):
            self.heard.append(frame)

    # -- how it is done

    def _of_conversation(self, kind: str, frame: Frame, raw: str) -> None:
        mirror = self.mirrors.get(frame["conversation_id"])
        if mirror is None:
            self.breaches.append(f"uninvited: {kind} of a conversation never opened")
        elif kind == "event":
            mirror.event(frame, raw)
        elif kind == "delta":
            if mirror.delta(frame):
                self._open(mirror)
        else:
            (mirror.snapshot if kind == "snapshot" else mirror.opened)(frame)

    def _follow(self, conversation_id: str, cursor: Frame | None) -> Mirror:
        self._starts[conversation_id] = cursor
        mirror = self.mirrors.setdefault(conversation_id, Mirror(conversation_id))
        if mirror.cursor is None and cursor and "chain" in cursor:
            mirror.cursor = Cursor.of(cursor)
        return mirror

    def _cursor(self, mirror: Mirror) -> Frame | None:
        return mirror.cursor.as_json() if mirror.cursor else self._starts[mirror.conversation_id]

    def _open(self, mirror: Mirror) -> None:
        """Ask for it now; without a connection the next `auth` does."""
        if self.link.connected:
            mirror.asked()
            cursor = self._cursor(mirror)
            self.link.send({"type": "open", "conversation_id": mirror.conversation_id, "cursor": cursor})

    def _fed(self, frame: Frame) -> None:
        if frame["type"] == "feed_reset":
            self.counts["feed_resets"] += 1
            self.feed = Cursor.of(frame["head"])
            return
        cursor = Cursor.of(frame)
        if self.feed and cursor[:2] != (self.feed.epoch, self.feed.seq + 1):
            self.breaches.append(f"feed: {cursor.seq} after {self.feed.seq}")
        self.feed = cursor
        self.feed_entries.append(frame)
