"""The scripted model answers exactly as docs/protocol.md lists."""

import asyncio

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from conversations.assistant.scripted import ScriptedFailure, ScriptedModel


@pytest.fixture(autouse=True)
def no_delay(settings):
    settings.SCRIPTED_DELAY_MS = 0


async def words(*messages):
    return [chunk.text async for chunk in ScriptedModel().astream(list(messages)) if chunk.text]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("hello  there\n friend", ["echo: ", "hello  ", "there\n ", "friend"]),
        ("/words 3", ["w1 ", "w2 ", "w3"]),
        ("/words many", ["echo: ", "/words ", "many"]),
        ("/words", ["echo: ", "/words"]),
        ("/slow 0", ["done"]),
        ("/steps 12", ["steps: ", "12"]),
        ("/wordsmith", ["echo: ", "/wordsmith"]),
    ],
)
async def test_each_text_has_its_answer_word_by_word(text, answer):
    assert await words(HumanMessage(text)) == answer


async def test_approve_calls_a_tool_and_then_says_what_became_of_it():
    question = HumanMessage("/approve two cakes", id="q")
    whole = await ScriptedModel().ainvoke([question])
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("approve", {"subject": "two cakes"})]
    answer = ToolMessage("declined", tool_call_id=whole.tool_calls[0]["id"])
    assert "".join(await words(question, whole, answer)) == "declined: two cakes"


async def test_an_answered_call_of_an_earlier_turn_does_not_approve_a_later_one():
    call = {"name": "approve", "args": {"subject": "a"}, "id": "c", "type": "tool_call"}
    before = [
        HumanMessage("/approve a"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("approved", tool_call_id="c"),
    ]
    whole = await ScriptedModel().ainvoke([*before, HumanMessage("/approve b", id="b")])
    assert whole.tool_calls[0]["args"] == {"subject": "b"}


async def test_fail_raises():
    with pytest.raises(ScriptedFailure):
        await words(HumanMessage("/fail"))


async def test_words_come_apart_by_the_delay(settings):
    settings.SCRIPTED_DELAY_MS = 30
    loop = asyncio.get_running_loop()
    began = loop.time()
    await words(HumanMessage("/words 4"))
    assert 0.09 <= loop.time() - began < 0.5


async def test_slow_is_silent_first():
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await words(HumanMessage("/slow 0.1")) == ["done"]
    assert loop.time() - began >= 0.1
