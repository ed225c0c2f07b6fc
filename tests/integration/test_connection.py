"""A socket's connection on the real log and feed: what it writes, when, and how much."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from django.conf import settings

from conversations import feed, services
from conversations.log import Cursor
from realtime import frames
from realtime.auth import Identity
from realtime.codes import MAX_FRAME_BYTES
from realtime.connection import Connection
from realtime.inbox import MAX_UNREAD_BYTES, Inbox
from realtime.node import Node
from tests.archive_kit import Talk, archive_all, new_talk, redis, replay, say, snapshot_of

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


async def cursors_of(talk: Talk) -> dict[int, Cursor]:
    epoch = (await snapshot_of(talk)).head.epoch
    return {each.seq: Cursor(epoch, each.seq, each.chain) for each in await replay(talk, Cursor(None, 0, ""))}


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed between", "opened over"])
@pytest.mark.parametrize(("older", "newer"), [(2, 7), (7, 2)])
async def test_a_read_of_an_older_opening_never_reaches_the_newer_one(older: int, newer: int, is_closed: bool) -> None:
    talk = await new_talk()
    await say(talk, 10)
    cursors = await cursors_of(talk)
    socket = Socket(talk)
    async with redis_silent():
        socket.open(cursor=cursors[older])
        await asyncio.sleep(0)  # its read is under way
        if is_closed:
            socket.close()
        socket.open(cursor=cursors[newer])
    await socket.until_opened()
    await socket.poll()
    await socket.until(lambda: socket.connection._reader is None)
    told = [(frame["type"], frame.get("seq")) for frame in socket.frames()]
    assert told == [("event", seq) for seq in range(newer + 1, 11)] + [("opened", None)]


async def test_a_read_that_comes_after_the_closing_reaches_nobody() -> None:
    talk = await new_talk()
    await say(talk, 10)
    socket = Socket(talk)
    async with redis_silent():
        socket.open()
        await asyncio.sleep(0)
        socket.close()
    await socket.until(lambda: socket.connection._reader is None)
    assert socket.frames() == []


@contextlib.asynccontextmanager
async def redis_silent() -> AsyncIterator[None]:
    """Redis takes what is sent meanwhile and answers it afterwards."""
    await redis().client_pause(60_000, all=False)  # scripts may write
    try:
        yield
    finally:
        await redis().client_unpause()


async def test_a_conversation_that_is_deleted_and_restored_goes_on_where_it_was_on_an_open_socket() -> None:
    talk = await new_talk()
    await say(talk, 2)
    socket = Socket(talk)
    socket.open()
    await socket.until_opened()
    about = {"user_id": talk.user_id, "conversation_id": talk.conversation_id}
    await services.delete_conversation(**about, device_id="desk")
    for _ in range(3):
        await socket.poll()
        await socket.until(lambda: socket.connection._reader is None)
    assert [frame["type"] for frame in socket.frames()] == ["event", "event", "opened"]  # and no error: nobody asked
    await services.restore_conversation(**about)
    await say(talk, text="we are back")
    await socket.poll()
    await socket.until_opened(2)
    assert [(frame["seq"], frame["event"]) for frame in socket.frames("event")] == [
        (1, "message"),
        (2, "message"),
        (3, "conversation.deleted"),
        (4, "message"),
    ]
    chains = {each.seq: each.chain for each in await replay(talk, Cursor(None, 0, ""))}
    assert {frame["seq"]: frame["chain"] for frame in socket.frames("event")} == chains


async def test_whoever_opens_a_deleted_conversation_is_refused_until_it_is_restored() -> None:
    talk = await new_talk()
    await say(talk)
    about = {"user_id": talk.user_id, "conversation_id": talk.conversation_id}
    await services.delete_conversation(**about, device_id="desk")
    socket = Socket(talk)
    socket.open()
    await socket.until(lambda: socket.frames("error"))
    assert socket.frames()[0]["code"] == "FORBIDDEN"
    await services.restore_conversation(**about)
    socket.open()
    await socket.until_opened()
    assert socket.seqs() == [1, 2]


def inbox_of(socket: Socket) -> Inbox:
    async def never(frame: frames.Auth) -> None: ...

    return Inbox("c1", never, socket.written.append, lambda code, reason, retry_after: None)


async def test_a_flood_of_texts_is_answered_as_far_as_the_answers_are_confirmed() -> None:
    socket = Socket(await new_talk())
    socket.connection.conversation_id = socket.talk.conversation_id
    inbox = inbox_of(socket)
    inbox.connection = socket.connection
    for batch in range(8):
        texts = [{"type": "text", "client_id": f"c{batch}-{n}", "content": "x", "respond": False} for n in range(1000)]
        inbox.take(orjson.dumps(texts).decode())
    await socket.until(lambda: socket.connection.is_over_full)
    assert socket.connection.session.unconfirmed_bytes < MAX_UNREAD_BYTES
    while inbox._worker is not None:
        socket.confirm()
        await asyncio.sleep(0)
    await socket.until(lambda: not socket.connection.session.out)
    answered = [frame["client_id"] for frame in socket.frames()]
    assert answered == [f"c{batch}-{n}" for batch in range(8) for n in range(1000)]
    await inbox.stop()


async def test_answers_from_before_the_auth_confirm_nothing_of_what_came_after_it() -> None:
    socket = Socket(await new_talk())
    inbox = inbox_of(socket)
    for _ in range(2):
        inbox.take('{"type":"heartbeat"}')
    await socket.until(lambda: len(socket.written) == 2)
    inbox.connection = socket.connection
    socket.connection.send(b"{}")
    await socket.until(lambda: len(socket.written) == 3)
    inbox.take('{"type":"received","frames":2}')
    assert not socket.connection.session.has_arrived()
    inbox.take('{"type":"received","frames":3}')
    assert socket.connection.session.has_arrived()
    await inbox.stop()
