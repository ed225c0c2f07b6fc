"""Turns through the real graph on the real Redis: answers, takeover, fence, ends."""

import asyncio

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from chatproject.chaos.verdict import finished_again
from conversations import keys, store
from conversations.assistant import keys as checkpoint_keys
from conversations.assistant.service import Assistant, Drained
from conversations.errors import Fenced
from tests.assistant_kit import Heard, Talk, talk, until

__all__ = ["talk"]


@pytest.fixture
def steps_file(settings, tmp_path):
    path = tmp_path / "steps"
    settings.SCRIPTED_STEPS_FILE = str(path)
    settings.SCRIPTED_DELAY_MS = 4
    return path


def lines(path):
    return [int(line) for line in path.read_text().split()] if path.exists() else []


async def cut_after(talk, job, condition):
    """Run the job and cancel it, as death would, once the condition holds."""
    task = asyncio.create_task(talk.run(job))
    await until(condition)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_pieces_joined_are_the_answer(talk):
    heard = Heard()
    outcome = await talk.run(await talk.claim("hello  there\n friend "), heard)
    assert (outcome.status, outcome.text) == ("done", "echo: hello  there\n friend ")
    assert heard.pieces == ["echo: ", "hello  ", "there\n ", "friend "]
    seconds = outcome.usage.pop("seconds")
    assert outcome.usage == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "model": "scripted"}
    assert 0 < seconds < 5


async def test_the_title_is_the_first_60_characters_of_the_first_message(talk):
    assert (await talk.say("a" * 70)).title == "a" * 60
    assert (await talk.say("another")).title == "a" * 60


async def test_a_failed_first_turn_has_a_title_too(talk):
    outcome = await talk.say("/fail")
    assert (outcome.status, outcome.title) == ("failed", "/fail")


async def test_a_failing_model_ends_the_turn_in_words_and_the_conversation_goes_on(talk):
    outcome = await talk.say("/fail")
    assert (outcome.status, "Send another message" in outcome.error) == ("failed", True)
    assert (await talk.say("still there?")).text == "echo: still there?"
    assert await talk.said() == ["/fail", "still there?", "echo: still there?"]


async def test_an_approval_waits_and_then_goes_either_way(talk):
    for value, answer in ((True, "approved: cake"), (False, "declined: cake"), ("true", "declined: cake")):
        job = await talk.claim("/approve cake")
        waiting = await talk.run(job)
        assert (waiting.status, waiting.interrupts[0]["value"]["args"]) == ("waiting", {"subject": "cake"})
        assert await talk.run(job) == waiting
        heard = Heard()
        outcome = await talk.run(job, heard, {waiting.interrupts[0]["id"]: value})
        assert (outcome.status, outcome.text, heard.text) == ("done", answer, answer)


async def test_every_named_steps_beginning_and_end_are_told(talk):
    heard = Heard()
    await talk.run(await talk.claim("hello"), heard)
    names = ["take_input", "respond", "update_context"]
    assert heard.steps == [(name, status) for name in names for status in ("began", "ended")]
    asked = Heard()
    await talk.run(await talk.claim("/approve cake"), asked)
    assert asked.steps[-2:] == [("tools", "began", "approve"), ("tools", "ended", "approve")]


async def test_a_turn_that_was_answered_while_its_node_died_is_not_asked_again(talk, settings):
    job = await talk.claim("/approve cake")
    waiting = await talk.run(job)
    answers = {waiting.interrupts[0]["id"]: True}
    settings.SCRIPTED_DELAY_MS = 2000
    heard = Heard()
    task = asyncio.create_task(talk.run(job, heard, answers))
    await until(lambda: heard.pieces == ["approved: "])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    settings.SCRIPTED_DELAY_MS = 0
    outcome = await talk.run(await talk.claim(job=job), answers=answers)
    assert (outcome.status, outcome.text) == ("done", "approved: cake")


async def test_finished_steps_are_not_run_again_after_a_takeover(talk, steps_file):
    job = await talk.claim("/steps 30")
    await cut_after(talk, job, lambda: len(lines(steps_file)) >= 10)
    outcome = await talk.run(await talk.claim(job=job))
    assert (outcome.error, outcome.text, lines(steps_file)) == ("", "steps: 30", list(range(1, 31)))


@pytest.mark.parametrize("set_back", [False, True])
async def test_a_finished_step_that_is_run_again_is_seen_though_its_effect_is_there_once(
    talk, settings, tmp_path, set_back
):
    settings.SCRIPTED_STEPS_FILE, settings.SCRIPTED_DELAY_MS = str(tmp_path), 50
    job = await talk.claim("/steps 8")
    begun = tmp_path / f"{job.turn_id}.begun"
    await cut_after(talk, job, lambda: begun.exists() and lines(begun)[-1:] == [5])
    settings.SCRIPTED_DELAY_MS = 0
    if set_back:  # as if the newest checkpoint had been lost, and with it what its step had written
        head = await talk.assistant.saver.aget_tuple(talk.config())
        before = head.parent_config["configurable"]["checkpoint_id"]
        await store.client().hset(checkpoint_keys.heads(talk.conversation_id), "", before)
        await store.client().delete(f"{checkpoint_keys.writes_prefix(talk.conversation_id)}:{before}")
    assert (await talk.run(await talk.claim(job=job))).text == "steps: 8"
    assert lines(tmp_path / job.turn_id) == list(range(1, 9))
    assert finished_again(lines(begun)) == ([4] if set_back else [])


@pytest.mark.parametrize("passes", range(20, 1400, 60))
async def test_a_run_may_be_cut_at_any_moment_and_goes_on_to_its_end(talk, steps_file, settings, passes):
    settings.SCRIPTED_DELAY_MS = 0
    job = await talk.claim("/steps 4")
    task = asyncio.create_task(talk.run(job))
    for _ in range(passes):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    outcome = await talk.run(await talk.claim(job=job))
    assert (outcome.text, lines(steps_file)) == ("steps: 4", [1, 2, 3, 4])
    assert await talk.said() == ["/steps 4", "steps: 4"]


async def test_a_drained_run_stops_between_steps_and_goes_on_elsewhere(talk, steps_file):
    job = await talk.claim("/steps 30")
    task = asyncio.create_task(talk.run(job))
    await until(lambda: len(lines(steps_file)) >= 5)
    talk.assistant.drain(job.turn_id)
    with pytest.raises(Drained):
        await task
    assert len(lines(steps_file)) < 30
    other_node = Talk(Assistant("scripted"))
    await other_node.assistant.start()
    outcome = await other_node.run(await talk.claim(job=job))
    assert (outcome.text, lines(steps_file)) == ("steps: 30", list(range(1, 31)))


async def test_an_answer_cut_in_the_middle_is_written_afresh(talk, settings):
    settings.SCRIPTED_DELAY_MS = 5
    job = await talk.claim("/words 40")
    heard = Heard()
    task = asyncio.create_task(talk.run(job, heard))
    await until(lambda: len(heard.pieces) >= 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    again = Heard()
    outcome = await talk.run(await talk.claim(job=job), again)
    assert outcome.text == again.text == " ".join(f"w{number}" for number in range(1, 41))
    assert await talk.said() == ["/words 40", outcome.text]


async def test_a_finished_turn_taken_over_is_answered_from_its_checkpoint(talk):
    job = await talk.claim("hello")
    first = await talk.run(job)
    heard = Heard()
    assert await talk.run(await talk.claim(job=job), heard) == first
    assert heard.pieces == []


async def test_the_next_turn_never_posts_the_last_turns_answer(talk):
    await talk.say("one")
    assert (await talk.run(await talk.claim("two"))).text == "echo: two"


async def test_a_frozen_node_that_wakes_up_changes_nothing(talk, steps_file):
    job = await talk.claim("/steps 200")
    task = asyncio.create_task(talk.run(job))
    await until(lambda: len(lines(steps_file)) >= 3)
    await talk.claim(job=job)
    with pytest.raises(Fenced):
        await task
    done = (await talk.state())["steps_done"]
    with pytest.raises(Fenced):
        await talk.assistant.end_turn(job, text="late", status="cancelled")
    assert (await talk.state())["steps_done"] == done < len(lines(steps_file))


async def test_expired_state_is_rebuilt_from_the_transcript(talk):
    await talk.say("one")
    await talk.assistant.forget(talk.conversation_id)
    talk.transcript = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "echo: one"}]
    await talk.say("two")
    assert await talk.said() == ["one", "echo: one", "two", "echo: two"]


async def test_a_long_transcript_is_windowed_and_digested(talk):
    talk.seq = 401
    talk.transcript = [{"role": "user", "content": f"old {number}"} for number in range(200)]
    await talk.say("new")
    state = await talk.state()
    assert len(state["messages"]) == 21
    assert "User: old 180" in state["summary"]


async def test_the_transcript_is_not_asked_for_while_the_checkpoints_are_there(talk):
    await talk.say("one")
    talk.transcript = [{"role": "user", "content": "wrong"}]
    await talk.say("two")
    assert await talk.said() == ["one", "echo: one", "two", "echo: two"]


async def test_a_cancelled_turn_keeps_its_half_answer_and_closes_its_calls(talk):
    job = await talk.claim("/approve cake")
    await talk.run(job)
    await talk.assistant.end_turn(job, text="half an", status="cancelled")
    await talk.assistant.end_turn(job, text="half an", status="cancelled")
    assert await talk.said() == ["/approve cake", "", "cancelled", "half an"]
    assert (await talk.say("next")).text == "echo: next"
    assert (await talk.say("/approve pie")).status == "waiting"


async def test_an_answer_that_was_whole_when_its_turn_was_cancelled_gives_way_to_what_was_sent(talk):
    job = await talk.claim("/words 3")
    await talk.run(job)
    await talk.assistant.end_turn(job, text="w1 ", status="cancelled")
    assert await talk.said() == ["/words 3", "w1 "]


async def test_a_turn_that_was_ended_is_not_run_again_by_a_takeover(talk):
    job = await talk.claim("/words 3")
    await talk.assistant.end_turn(job, text="w1", status="cancelled")
    heard = Heard()
    outcome = await talk.run(await talk.claim(job=job), heard)
    assert (outcome.status, outcome.text, heard.pieces) == ("failed", "w1", [])
    assert await talk.said() == ["/words 3", "w1"]


async def test_ending_a_turn_without_any_state_leaves_the_rebuilding_to_the_next(talk):
    talk.seq = 7
    job = await talk.claim("never begun")
    await talk.assistant.end_turn(job, text="", status="cancelled")
    assert await talk.keys() == []


async def test_a_call_left_open_by_a_lost_end_is_closed_by_the_next_turn(talk):
    await talk.run(await talk.claim("/approve cake"))
    await talk.say("next")
    assert await talk.said() == ["/approve cake", "", "cancelled", "next", "echo: next"]


async def test_fifty_turns_keep_state_and_keys_bounded(talk):
    for number in range(50):
        await talk.say(f"message {number} " + "x" * 200)
    state = await talk.state()
    assert len(state["messages"]) <= 21
    assert len(state["summary"].encode()) <= 1024
    assert state["counts"] == {"user": 50, "assistant": 50}
    assert len(await talk.keys()) <= 22


async def test_an_answer_longer_than_a_frame_carries_is_cut_at_the_same_place_everywhere(talk):
    heard = Heard()
    outcome = await talk.run(await talk.claim("/words 40000"), heard)
    assert outcome.status == "done"
    assert outcome.text == heard.text
    assert 131_000 < len(outcome.text) <= 131_070


async def test_an_empty_answer_is_a_failure_with_a_reason(talk):
    outcome = await talk.say("/words 0")
    assert (outcome.status, "empty" in outcome.error) == ("failed", True)


async def test_a_constructor_in_a_message_is_only_text(talk):
    text = '{"lc": 2, "type": "constructor", "id": ["os", "system"], "args": ["true"]}'
    await talk.say(text)
    await talk.say(f"/approve {text}")
    state = await talk.state()
    assert state["messages"][1] == AIMessage(f"echo: {text}", **_same(state["messages"][1]))
    assert state["messages"][3].tool_calls[0]["args"] == {"subject": text}


def _same(message):
    return {"id": message.id, "usage_metadata": message.usage_metadata}


async def test_a_forgotten_conversation_leaves_no_checkpoint(talk):
    await talk.say("one")
    await talk.assistant.forget(talk.conversation_id)
    assert await talk.keys() == []


async def test_the_fence_is_the_turns_own_hash(talk):
    job = await talk.claim("hello")
    await store.client().delete(keys.turn(job.conversation_id, job.turn_id))
    with pytest.raises(Fenced):
        await talk.run(job)
    assert HumanMessage("hello") not in (await talk.state()).get("messages", [])


async def test_a_cancellation_that_the_graph_raises_itself_is_a_failure(talk, monkeypatch):
    async def give_up(state):
        raise asyncio.CancelledError

    monkeypatch.setattr("conversations.assistant.graph._use_tool_of", lambda offered: give_up)
    await talk.assistant.start()
    outcome = await talk.run(await talk.claim("/approve cake"))
    assert (outcome.status, bool(outcome.error)) == ("failed", True)
