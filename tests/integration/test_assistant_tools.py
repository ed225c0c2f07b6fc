"""Tools as a model calls them: for the one who asks, once, approved where they must be."""

import asyncio
from dataclasses import replace

import pytest

from conversations import store
from conversations.assistant import memory, tools
from conversations.assistant.memory import MemoryStore
from conversations.errors import StartRefused
from tests.assistant_kit import Heard, told_talk, until


def test_every_tool_says_what_it_takes_and_which_of_them_a_person_approves():
    for name, tool in tools.REGISTRY.items():
        schema = tool.schema()["function"]
        assert (schema["name"], set(schema["parameters"]["properties"])) == (name, set(tool.takes))
    assert {name for name, tool in tools.REGISTRY.items() if tool.needs_approval} == {"approve", "forget"}


async def test_a_tool_is_called_its_answer_is_shown_and_both_calls_are_counted():
    talk = await told_talk([("current_time", {"zone": "Asia/Shanghai"})], "It is late.")
    heard = Heard()
    outcome = await talk.run(await talk.claim("what time is it?"), heard)
    assert (outcome.status, outcome.text, heard.text) == ("done", "It is late.", "It is late.")
    assert "CST" in talk.model.prompt()[-1]
    assert (outcome.usage["total_tokens"], outcome.usage["model"]) == (15, "told")
    assert [step for step in heard.steps if step[1] == "began"] == [
        ("take_input", "began"),
        ("respond", "began"),
        ("tools", "began", "current_time"),
        ("respond", "began"),
        ("update_context", "began"),
    ]


async def test_what_a_tool_cannot_do_is_told_to_the_model_and_the_turn_goes_on():
    calls = [("current_time", {"zone": "Moon/Base"}), ("no_such", {}), ("remember", {})]
    talk = await told_talk(calls, "never mind")
    assert (await talk.say("do it")).text == "never mind"
    assert sorted(talk.model.prompt()[-3:]) == [
        "The tool failed. Go on without it.",
        "The tool needs 'fact': one sentence.",
        "There is no such tool.",
    ]


@pytest.mark.parametrize(("value", "kept"), [(True, 0), (False, 1), ("true", 1)])
async def test_forgetting_waits_for_a_person_while_other_calls_are_done_once(value, kept, monkeypatch):
    ran = []

    async def count(args, scope):
        ran.append(args)
        return "noon"

    monkeypatch.setitem(tools.REGISTRY, "current_time", replace(tools.REGISTRY["current_time"], run=count))
    talk = await told_talk([("forget", {"about": "dog"}), ("current_time", {})], "as you wish")
    await memory.remember(talk.assistant.memory, "1", "has a dog")
    job = await talk.claim("forget my dog")
    waiting = await talk.run(job)
    assert (waiting.status, len(waiting.interrupts), len(ran)) == ("waiting", 1, 1)
    assert waiting.interrupts[0]["value"] == {"tool": "forget", "args": {"about": "dog"}}
    outcome = await talk.run(await talk.claim(job=job), answers={waiting.interrupts[0]["id"]: value})
    assert (outcome.text, len(ran)) == ("as you wish", 1)
    left = await memory.recall(talk.assistant.memory, "1")
    assert left == ("has a dog" if kept else "Nothing is remembered yet.")


async def test_a_running_tool_is_cancelled_with_its_turn(monkeypatch):
    states = []

    async def slow(args, scope):
        states.append("began")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            states.append("cancelled")
            raise

    monkeypatch.setitem(tools.REGISTRY, "current_time", replace(tools.REGISTRY["current_time"], run=slow))
    talk = await told_talk([("current_time", {})])
    heard = Heard()
    task = asyncio.create_task(talk.run(await talk.claim("wait"), heard))
    await until(lambda: states)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert states == ["began", "cancelled"]


async def test_only_the_tools_that_are_offered_are_named(settings):
    settings.CHAT_TOOLS = ["recall"]
    talk = await told_talk("yes")
    await talk.say("hello")
    assert talk.model.tools == ["recall"]
    settings.CHAT_TOOLS = ["fly"]
    with pytest.raises(StartRefused, match="CHAT_TOOLS names 'fly'"):
        await told_talk("yes")


# -- memory


@pytest.fixture
async def kept():
    made = MemoryStore()
    await made.setup()
    return made


async def test_what_is_remembered_is_each_persons_own(kept):
    for user_id in ("1", "12", "2"):
        await memory.remember(kept, user_id, f"is number {user_id}")
    await memory.remember(kept, "1", "likes tea")
    await memory.remember(kept, "1", "Likes  tea")
    assert (await memory.recall(kept, "1", "tea")).splitlines() == ["Likes tea", "is number 1"]
    assert await memory.recall(kept, "12") == "is number 12"
    assert await memory.forget(kept, "2", "number") == "Forgotten: is number 2"
    assert (await memory.recall(kept, "1")).count("\n") == 1


async def test_every_fact_has_a_time_to_live_and_their_number_an_end(kept, monkeypatch, settings):
    settings.CHAT_MEMORY_DAYS = 10
    monkeypatch.setattr(memory, "MOST_FACTS", 3)
    short = MemoryStore()
    for number in range(5):
        said = await memory.remember(short, "1", f"fact {number}")
    assert said.startswith("Not remembered: there are 3")
    found = await store.client().keys("memory:*")
    lives = {await store.client().ttl(key) for key in found}
    assert len(found) == 3
    assert all(9 * 86_400 < each <= 10 * 86_400 for each in lives)


async def test_a_remembered_constructor_is_only_text(kept, tmp_path):
    trap = tmp_path / "made"
    fact = f'{{"lc": 2, "type": "constructor", "id": ["pathlib", "Path", "touch"], "args": ["{trap}"]}}'
    await memory.remember(kept, "1", fact)
    assert (await memory.recall(kept, "1"), trap.exists()) == (fact, False)


async def test_what_was_told_in_one_conversation_is_known_in_another():
    talk = await told_talk([("remember", {"fact": "plays the cello"})], "noted")
    await talk.say("I play the cello")
    other = await told_talk([("recall", {})], "the cello")
    await other.say("what do I play?")
    assert other.model.prompt()[-1] == "plays the cello"
