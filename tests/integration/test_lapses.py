"""A turn that nobody survives is given up; one that a living node holds stays there."""

import asyncio

import pytest

from conversations import keys, log, turns
from conversations.assistant.service import Assistant
from conversations.log import Cursor
from conversations.runner import LAPSED, MOST_LAPSES, TurnRunner
from tests.archive_kit import new_talk, redis, replay, say, say_each

pytestmark = pytest.mark.django_db(transaction=True)
START = Cursor(None, 0, "")


@pytest.fixture
async def runner(settings):
    settings.SCRIPTED_DELAY_MS = 0
    assistant = Assistant("scripted")
    await assistant.start()
    return TurnRunner("n1", assistant)


async def lapsed(talk, times):
    """Let so many nodes claim the talk's turn and die; return the turn."""
    await say(talk, respond=True)
    turn_id, _ = await turns.head_turn(talk.conversation_id)
    for attempts in range(times):
        await turns.claim(talk.conversation_id, turn_id, attempts, "n1")
        await redis().zadd(keys.due(keys.tag(talk.conversation_id)), {talk.conversation_id: 1})
    return turn_id


async def end_of(talk, runner):
    """Run what is due here, and return the entries after the last claim: kind and data."""
    runner.start_soon(talk.conversation_id)
    async with asyncio.timeout(10):
        while runner.running:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    entries = await replay(talk, START)
    return [(entry.kind, log.orjson.loads(entry.body)["data"]) for entry in entries]


async def test_the_third_lapse_in_a_row_fails_the_turn_with_a_reason_and_the_next_one_runs(runner):
    talk = await new_talk()
    turn_id = await lapsed(talk, MOST_LAPSES)
    entries = await end_of(talk, runner)
    assert entries[-1] == ("turn.finished", {"turn_id": turn_id, "status": "failed", "error": LAPSED})
    assert [data["attempt"] for kind, data in entries if kind == "turn.started"] == [1, 2, 3, 4]
    await say(talk, text="and now?", respond=True)
    assert (await end_of(talk, runner))[-2][1]["content"] == "echo: and now? 0"


async def test_two_lapses_do_not_fail_it(runner):
    talk = await new_talk()
    await lapsed(talk, MOST_LAPSES - 1)
    assert (await end_of(talk, runner))[-1][1]["status"] == "done"


async def test_a_turn_whose_state_cannot_even_be_ended_fails_all_the_same(runner, monkeypatch):
    async def broken(*args, **options):
        raise ValueError("no such checkpoint")

    monkeypatch.setattr(runner._assistant, "end_turn", broken)
    talk = await new_talk()
    await lapsed(talk, MOST_LAPSES)
    assert (await end_of(talk, runner))[-1][1]["status"] == "failed"


async def test_a_node_that_has_just_come_back_leaves_the_lapsed_leases_of_others_alone(runner):
    talk = await new_talk()
    await lapsed(talk, 1)
    other = TurnRunner("n2", runner._assistant)
    assert [kind for kind, _ in await end_of(talk, other)].count("turn.started") == 1


@pytest.mark.parametrize("text", ["_exit", "_interrupt", "_panic"])
async def test_a_graph_that_would_end_the_node_fails_its_turn_at_once_and_the_node_goes_on(settings, text):
    settings.CHAT_GRAPH = "tests.integration.test_assistant_graphs:exiting"
    assistant = Assistant("scripted")
    await assistant.start()
    runner, talk = TurnRunner("n1", assistant), await new_talk()
    await say_each(talk, text, "next", respond=True)
    entries = await end_of(talk, runner)
    ends = [data for kind, data in entries if kind == "turn.finished"]
    assert [each["status"] for each in ends] == ["failed", "done"]
    assert "reason of the server" in ends[0]["error"]
    assert [data["attempt"] for kind, data in entries if kind == "turn.started"] == [1, 1]
