"""What is one person's own stays theirs, also where somebody is invited while their turn runs."""

from dataclasses import replace
from typing import Any

import pytest

from conversations import keys, store
from conversations.assistant import memory, privacy, tools
from conversations.assistant.outcome import Source
from tests.assistant_kit import Talk, told_talk

FACT = "has a dog"


async def members(talk: Talk, *user_ids: str) -> None:
    """Have these in the conversation, and nobody else."""
    key = keys.members(talk.conversation_id)
    await store.client().delete(key)
    await store.client().hset(key, mapping=dict.fromkeys(user_ids, "member"))


async def talk_of_one(*replies: Any) -> Talk:
    talk = await told_talk(*replies)
    await members(talk, "1")
    await memory.remember(talk.assistant.memory, "1", FACT)
    return talk


def shown(talk: Talk) -> bool:
    """Whether the model was shown the fact the last time that it was asked."""
    return FACT in "\n".join(talk.model.prompt())


async def test_what_a_private_tool_said_is_shown_in_that_persons_own_turns_while_they_are_alone() -> None:
    talk = await talk_of_one([("recall", {})], "a dog", "two", "three", "four", "five")
    await talk.say("what do I have?")
    assert shown(talk)
    seen = []
    for here, asks in ((("1", "2"), "1"), (("1", "2"), "2"), (("2",), "2"), (("1",), "1")):
        await members(talk, *here)
        job = replace(await talk.claim("and now?"), user_id=asks)
        assert (await talk.run(job)).status == "done"
        seen.append(shown(talk))
        assert seen[-1] or privacy.HIDDEN in talk.model.prompt()
    assert seen == [False, False, False, True]


async def test_who_is_invited_while_a_private_tool_runs_gets_nothing_of_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recall = tools.REGISTRY["recall"]

    async def slow(args: dict[str, Any], scope: tools.Scope) -> str:
        await members(talk, "1", "2")
        return await recall.run(args, scope)

    monkeypatch.setitem(tools.REGISTRY, "recall", replace(recall, run=slow))
    talk = await talk_of_one([("recall", {})], "I cannot say")
    await talk.say("what do I have?")
    assert (shown(talk), talk.model.prompt()[-1]) == (False, privacy.HIDDEN)
    assert {"remember", "recall", "forget"} & set(talk.model.tools) == set()


async def test_who_is_invited_while_a_private_tool_waits_for_its_approval_keeps_it_from_running() -> None:
    talk = await talk_of_one([("forget", {"about": "dog"})], "as you wish")
    await store.client().set(keys.wishes("1"), "I am Ada.")
    job = await talk.claim("forget my dog")
    waiting = await talk.run(job)
    assert "I am Ada." in talk.model.prompt()[0]
    await members(talk, "1", "2")
    await talk.run(await talk.claim(job=job), answers={waiting.interrupts[0]["id"]: True})
    assert talk.model.prompt()[-1] == "This can only be used where the person is alone with you."
    assert "I am Ada." not in talk.model.prompt()[0]
    assert await memory.recall(talk.assistant.memory, "1") == FACT


@pytest.mark.parametrize(("here", "is_here_only"), [(("1",), False), (("1", "2"), True)])
async def test_a_search_looks_elsewhere_only_for_who_is_alone_now(
    monkeypatch: pytest.MonkeyPatch, here: tuple[str, ...], is_here_only: bool
) -> None:
    asked = []

    async def search(**about: Any) -> dict[str, Any]:
        asked.append(bool(about["conversation_id"]))
        return {"items": [{"snippet": FACT, "conversation_id": "elsewhere", "seq": 1}]}

    monkeypatch.setattr(tools, "search_messages", search)
    talk = await talk_of_one([("search_my_conversations", {"query": "dog"})], "found", "never mind")
    await members(talk, *here)
    await talk.say("what do I have?")
    await members(talk, "1", "2")
    await talk.say("and now?")
    assert (asked, shown(talk)) == ([is_here_only], is_here_only)


async def test_what_a_private_tool_was_asked_for_with_is_hidden_with_what_it_said() -> None:
    talk = await talk_of_one([("remember", {"fact": FACT}), ("current_time", {"zone": "UTC"})], "noted", "two", "three")
    await talk.say("keep it")
    seen = []
    for here in (("1", "2"), ("1",)):
        await members(talk, *here)
        assert (await talk.say("and now?")).status == "done"
        calls = [call for each in talk.model.shown[-1] for call in getattr(each, "tool_calls", [])]
        seen.append([(call["name"], call["args"]) for call in calls])
    told = [("remember", {"fact": FACT}), ("current_time", {"zone": "UTC"})]
    assert seen == [[("remember", {}), told[1]], told]


async def test_a_fork_takes_nothing_along_that_a_tool_told_one_person_alone() -> None:
    talk = await talk_of_one([("recall", {}), ("current_time", {})], "a dog", "yes")
    job = await talk.claim("what do I have?")
    await talk.run(job)
    copy = Talk(talk.assistant)
    assert await talk.assistant.fork(Source(talk.conversation_id, job.turn_id, True), copy.conversation_id, 4)
    before, after = await talk.said(), await copy.said()
    assert [text for text in before if text not in after] == [FACT]
    assert [text for text in after if text not in before] == [privacy.HIDDEN]
