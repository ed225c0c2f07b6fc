"""The graph of one turn: take_input -> (steps)* -> respond <-> tools -> update_context.

The state is plain: messages and JSON values. `messages` holds a window; what leaves it goes into `summary`.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from django.conf import settings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    message_chunk_to_message,
)
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from typing_extensions import TypedDict

from conversations.lease import hold_lease

from . import context, speakers
from .answer import ANSWER_BYTES, clean
from .approval import ask_person
from .models import SILENCE_SECONDS, EmptyAnswer, prompt_characters
from .scripted import ScriptedModel, asked, parse_command

INSTRUCTION = "You are a helpful assistant. Answer briefly, in the language of the user."


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    summary: str
    title: str
    topic: str
    language: str
    tone: str
    intent: str
    counts: dict[str, int]  # messages so far, by user and assistant
    steps_done: int  # of `/steps N`, in this turn


def build_graph(model: BaseChatModel) -> "StateGraph[State]":
    """Return the graph, not compiled: the caller brings the checkpointer."""
    graph = StateGraph(State)
    graph.add_node("take_input", take_input)
    graph.add_node("steps", take_step)
    graph.add_node("respond", _respond_with(model))
    graph.add_node("tools", use_tools)
    graph.add_node("update_context", update_context)
    graph.add_edge(START, "take_input")
    route = _route_steps if isinstance(model, ScriptedModel) else _route_respond
    graph.add_conditional_edges("take_input", route, ["steps", "respond"])
    graph.add_conditional_edges("steps", route, ["steps", "respond"])
    graph.add_conditional_edges("respond", _route_answer, ["tools", "update_context"])
    graph.add_edge("tools", "respond")
    graph.add_edge("update_context", END)
    return graph


def take_input(state: State) -> dict[str, Any]:
    """Close calls that an ended turn left open, and move what is older than the window into the summary.

    The user's message itself came in through the reducer of `messages`.
    """
    messages: list[BaseMessage] = list(state["messages"])
    closed = context.answer_open_calls(messages)
    start = context.split_window(closed)
    update: dict[str, Any] = {"steps_done": 0}
    if not state.get("title"):
        update["title"] = context.title_of(asked(messages))
    if start or len(closed) != len(messages):
        update["messages"] = [RemoveMessage(REMOVE_ALL_MESSAGES), *closed[start:]]
        update["summary"] = context.digest(state.get("summary", ""), closed[:start])
    return update


def _route_respond(state: State) -> Literal["respond"]:
    return "respond"


def _route_steps(state: State) -> Literal["steps", "respond"]:
    name, argument = parse_command(asked(list(state["messages"])))
    return "steps" if name == "steps" and state["steps_done"] < int(argument) else "respond"


def _route_answer(state: State) -> Literal["tools", "update_context"]:
    last = state["messages"][-1]
    return "tools" if isinstance(last, AIMessage) and last.tool_calls else "update_context"


async def take_step(state: State, config: RunnableConfig) -> dict[str, Any]:
    """Do one step of `/steps N`: wait, append its number to SCRIPTED_STEPS_FILE."""
    number = state["steps_done"] + 1
    await asyncio.sleep(settings.SCRIPTED_DELAY_MS / 1000)
    if settings.SCRIPTED_STEPS_FILE:
        settled = config["configurable"]
        await hold_lease()
        _write_step(Path(settings.SCRIPTED_STEPS_FILE), number, settled.get("attempt", 1), settled.get("turn_id", ""))
    return {"steps_done": number}


def _write_step(path: Path, number: int, attempt: int, turn_id: str) -> None:
    if path.is_dir():  # a file for each turn, where several run at once
        path = path / turn_id
    # An effect outside cannot be in one transaction with its checkpoint. A takeover therefore looks first
    # whether the step that it finds unfinished has had its effect already.
    if attempt > 1 and path.exists() and path.read_text().split()[-1:] == [str(number)]:
        return
    with path.open("a") as file:
        file.write(f"{number}\n")


def _respond_with(model: BaseChatModel) -> Any:
    scripted = isinstance(model, ScriptedModel)
    room = prompt_characters(model)

    async def respond(state: State) -> dict[str, Any]:
        """Ask the model; its pieces go out by the run's `messages` stream. Raises what the model raises."""
        messages: list[BaseMessage] = list(state["messages"])
        prompt = messages if scripted else _prompt(messages, state.get("summary", ""), room)
        whole = await _gather(model, prompt, None if scripted else SILENCE_SECONDS)
        return {"messages": [whole]}

    return respond


async def _gather(model: BaseChatModel, prompt: list[BaseMessage], silence: float | None) -> BaseMessage:
    """Return the whole answer. A model that goes on beyond what an answer may hold is stopped."""
    chunks: list[AIMessageChunk] = []
    length = 0
    loop = asyncio.get_running_loop()
    stream = cast(AsyncGenerator[AIMessageChunk, None], model.astream(prompt))
    async with asyncio.timeout(silence) as limit, aclosing(stream):
        async for chunk in stream:
            if silence:
                limit.reschedule(loop.time() + silence)
            chunks.append(chunk)
            length += len(chunk.text)
            if length > ANSWER_BYTES:
                break
    # In one go: adding chunk to chunk would copy the answer for each.
    whole = chunks[0] + chunks[1:] if chunks else None
    if whole is None or not (whole.text.strip() or whole.tool_calls):
        raise EmptyAnswer
    if isinstance(whole.content, str):
        whole.content = clean(whole.content)
    return message_chunk_to_message(whole)


def _prompt(messages: list[BaseMessage], summary: str, room: int) -> list[BaseMessage]:
    """Return what the model is shown: instruction, summary, and the newest messages that fit its room."""
    instruction = f"{INSTRUCTION}\n\n{speakers.INSTRUCTION}" if speakers.has_several(messages) else INSTRUCTION
    if summary:
        instruction += f"\n\nEarlier in this conversation:\n{summary}"
    start = context.split_window(messages, room)
    return [SystemMessage(instruction), *map(speakers.shown, messages[start:])]


def use_tools(state: State) -> dict[str, Any]:
    """Ask a person to approve each call; `true` approves, anything else declines.

    Raises GraphInterrupt until every call has its answer; then it runs again from its beginning.
    """
    last = state["messages"][-1]
    calls = last.tool_calls if isinstance(last, AIMessage) else []
    answers = []
    for call in calls:
        content = "approved" if ask_person(call) else "declined"
        answers.append(ToolMessage(content, tool_call_id=call["id"], id=f"{call['id']}-answer"))
    return {"messages": answers}


def update_context(state: State) -> dict[str, Any]:
    """Bring counts, topic, language, tone and intent up to date."""
    before = state.get("counts") or {"user": 0, "assistant": 0}
    counts = {"user": before["user"] + 1, "assistant": before["assistant"] + 1}
    text = asked(list(state["messages"]))
    return {"counts": counts, **context.describe(text, dict(state))}
