"""Window, summary, open calls, answers' limit, errors in words: plain functions."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from conversations.assistant import context
from conversations.assistant.answer import ANSWER_BYTES, Limit
from conversations.assistant.models import explain, make_model
from conversations.errors import StartRefused


def talk(turns):
    pairs = ((HumanMessage(f"question {n}"), AIMessage(f"answer {n}")) for n in range(turns))
    return [message for pair in pairs for message in pair]


def test_the_window_is_the_newest_twenty_messages_and_begins_with_a_person():
    messages = [*talk(15), HumanMessage("now")]
    window = messages[context.split_window(messages) :]
    assert (len(window), window[0].text, window[-1].text) == (19, "question 6", "now")


def test_a_window_of_huge_messages_is_smaller_but_never_without_the_newest():
    messages = [*talk(3), HumanMessage("x" * 500)]
    assert context.split_window(messages, 100) == 6


def test_what_leaves_the_window_is_digested_within_its_bytes():
    summary = ""
    for number in range(200):
        summary = context.digest(summary, [HumanMessage(f"问题 {number} " + "很长" * 200)])
    assert len(summary.encode()) <= context.SUMMARY_BYTES
    assert summary.splitlines()[-1].startswith("User: 问题 199 ")


def test_an_open_call_is_answered_right_after_it_was_made():
    call = {"name": "approve", "args": {}, "id": "c1", "type": "tool_call"}
    messages = [HumanMessage("a"), AIMessage("", tool_calls=[call]), HumanMessage("b")]
    closed = context.answer_open_calls(messages)
    assert [message.text for message in closed] == ["a", "", "cancelled", "b"]
    assert context.answer_open_calls(closed) == closed
    answered = [*messages[:2], ToolMessage("approved", tool_call_id="c1"), messages[2]]
    assert context.answer_open_calls(answered) == answered


@pytest.mark.parametrize(
    ("text", "language", "tone", "intent"),
    [
        ("Please tell me a story", "en", "polite", "statement"),
        ("Why is it broken right now!!", "en", "urgent", "question"),
        ("你好", "zh", "neutral", "greeting"),
        ("これは何ですか?", "ja", "neutral", "question"),
        ("/words 3", "en", "neutral", "command"),
    ],
)
def test_a_message_is_described(text, language, tone, intent):
    found = context.describe(text, {})
    assert (found["language"], found["tone"], found["intent"]) == (language, tone, intent)


@given(st.lists(st.text(max_size=40), max_size=20), st.integers(0, 200))
def test_pieces_and_the_whole_are_cut_at_the_same_place(pieces, room):
    apart, whole = Limit(), Limit()
    apart.room_bytes = whole.room_bytes = room
    assert "".join(apart.take(piece) for piece in pieces) == whole.take("".join(pieces))


def test_an_answer_is_at_most_128_kib_as_json():
    assert len(orjson.dumps(Limit().take('"' * ANSWER_BYTES))) == ANSWER_BYTES


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nonsense", "provider:name"),
        ("nowhere:model", "nowhere"),
        ("openai:gpt-4o-mini", "API key"),
        ("anthropic:claude-sonnet-4-5", "not installed"),
    ],
)
def test_a_wrong_model_refuses_the_start_in_one_line(monkeypatch, name, says):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(StartRefused) as refused:
        make_model(name)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_failure_is_explained_without_its_own_text():
    class RateLimitError(Exception):
        pass

    assert "too many requests" in explain(RateLimitError("sk-secret"))
    assert "too long to answer" in explain(TimeoutError("sk-secret"))
    assert "server's own" in explain(ZeroDivisionError("sk-secret"))
