"""Cancelled and answered turns on real runners, with the real graph: what is kept, and what the next turn knows."""

import asyncio
from contextlib import asynccontextmanager
from uuid import uuid4

import orjson
import pytest

from conversations import control, keys, pieces, services, turns
from conversations.assistant.service import Assistant
from conversations.log import Cursor
from conversations.runner import TurnRunner
from tests.archive_kit import new_talk, redis, replay, say_each, snapshot_of, start_turn
from tests.assistant_kit import talk, until
from tests.tools_kit import Tool

__all__ = ["talk"]
pytestmark = pytest.mark.django_db(transaction=True)
SECONDS = 15


@asynccontextmanager
async def node(name="n1"):
    """A runner with an assistant of its own, as each node has; drained at the end."""
    assistant = Assistant()
    await assistant.start()
    runner = TurnRunner(name, assistant)
    runner.assistant = assistant
    try:
        yield runner
    finally:
        await runner.drain()


@pytest.fixture(autouse=True)
def quick(settings):
    settings.SCRIPTED_DELAY_MS = 0


async def ask(conversation, *texts):
    await say_each(conversation, *texts, respond=True)


async def ask_on(runner, conversation, *texts):
    """Ask, and have it answered here, once the node has left the turn before."""
    await ask(conversation, *texts)
    await until_idle(runner)
    runner.start_soon(conversation.conversation_id)


async def entries(conversation, *kinds):
    found = [(each.kind, orjson.loads(each.body)["data"]) for each in await replay(conversation, Cursor(None, 0, ""))]
    return [data for kind, data in found if kind in kinds]


async def until_ended(conversation, count=1):
    return (await until_logged(conversation, "turn.finished", count))[-1]


async def until_logged(conversation, kind, count=1):
    async with asyncio.timeout(SECONDS):
        while len(found := await entries(conversation, kind)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


async def until_idle(runner):
    """A node that is just leaving a turn takes up none: elsewhere the sweep finds it again."""
    async with asyncio.timeout(SECONDS):
        while runner.running:  # noqa: ASYNC110  # no event for "the last one ended"
            await asyncio.sleep(0.01)


async def until_written(conversation, word):
    async with asyncio.timeout(SECONDS):
        while not any(word in turn.text for turn in (await snapshot_of(conversation)).turns):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def cancel(conversation, device_id="laptop"):
    return await control.cancel_turn(
        conversation_id=conversation.conversation_id,
        user_id=conversation.user_id,
        device_id=device_id,
        once=uuid4().hex,
    )


async def answer(conversation, value, interrupt=None):
    (turn,) = [each for each in (await snapshot_of(conversation)).turns if each.status == "waiting"]
    return await control.answer_turn(
        conversation_id=conversation.conversation_id,
        user_id=conversation.user_id,
        device_id="laptop",
        turn_id=turn.turn_id,
        interrupt_id=(interrupt or turn.interrupts[0])["id"],
        value=value,
        once=uuid4().hex,
    )


async def context(conversation, runner):
    """What the graph remembers, as (kind, text)."""
    config = {"configurable": {"thread_id": conversation.conversation_id}}
    state = (await runner.assistant.graph.aget_state(config)).values
    return [(message.type, message.text) for message in state["messages"]]


@pytest.mark.parametrize("by_bell", [True, False], ids=["told", "by its next piece"])
async def test_a_cancelled_answer_keeps_what_was_written_and_the_next_turn_knows_it(by_bell, settings):
    settings.SCRIPTED_DELAY_MS = 10
    here = await new_talk()
    async with node() as runner:
        await ask(here, "one")
        await ask_on(runner, here, "/words 900")
        await until_ended(here)
        await until_written(here, "w3 ")
        cancelling = await cancel(here)
        if by_bell:
            runner.hear_cancel(here.conversation_id, cancelling.turn_id, "laptop")
        end = await until_ended(here, 2)
        settings.SCRIPTED_DELAY_MS = 0
        await ask_on(runner, here, "next")
        await until_ended(here, 3)
        message = (await snapshot_of(here)).messages[-3]
        assert (message["status"], message["turn_id"]) == ("cancelled", end["turn_id"])
        assert message["content"].startswith("w1 w2 w3 ")
        assert end == {
            "turn_id": cancelling.turn_id,
            "status": "cancelled",
            "message_id": message["message_id"],
            "device_id": "laptop",
        }
        assert (await context(here, runner))[2:] == [
            ("human", "/words 900"),
            ("ai", message["content"]),
            ("human", "next"),
            ("ai", "echo: next"),
        ]


async def test_a_cancel_soon_after_a_takeover_keeps_what_was_written_before_it(settings):
    settings.SCRIPTED_DELAY_MS = 50
    here = await new_talk()
    await ask(here, "/words 900")
    drained = await start_turn(here, "drained")
    await turns.add_pieces(drained, 1, ["w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 "])
    await turns.release(drained)
    async with node() as runner:
        runner.start_soon(here.conversation_id)
        await until_logged(here, "turn.started", 2)
        await until_written(here, "w1 ")
        runner.hear_cancel(here.conversation_id, (await cancel(here)).turn_id, "laptop")
        await until_ended(here)
        message = (await snapshot_of(here)).messages[-1]
        assert (message["status"], message["content"][-8:]) == ("cancelled", "w11 w12 ")
        assert (await context(here, runner))[1:] == [("ai", message["content"])]


async def test_an_answer_deleted_half_written_is_there_when_restored_and_the_next_turn_knows_it(settings):
    settings.SCRIPTED_DELAY_MS = 10
    here = await new_talk()
    async with node() as runner:
        await ask(here, "/words 900", "and then?")
        runner.start_soon(here.conversation_id)
        await until_written(here, "w3 ")
        about = {"user_id": here.user_id, "conversation_id": here.conversation_id}
        await services.delete_conversation(**about, device_id="laptop")
        await until_idle(runner)
        await services.restore_conversation(**about)
        message = (await snapshot_of(here)).messages[-1]
        assert (message["status"], message["content"][:9]) == ("cancelled", "w1 w2 w3 ")
        ends = [(end["status"], end.get("message_id")) for end in await entries(here, "turn.finished")]
        assert ends == [("cancelled", message["message_id"]), ("cancelled", None)]
        settings.SCRIPTED_DELAY_MS = 0
        await ask_on(runner, here, "next")
        await until_ended(here, 3)
        assert (await context(here, runner))[1:] == [
            ("ai", message["content"]),
            ("human", "and then?"),
            ("human", "next"),
            ("ai", "echo: next"),
        ]


async def test_a_silent_model_is_stopped_by_the_renewal_of_its_lease(settings):
    settings.LEASE_SECONDS = 0.6
    here = await new_talk()
    async with node() as runner:
        await ask_on(runner, here, "/slow 30")
        await until_logged(here, "turn.started")
        await cancel(here)
        assert (await until_ended(here)).get("message_id") is None
        assert [message["role"] for message in (await snapshot_of(here)).messages] == ["user"]


async def test_what_was_asked_and_cancelled_before_its_turn_began_is_known_to_the_next():
    here = await new_talk()
    async with node() as runner:
        await ask_on(runner, here, "one")
        await until_ended(here)
        await until_idle(runner)
        await ask(here, "never mind")
        await cancel(here)
        await say_each(here, "by the way")
        await ask_on(runner, here, "two")
        await until_ended(here, 3)
        assert [text for _, text in await context(here, runner)] == [
            "one",
            "echo: one",
            "never mind",
            "by the way",
            "two",
            "echo: two",
        ]


async def test_an_answer_cut_behind_the_next_question_is_known_to_it():
    here = await new_talk()
    async with node() as runner:
        await ask_on(runner, here, "one", "two", "three")
        await until_ended(here, 3)
        await until_idle(runner)
        await ask(here, "four", "five")
        await turns.add_pieces(await start_turn(here, "dead"), 1, ["half an"])
        await redis().zadd(keys.due(keys.tag(here.conversation_id)), {here.conversation_id: 1})
        await cancel(here)
        runner.start_soon(here.conversation_id)
        await until_ended(here, 5)
        assert [text for _, text in await context(here, runner)] == [
            *("one", "echo: one", "two", "echo: two", "three", "echo: three"),
            *("four", "half an", "five", "echo: five"),
        ]


async def test_what_a_dead_node_had_written_of_a_cancelled_answer_is_known_to_the_next():
    here = await new_talk()
    async with node() as runner:
        await ask_on(runner, here, "one")
        await until_ended(here)
        await until(lambda: not runner.running)  # else it takes the next one, too
        await ask(here, "two")
        await turns.add_pieces(await start_turn(here, "dead"), 1, ["half an"])
        await cancel(here)
        await redis().zadd(keys.due(keys.tag(here.conversation_id)), {here.conversation_id: 1})
        runner.start_soon(here.conversation_id)  # it is cancelled: ended, not run
        await until_ended(here, 2)
        await ask_on(runner, here, "three")
        await until_ended(here, 3)
        assert [text for _, text in await context(here, runner)][2:] == ["two", "half an", "three", "echo: three"]


async def test_a_cancelled_wait_closes_its_calls_and_leaves_nothing_without_an_end():
    here = await new_talk()
    async with node() as runner:
        await ask_on(runner, here, "/approve cake")
        await until_logged(here, "turn.waiting")
        await cancel(here)
        await runner.forget_steps(here.conversation_id, (await until_ended(here))["turn_id"])
        kept = [key async for key in redis().scan_iter(f"*checkpoint*{here.conversation_id}*")]
        assert kept
        assert [key for key in kept if await redis().pttl(key) < 0] == []
        await ask_on(runner, here, "next")
        await until_ended(here, 2)
        kinds = [kind for kind, _ in await context(here, runner)]
        assert kinds == ["human", "ai", "tool", "human", "ai"]


async def test_an_approval_goes_on_on_any_node_with_what_was_answered():
    for value, text in ((True, "approved: cake"), (False, "declined: cake")):
        here = await new_talk()
        async with node("n1") as runner:
            await ask_on(runner, here, "/approve cake")
            (waits,) = await until_logged(here, "turn.waiting")
            assert waits["interrupts"][0]["value"]["tool"] == "approve"
            assert waits["interrupts"][0]["value"]["args"] == {"subject": "cake"}
        async with node("n2") as runner:
            assert (await answer(here, value)).is_due
            runner.start_soon(here.conversation_id)
            assert (await until_ended(here))["status"] == "done"
        assert (await snapshot_of(here)).messages[-1]["content"] == text
        assert [each["node"] for each in await entries(here, "turn.started")] == ["n1", "n2"]


async def test_who_writes_on_declines_and_the_log_says_so():
    here = await new_talk()
    async with node() as runner:
        await ask_on(runner, here, "/approve cake")
        await until_logged(here, "turn.waiting")
        await ask_on(runner, here, "forget it")
        await until_ended(here, 2)
        (said,) = await entries(here, "turn.answered")
        assert (said["value"], said["device_id"]) == (False, "phone")
        contents = [each["content"] for each in (await snapshot_of(here)).messages if each["role"] == "assistant"]
        assert contents == ["declined: cake", "echo: forget it"]


@pytest.mark.parametrize(("graph", "noted"), [("careful_graph", ["cancelled"]), ("stubborn_graph", ["not now"])])
async def test_an_asynchronous_tool_gets_the_cancellation_and_cannot_hold_the_turn(graph, noted, settings, monkeypatch):
    settings.CHAT_GRAPH = f"tests.tools_kit:{graph}"
    monkeypatch.setattr(pieces, "TIDY_SECONDS", 0.3)
    monkeypatch.setattr(Tool, "began", asyncio.Event())
    monkeypatch.setattr(Tool, "may_end", asyncio.Event())
    monkeypatch.setattr(Tool, "noted", [])
    here = await new_talk()
    async with node() as runner:
        await ask_on(runner, here, "work")
        await asyncio.wait_for(Tool.began.wait(), SECONDS)
        cancelling = await cancel(here)
        runner.hear_cancel(here.conversation_id, cancelling.turn_id, "laptop")
        assert (await until_ended(here))["status"] == "cancelled"
        assert Tool.noted == noted
        Tool.may_end.set()
        if graphs := [task for task in asyncio.all_tasks() if task.get_name() == "graph"]:  # the stubborn one
            await asyncio.wait(graphs)


async def test_a_marked_tool_runs_only_once_each_call_was_approved(settings, monkeypatch):
    settings.CHAT_GRAPH = "tests.tools_kit:paying_graph"
    monkeypatch.setattr(Tool, "noted", [])
    here = await new_talk()
    async with node() as runner:
        await ask(here, "pay twice")
        for count, value in ((1, True), (2, False)):
            runner.start_soon(here.conversation_id)
            await until_logged(here, "turn.waiting", count)
            await until_idle(runner)
            assert Tool.noted == []
            await answer(here, value)
        runner.start_soon(here.conversation_id)
        await until_ended(here)
        assert ((await snapshot_of(here)).messages[-1]["content"], Tool.noted) == ("paid 5", [5])


async def test_a_question_too_large_for_a_frame_fails_the_turn(talk, settings):
    settings.CHAT_GRAPH = "tests.tools_kit:big_question"
    talk.assistant = Assistant()
    await talk.assistant.start()
    outcome = await talk.run(await talk.claim("ask me"))
    assert (outcome.status, "too large" in outcome.error) == ("failed", True)
