"""Graphs that are not ours, graphs that misbehave, and state that somebody has poisoned: a reason, and it goes on."""

import asyncio
from dataclasses import replace
from typing import Annotated

import anyio
import pytest
from django.conf import settings as django_settings
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from redis import Redis
from typing_extensions import TypedDict

from conversations import store
from conversations.assistant import keys, tools
from conversations.assistant.containing import contained, prepare_loop
from conversations.assistant.service import Assistant
from conversations.errors import Fenced, StartRefused
from tests.assistant_kit import Heard, Talk, talk, told_talk

__all__ = ["talk"]
CONSTRUCTOR = '{"lc": 2, "type": "constructor", "id": ["pathlib", "Path", "touch"], "args": ["%s"]}'


async def graph_talk(settings, name, module="tests.integration.test_assistant_graphs"):
    settings.CHAT_GRAPH = f"{module}:{name}"
    settings.SCRIPTED_DELAY_MS = 0
    talk = Talk(Assistant("scripted"))
    await talk.assistant.start()
    return talk


def _graph(answer, state=MessagesState):
    graph = StateGraph(state)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    return graph


def _last(state):
    return state["messages"][-1].text


def parrot():
    return _graph(lambda state: {"messages": [AIMessage(_last(state) + "!")]})


def compiled():
    return parrot().compile()


async def test_another_graph_with_messages_takes_the_place_of_ours(settings):
    talk = await graph_talk(settings, "parrot")
    heard = Heard()
    outcome = await talk.run(await talk.claim("hello"), heard)
    assert (outcome.text, heard.text, heard.steps[0]) == ("hello!", "hello!", ("answer", "began"))
    job = await talk.claim("bye")
    await talk.assistant.end_turn(job, text="half", status="cancelled")
    assert await talk.said() == ["hello", "hello!", "bye", "half"]


async def test_a_compiled_graph_gets_our_checkpoints(settings):
    talk = await graph_talk(settings, "compiled")
    await talk.say("one")
    assert (await talk.say("two")).text == "two!"
    assert await talk.said() == ["one", "one!", "two", "two!"]


async def test_the_documented_example_answers_and_shortens(settings):
    talk = await graph_talk(settings, "make_graph", "examples.reviewed")
    heard = Heard()
    outcome = await talk.run(await talk.claim("hello"), heard)
    assert (outcome.text, heard.text) == ("echo: hello", "echo: hello")
    assert len((await talk.say("/words 300")).text.split()) == 121


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nonsense", "module:function"),
        ("no.such:thing", "ModuleNotFoundError"),
        ("tests.integration.test_assistant_graphs:no_such", "AttributeError"),
        ("tests.integration.test_assistant_graphs:raising", "RuntimeError: no key"),
        ("builtins:dict", "returned dict"),
        ("tests.integration.test_assistant_graphs:without_messages", "no `messages`"),
        ("tests.integration.test_assistant_graphs:stopping_before", "interrupt()"),
        ("tests.integration.test_assistant_graphs:stopping_after", "interrupt()"),
    ],
)
async def test_a_graph_that_cannot_be_used_stops_the_start_in_one_line(settings, path, says):
    settings.CHAT_GRAPH = path
    with pytest.raises(StartRefused) as refused:
        await Assistant("scripted").start()
    line = str(refused.value)
    assert (says in line, line.startswith("CHAT_GRAPH is "), "\n" in line) == (True, True, False)


def raising():
    raise RuntimeError("no key")


class Plain(TypedDict):
    word: str


def without_messages():
    return _graph(lambda state: {}, Plain)


def stopping_before():
    return parrot().compile(interrupt_before=["answer"])


def stopping_after():
    return parrot().compile(interrupt_after="*")


# -- graphs that misbehave when they are asked to by what is said


def misbehaving():
    def answer(state):
        match _last(state):
            case "nothing":
                return {}
            case "raise":
                raise ValueError("sk-secret")
            case "long":
                return {"messages": [AIMessage("x" * 1024 * 1024)]}
            case "huge":
                return {"messages": [AIMessage("x" * 9 * 1024 * 1024)]}
            case "object":
                return {"messages": [AIMessage("fine", additional_kwargs={"it": object()})]}
            case "dict":
                return {"messages": [AIMessage("", additional_kwargs={"a": CONSTRUCTOR})]}
        return {"messages": [AIMessage(f"answer to {_last(state)}")]}

    def route(state):
        if _last(state) == "raise on the way":
            raise ValueError("sk-secret")
        return "answer" if _last(state) == "loop" else "__end__"

    def loop(state):
        return {} if _last(state) == "loop" else answer(state)

    graph = _graph(loop)
    graph.add_conditional_edges("answer", route, ["answer", "__end__"])
    graph.add_conditional_edges(START, lambda state: 1 / 0 if _last(state) == "raise at once" else "answer", ["answer"])
    return graph


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nothing", "without an answer"),
        ("raise", "a reason of the server's own"),
        ("raise at once", "a reason of the server's own"),
        ("loop", "too many steps"),
        ("long", "longer than 128 KiB"),
        ("huge", "too much at once"),
        ("object", "cannot be stored"),
        ("dict", "empty answer"),
    ],
)
async def test_whatever_a_graph_does_the_turn_has_a_reason_and_the_next_one_answers(settings, text, says):
    talk = await graph_talk(settings, "misbehaving")
    talk.transcript = [{"role": "user", "content": text}]
    await talk.say("before")
    outcome = await talk.say(text)
    assert (outcome.status, says in outcome.error, "sk-" in outcome.error) == ("failed", True, False)
    assert (await talk.say("after")).text == "answer to after"
    assert text in await talk.said()


async def test_an_answer_too_long_is_kept_as_far_as_it_may_be(settings):
    talk = await graph_talk(settings, "misbehaving")
    outcome = await talk.say("long")
    assert 131_000 < len(outcome.text) <= 131_070


# -- graphs that raise what would end a process


class Panic(BaseException):
    """As some libraries raise that are written in Rust."""


def _exit_at_once(state):
    raise SystemExit(1)


async def _exit(state):
    await asyncio.sleep(0)
    raise SystemExit(1)


async def _interrupt(state):
    raise KeyboardInterrupt


async def _exit_in_a_task(state):
    await asyncio.gather(asyncio.sleep(0), _exit(state))


async def _exit_in_a_thread(state):
    await asyncio.to_thread(_exit_at_once, state)


async def _panic(state):
    raise Panic


EXITS = {each.__name__: each for each in (_exit_at_once, _exit, _interrupt, _exit_in_a_task, _exit_in_a_thread, _panic)}


def exiting():
    """Ends the process as it is told to, in a node, in a graph inside, or on the way."""

    async def work(state):
        if asyncio.iscoroutine(left := EXITS.get(_last(state), lambda _: None)(state)):
            await left
        return {"messages": [AIMessage(f"answer to {_last(state)}")]}

    def route(state):
        return _exit_at_once(state) if _last(state) == "on the way" else "work"

    inside = _graph(work).compile()

    async def answer(state):
        return await inside.ainvoke(state) if state["messages"][0].text == "inside" else await work(state)

    graph = _graph(answer)
    graph.add_node("work", lambda state: {})
    graph.add_conditional_edges("answer", lambda state: "work", ["work"])
    graph.add_conditional_edges(START, lambda state: route(state) and "answer", ["answer"])
    return graph


@pytest.mark.parametrize("first", ["before", "inside"])
@pytest.mark.parametrize("text", [*EXITS, "on the way"])
async def test_what_would_end_the_process_fails_the_turn_and_the_next_one_answers(settings, first, text):
    talk = await graph_talk(settings, "exiting")
    await talk.say(first)
    outcome = await talk.say(text)
    assert (outcome.status, "a reason of the server's own" in outcome.error) == ("failed", True)
    assert (await talk.say("after")).text == "answer to after"


async def test_a_reducer_that_exits_fails_the_turn(settings):
    talk = await graph_talk(settings, "exiting_reducer")
    assert (await talk.say("before")).text == "answer to before"
    assert (await talk.say("exit")).status == "failed"
    assert (await talk.say("after")).text == "answer to after"


def _merge(before, new):
    if any(message.text == "answer to exit" for message in new):
        raise SystemExit(1)
    return add_messages(before, new)


class Merged(TypedDict):
    messages: Annotated[list[AnyMessage], _merge]


def exiting_reducer():
    return _graph(lambda state: {"messages": [AIMessage(f"answer to {_last(state)}")]}, Merged)


async def test_a_task_of_a_graph_that_is_cancelled_before_it_begins_leaves_nothing_behind():
    prepare_loop()
    with contained():
        task = asyncio.create_task(_exit(None))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    outside = asyncio.create_task(asyncio.sleep(0, "as ever"))
    assert await outside == "as ever"


async def test_what_runs_in_a_graph_may_be_cancelled_by_anyio_before_it_begins():
    prepare_loop()
    with contained():
        async with asyncio.timeout(5), anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            group.cancel_scope.cancel()


# -- our own graph: every step may fail


async def test_a_tool_of_ours_that_exits_costs_one_turn(monkeypatch):
    async def leave(args, scope):
        raise SystemExit(1)

    monkeypatch.setitem(tools.REGISTRY, "current_time", replace(tools.REGISTRY["current_time"], run=leave))
    talk = await told_talk("hello", [("current_time", {})], "back")
    await talk.say("one")
    assert (await talk.say("two")).status == "failed"
    assert (await talk.say("three")).text == "back"


@pytest.mark.parametrize("step", ["split_window", "answer_open_calls", "describe"])
async def test_a_fault_in_a_step_of_ours_costs_one_turn_and_the_next_goes_on_from_before_it(talk, monkeypatch, step):
    await talk.say("one")
    monkeypatch.setattr(f"conversations.assistant.context.{step}", lambda *_: 1 / 0)
    outcome = await talk.say("two")
    assert (outcome.status, "reason of the server" in outcome.error) == ("failed", True)
    assert await talk.said() == ["one", "echo: one"]
    monkeypatch.undo()
    # What was said meanwhile comes from the log, which this talk has not (test_going_on.py).
    assert (await talk.say("three")).text == "echo: three"
    assert await talk.said() == ["one", "echo: one", "three", "echo: three"]


async def test_a_state_that_fails_two_turns_is_dropped_and_rebuilt(talk, monkeypatch):
    await talk.say("one")
    monkeypatch.setattr("conversations.assistant.context.describe", lambda *_: 1 / 0)
    await talk.say("two")
    await talk.say("three")
    assert await talk.keys() == []
    monkeypatch.undo()
    talk.transcript = [{"role": "user", "content": each} for each in ("one", "two", "three")]
    assert (await talk.say("four")).text == "echo: four"
    assert await talk.said() == ["one", "two", "three", "four", "echo: four"]


async def test_a_turn_that_ends_well_clears_the_state_it_began_from(talk, monkeypatch):
    await talk.say("one")
    for number in range(3):
        with monkeypatch.context() as fault:
            fault.setattr("conversations.assistant.context.describe", lambda *_: 1 / 0)
            await talk.say(f"fails {number}")
        await talk.say(f"well {number}")
    assert await talk.said() == ["one", "echo: one", *(f"{e}well {n}" for n in range(3) for e in ("", "echo: "))]


async def test_a_state_that_cannot_take_a_turns_end_goes_back_to_before_it(talk, monkeypatch):
    await talk.say("one")
    job = await talk.claim("two")
    monkeypatch.setattr("conversations.assistant.context.answer_open_calls", lambda *_: 1 / 0)
    await talk.assistant.end_turn(job, text="half", status="cancelled")
    monkeypatch.undo()
    assert await talk.said() == ["one", "echo: one"]


async def test_a_model_that_calls_tools_in_circles_is_shown_none_after_eight_rounds(settings):
    calls = [[("current_time", {})] for _ in range(8)]
    talk = await told_talk(*calls, "here it is")
    assert (await talk.say("what time is it?")).text == "here it is"
    assert len(talk.model.shown) == 9


# -- poison


async def poison(talk, path, value):
    head = await store.client().hget(keys.heads(talk.conversation_id), "")
    document = f"{keys.prefix(talk.conversation_id)}:{head.decode()}"
    with Redis.from_url(django_settings.REDIS_URL) as redis:
        if path is None:
            redis.set(document, value)
        else:
            redis.json().set(document, path, value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.checkpoint", "%s"),
        ("$.checkpoint", '{"channel_values": {"messages": [%s]}, "channel_versions": {}, "id": "x"}'),
        ("$.checkpoint", '{"channel_values": {"messages": {"$": "message", "v": {"type": "evil"}}}}'),
        ("$.checkpoint", "not even JSON"),
        ("$.metadata", '{"$": "constructor", "v": %s}'),
        ("$", "%s"),
        (None, "a plain string"),
    ],
)
async def test_a_poisoned_checkpoint_makes_nothing_and_costs_one_turn(talk, tmp_path, path, value):
    await talk.say("one")
    trap = tmp_path / "made"
    await poison(talk, path, value.replace("%s", CONSTRUCTOR % trap))
    outcome = await talk.say("two")
    assert (outcome.status, "was set aside" in outcome.error, trap.exists()) == ("failed", True, False)
    talk.transcript = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "echo: one"}]
    assert (await talk.say("three")).text == "echo: three"
    assert (await talk.said())[:2] == ["one", "echo: one"]


async def test_a_poisoned_write_of_an_interrupted_turn_costs_that_turn(talk):
    await talk.say("one")
    job = await talk.claim("/approve cake")
    await talk.run(job)
    writes = [key for key in await talk.keys() if "checkpoint_writes" in key]
    with Redis.from_url(django_settings.REDIS_URL) as redis:
        for key in writes:
            for name in redis.hkeys(key):
                redis.hset(key, name, '["", "t", 0, "messages", "{\\"$\\": \\"evil\\", \\"v\\": 1}"]')
    outcome = await talk.run(await talk.claim(job=job))
    assert (outcome.status, "was set aside" in outcome.error) == ("failed", True)
    assert (await talk.say("next")).text == "echo: next"


async def test_a_late_writer_does_not_set_the_state_aside(talk):
    await talk.say("one")
    job = await talk.claim("two")
    await talk.claim(job=job)
    late = {"thread_id": job.conversation_id, "turn_id": job.turn_id, "attempt": 1}
    for put_aside in (talk.assistant.saver.adiscard, talk.assistant.saver.arewind):
        with pytest.raises(Fenced):
            await put_aside({"configurable": late})
    assert await talk.said() == ["one", "echo: one"]
