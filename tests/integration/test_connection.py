"""A socket's connection on the real log and feed: what it writes, when, and how much."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.conf import settings

from conversations import feed
from conversations.log import Cursor
from realtime import frames
from realtime.auth import Identity
from realtime.codes import MAX_FRAME_BYTES
from realtime.connection import Connection
from realtime.node import Node
from tests.archive_kit import Talk, archive_all, new_talk, redis, say, snapshot_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SECONDS = 10
SMALL, LARGE = "hello", "\x01" * 32_000  # of which JSON makes 192,000 bytes


class Socket:
    """A device's connection to a node whose periodic work is done by hand. No announcement ever reaches it."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.written: list[bytes] = []
        self.node = Node("n1")
        self.connection = Connection(self.node, Identity(talk.user_id, "ana"), "phone", self.written.append)
        self.node.sockets.add(self)  # type: ignore[arg-type]

    def open(self, seq: int = 0, cursor: Cursor | None = None) -> None:
        fields = {"seq": seq} if cursor is None else cursor._asdict()
        where = {"conversation_id": self.talk.conversation_id, "cursor": frames.Cursor(**fields)}
        self.connection.open(frames.Open(type="open", **where))

    def close(self) -> None:
        self.connection.close(self.talk.conversation_id)

    def confirm(self) -> None:
        self.connection.confirm(len(self.written))

    def frames(self, kind: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for data in self.written:
            value = orjson.loads(data)
            found += value if isinstance(value, list) else [value]
        return [frame for frame in found if not kind or frame["type"] == kind]

    def seqs(self, kind: str = "event") -> list[int]:
        return [frame["seq"] for frame in self.frames(kind)]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():  # noqa: ASYNC110  # nothing of it has an event
                await asyncio.sleep(0.005)

    async def until_opened(self, times: int = 1) -> None:
        await self.until(lambda: len(self.frames("opened")) == times)

    async def poll(self) -> None:
        await self.node._poll_heads()


async def stalled_and_read_out(socket: Socket, is_whole: Callable[[], bool]) -> int:
    """Return how much came before the first confirmation; then confirm until everything is there."""
    await socket.until(lambda: socket.connection.session.is_stalled)
    await socket.until(lambda: not socket.connection.session.out)
    first_bytes = sum(map(len, socket.written))
    while not is_whole():
        before = len(socket.written)
        socket.confirm()
        await socket.until(lambda b=before: len(socket.written) > b)  # type: ignore[misc]
    assert max(map(len, socket.written)) <= MAX_FRAME_BYTES
    return first_bytes


@pytest.mark.parametrize("source", ["stream", "archive"])
@pytest.mark.parametrize(("text", "count"), [(SMALL, 1200), (LARGE, 6)], ids=["small", "large"])
async def test_a_log_that_is_not_confirmed_fills_the_window_and_no_more(source: str, text: str, count: int) -> None:
    talk = await new_talk()
    await say(talk, count, text=text[:31_990])
    if source == "archive":
        await archive_all()
        await redis().flushall()
        await snapshot_of(talk)  # brings it back, without a stream
    socket = Socket(talk)
    socket.open()
    first_bytes = await stalled_and_read_out(socket, lambda: bool(socket.frames("opened")))
    one_frame = max(len(orjson.dumps(frame)) for frame in socket.frames("event"))
    assert first_bytes <= settings.FLOW_WINDOW_BYTES + one_frame
    assert socket.seqs() == list(range(1, count + 1))


@pytest.mark.parametrize(("text", "count"), [("x" * 200, 900), (LARGE, 6)], ids=["small", "large"])
async def test_a_feed_that_is_not_confirmed_fills_the_window_and_no_more(text: str, count: int) -> None:
    talk = await new_talk()
    start = (await feed.read(talk.user_id, None)).head
    for _ in range(count):
        await feed.push(talk.user_id, "conversation.draft", {"conversation_id": talk.conversation_id, "content": text})
    socket = Socket(talk)
    head = (await feed.read(talk.user_id, None)).head
    socket.connection.session.open_feed(start, head)
    socket.connection.wake()
    first_bytes = await stalled_and_read_out(socket, lambda: socket.seqs("feed")[-1:] == [head.seq])
    assert first_bytes <= settings.FLOW_WINDOW_BYTES + max(len(orjson.dumps(each)) for each in socket.frames("feed"))
    assert socket.seqs("feed") == list(range(start.seq + 1, head.seq + 1))
