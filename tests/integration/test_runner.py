"""Turns on a real node's runner while something that they stand on does not answer."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.db import connections

from conversations import log, runner
from conversations.assistant.service import Assistant
from conversations.log import Cursor
from conversations.runner import TurnRunner
from tests.archive_kit import Talk, archive_all, new_talk, redis, replay, say, snapshot_of
from tests.outage import database_down

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SECONDS = 20


@pytest.fixture(autouse=True)
def _fresh_connection(transactional_db: None) -> Iterator[None]:
    """The thread that empties the tables afterwards was connected before the outage."""
    yield
    connections.close_all()


async def until_told(told: list[Any], events: set[str]) -> None:
    async with asyncio.timeout(SECONDS):
        while not [each for each in told if each["event"] in events]:  # noqa: ASYNC110  # logs wake nobody
            await asyncio.sleep(0.01)


async def a_turn_that_needs_the_archive(what: str) -> Talk:
    """Return a talk whose log was lost with its checkpoints and is back, so that its words are in the archive only."""
    talk = await new_talk()
    await say(talk, 2, text="before")
    if what == "its message":
        await say(talk, respond=True)
    await archive_all()
    await redis().flushall()
    await snapshot_of(talk)  # brings the log back
    if what == "the transcript":
        await say(talk, respond=True)
    return talk


@pytest.mark.parametrize("what", ["its message", "the transcript"])
async def test_a_turn_that_needs_the_archive_waits_for_the_database_and_is_answered(
    what: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SCRIPTED_DELAY_MS, settings.LEASE_SECONDS = 0, 1
    monkeypatch.setattr(runner, "READ_AGAIN_SECONDS", 0.05)
    talk = await a_turn_that_needs_the_archive(what)
    assistant = Assistant("scripted")
    await assistant.start()
    node = TurnRunner("n1", assistant)
    attempts = (await log.heads([talk.conversation_id]))[talk.conversation_id].turn[1]  # type: ignore[index]
    with structlog.testing.capture_logs() as told:
        async with database_down():
            node.start_soon(talk.conversation_id)
            await until_told(told, {"turn.waits", "turn.finished", "turn.fault", "turn.interrupted"})
        await until_told(told, {"turn.finished", "turn.fault", "turn.interrupted"})
    found = await snapshot_of(talk)
    assert [each["content"] for each in found.messages] == ["before 0", "before 1", "hello 0", "echo: hello 0"]
    assert (found.messages[-1]["status"], found.turns) == ("complete", [])
    started = [each for each in await replay_of(talk) if each == "turn.started"]
    assert (len(started), attempts) == (1, 10 if what == "its message" else 0)
    state = await assistant.graph.aget_state({"configurable": {"thread_id": talk.conversation_id}})
    assert [each.text for each in state.values["messages"]][:2] == ["before 0", "before 1"]


async def replay_of(talk: Talk) -> list[str]:
    return [entry.kind for entry in await replay(talk, Cursor(None, 0, ""))]
