"""A node whose database or Redis does not answer says so, goes on with the rest, and comes back."""

import contextlib
import sqlite3
from uuid import uuid4

import pytest

from .conftest import answer_of, whole_again
from .stack import Stack

LOCK_SECONDS = 1


class LockedFile:
    """SQLite, whose file another process can hold."""

    def __init__(self, var_dir):
        self.path = var_dir / "db.sqlite3"
        self.url = f"sqlite:///{self.path}?timeout={LOCK_SECONDS}"

    @contextlib.contextmanager
    def down(self):
        """Hold the file: nobody else can write."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            yield


class StoppedServer:
    """PostgreSQL, which can be stopped."""

    def __init__(self, server):
        self.server, self.url = server, server.get_uri()

    @contextlib.contextmanager
    def down(self):
        self.server.stop()
        try:
            yield
        finally:
            self.server.ensure_postgres_running()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database(request, tmp_path_factory):
    if request.param == "sqlite":
        return LockedFile(tmp_path_factory.mktemp("outage"))
    return StoppedServer(request.getfixturevalue("postgres_server"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory, database):
    """One node on a database of its own."""
    running = Stack(tmp_path_factory.mktemp("outage"), count=1, DATABASE_URL=database.url)
    try:
        running.start("alice")
        yield running
    finally:
        running.stop()


def command(name, conversation_id=None, **args):
    frame = {"type": "command", "id": uuid4().hex, "command": name, "args": args}
    return frame if conversation_id is None else {**frame, "conversation_id": conversation_id}


async def answer_to(wire, frame):
    await wire.send(frame)
    return await wire.until(id=frame["id"])


def verdict(answer):
    return answer.get("code"), answer.get("retryable"), answer.get("retry_after")


async def test_commands_that_need_the_database_are_told_to_come_again_and_are_done_once_it_is_back(people, database):
    wire, conversation_id = await people.wire_in_a_new_conversation()
    wanted = [
        command("new_conversation", title="one"),
        command("pin", conversation_id),
        command("set_draft", conversation_id, content="to be continued"),
    ]
    with database.down():
        refused = [verdict(await answer_to(wire, frame)) for frame in wanted]
    assert refused == [("UNAVAILABLE", True, 1)] * 3
    made, *done = [await answer_to(wire, frame) for frame in wanted]
    assert [answer["type"] for answer in done] == ["result"] * 2
    items = {item["conversation_id"]: item for item in await listed(wire)}
    assert items[made["data"]["conversation_id"]]["title"] == "one"
    assert (items[conversation_id]["pinned"], items[conversation_id]["draft"]) == (True, "to be continued")


async def listed(wire):
    return (await answer_to(wire, command("list_conversations", limit=100)))["data"]["items"]


async def test_what_is_said_and_asked_meanwhile_is_kept_and_answered(people, database):
    device = await people.device()
    listener = await people.device()
    conversation_id = await device.new_conversation()
    await listener.open(conversation_id)
    with database.down():
        await device.text(conversation_id, "is anybody there?", respond=False)
        await device.text(conversation_id, "and you?")
        ends = [await answer_of(each, conversation_id) for each in (device, listener)]
    assert [(end.status, end.finals[0]["content"]) for end in ends] == [("done", "echo: and you?")] * 2


async def test_who_comes_meanwhile_is_told_to_come_again_and_not_to_log_in_again(people, stack, database):
    with database.down():
        frames, code = await refused(people, stack)
    assert ([frame["type"] for frame in frames], frames[-1]["code"], code) == (["bye"], 1012, 1012)
    assert frames[-1]["retry_after"] > 0
    assert (await people.wire()).ready["event"] == "ready"


async def test_who_comes_while_redis_is_down_is_told_the_same(people, stack):
    stack.redis.kill()
    frames, code = await refused(people, stack)
    assert ([frame["type"] for frame in frames], frames[-1]["code"], code) == (["bye"], 1012, 1012)
    await whole_again(stack)
    assert (await people.wire()).ready["event"] == "ready"


async def refused(people, stack):
    wire = await people.bare()
    await wire.send({"type": "auth", "device_id": uuid4().hex, "token": stack.tokens("alice")[0]})
    return await wire.closing()
