"""The graph of one turn: take_input -> (steps)* -> respond <-> tools -> update_context.

The state is plain: messages and JSON values. `messages` holds a window; what leaves it goes into `recap`, which a
model writes between turns, or, until it has, line by line into `summary`.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from django.conf import settings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, RemoveMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from langgraph.runtime import Runtime
from langgraph.types import Send
from typing_extensions import TypedDict

from conversations.gist import title_of
from conversations.lease import hold_lease

from . import context, privacy, prompts, tools
from .approval import ask_person
from .asking import Asked, ask
from .models import Models
from .scripted import ScriptedModel, asked, parse_command
from .turn_context import TurnContext

# A model that calls tools in circles is shown none after so many rounds of one turn, so that it answers.
MOST_ROUNDS = 8
NO_USAGE = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "seconds": 0.0}


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    recap: str
    summary: str
    title: str
    topic: str
    language: str
    tone: str
    intent: str
    counts: dict[str, int]  # messages so far, by user and assistant
    steps_done: int  # of `/steps N`, in this turn
    usage: dict[str, Any]  # of this turn: tokens, seconds that models were asked, the last one's name


class Called(TypedDict):
    """What one task of `tools` gets."""

    call: ToolCall


def build_graph(models: Models) -> "StateGraph[State, TurnContext]":
    """Return the graph, not compiled: the caller brings checkpointer and store. Raises StartRefused."""
    offered = tools.find_offered()
    graph = StateGraph(State, TurnContext)
    graph.add_node("take_input", take_input)
    graph.add_node("steps", take_step)
    graph.add_node("respond", _respond_with(models, offered))
    graph.add_node("tools", _use_tool_of({tool.name: tool for tool in offered}), input_schema=Called)
    graph.add_node("update_context", update_context)
    graph.add_edge(START, "take_input")
    route = _route_steps_of(models)
    graph.add_conditional_edges("take_input", route, ["steps", "respond"])
    graph.add_conditional_edges("steps", route, ["steps", "respond"])
    graph.add_conditional_edges("respond", _route_answer, ["tools", "update_context"])
    graph.add_edge("tools", "respond")
    graph.add_edge("update_context", END)
    return graph


def take_input(state: State, runtime: Runtime[TurnContext]) -> dict[str, Any]:
    """Close calls that an ended turn left open, and move what is older than the window into recap or summary.

    The user's message itself came in through the reducer of `messages`. The topic is people's, where they have
    given one; the title is the log's, so that of a person or a model.
    """
    given = runtime.context
    messages: list[BaseMessage] = list(state["messages"])
    closed = context.answer_open_calls(messages)
    before = state.get("counts") or context.count_before(messages)
    counts = {**before, "user": before["user"] + 1 + given.heard}
    update: dict[str, Any] = {"steps_done": 0, "usage": dict(NO_USAGE), "counts": counts}
    if title := given.title or ("" if state.get("title") else title_of(asked(messages))):
        update["title"] = title
    if given.topic:
        update["topic"] = given.topic
    summary, start = state.get("summary", ""), 0
    if given.recap and (start := _index_after(closed, given.recap.upto)):
        update["recap"], summary = given.recap.text, ""
    window = start + context.split_window(closed[start:])
    if window or len(closed) != len(messages):
        update["messages"] = [RemoveMessage(REMOVE_ALL_MESSAGES), *closed[window:]]
        update["summary"] = context.digest(summary, closed[start:window])
    return update


def _index_after(messages: list[BaseMessage], message_id: str) -> int:
    """Return the index after that message; 0 where it has left the window, and the recap is of no use any more."""
    for index, message in enumerate(messages):
        if message.id == message_id:
            # What answers a call stays with it.
            return index + 1 if index + 1 < len(messages) else 0
    return 0


def _route_steps_of(models: Models) -> Any:
    def route(state: State, runtime: Runtime[TurnContext]) -> Literal["steps", "respond"]:
        if not isinstance(models.pick(runtime.context.model)[1], ScriptedModel):
            return "respond"
        name, argument = parse_command(asked(list(state["messages"])))
        return "steps" if name == "steps" and state["steps_done"] < int(argument) else "respond"

    return route


def _route_answer(state: State) -> Literal["update_context"] | list[Send]:
    """Each call is a task of its own: one that waits for a person keeps no other one back, and none runs twice."""
    last = state["messages"][-1]
    calls = last.tool_calls if isinstance(last, AIMessage) else []
    return [Send("tools", {"call": call}) for call in calls] or "update_context"


async def take_step(state: State, config: RunnableConfig) -> dict[str, Any]:
    """Do one step of `/steps N`: wait, append its number to SCRIPTED_STEPS_FILE."""
    number = state["steps_done"] + 1
    settled = config["configurable"]
    turn_id = settled.get("turn_id", "")
    if settings.SCRIPTED_STEPS_FILE:
        # Below, a step that is run again finds its effect and leaves no trace; whoever judges a run sees it here.
        with _open_steps(turn_id, ".begun") as file:
            await hold_lease()
            _write_number(file, number)
    await asyncio.sleep(settings.SCRIPTED_DELAY_MS / 1000)
    if settings.SCRIPTED_STEPS_FILE:
        # Opened before: nothing lies between the look at the lease and the effect but the look at what is there.
        with _open_steps(turn_id) as file:
            await hold_lease()
            _write_step(file, number, is_first=settled.get("attempt", 1) == 1)
    return {"steps_done": number}


def _open_steps(turn_id: str, suffix: str = "") -> TextIO:
    path = Path(settings.SCRIPTED_STEPS_FILE)
    if path.is_dir():  # a file for each turn, where several run at once
        path = path / turn_id
    return Path(f"{path}{suffix}").open("a+")


def _write_step(file: TextIO, number: int, *, is_first: bool) -> None:
    # An effect outside cannot be in one transaction with its checkpoint. A takeover therefore looks first
    # whether the step that it finds unfinished has had its effect already.
    if not is_first:
        file.seek(0)
        if file.read().split()[-1:] == [str(number)]:
            return
    _write_number(file, number)


def _write_number(file: TextIO, number: int) -> None:
    file.write(f"{number}\n")
    file.flush()


def _respond_with(models: Models, offered: list[tools.Tool]) -> Any:
    async def respond(state: State, runtime: Runtime[TurnContext]) -> dict[str, Any]:
        """Ask the model; its pieces go out by the run's `messages` stream. Raises what the last model raises."""
        messages: list[BaseMessage] = list(state["messages"])
        about = runtime.context
        chain = models.chain(about.model)
        # The scripted model is given nothing of anybody's own.
        is_alone = any(not isinstance(model, ScriptedModel) for _, model in chain) and await privacy.is_alone(about)
        if not is_alone:
            about = replace(about, own_instructions="")
        shown = privacy.shown_to(about.user_id if is_alone else "", messages)
        offer = [tool for tool in offered if is_alone or not tool.is_private]
        if context.count_rounds(messages) >= MOST_ROUNDS:
            offer = []
        names = [tool.name for tool in offer]
        answer = await ask(
            chain,
            lambda model: prompts.prompt(model, shown, dict(state), about, names),
            lambda model: _bound(model, offer),
        )
        return {"messages": [answer.message], "usage": _added(state.get("usage") or NO_USAGE, answer)}

    return respond


def _bound(model: BaseChatModel, offer: list[tools.Tool]) -> Any:
    """Return the model with its tools; without, where it takes none."""
    if not offer or not prompts.takes_tools(model):
        return model
    try:
        return model.bind_tools([tool.schema() for tool in offer])
    except NotImplementedError:
        return model


def _added(usage: dict[str, Any], answer: Asked) -> dict[str, Any]:
    used: dict[str, Any] = dict(answer.message.usage_metadata or {})
    tokens = {name: usage[name] + int(used.get(name) or 0) for name in NO_USAGE if name != "seconds"}
    return {**tokens, "seconds": round(usage["seconds"] + answer.seconds, 3), "model": answer.model}


def _use_tool_of(offered: dict[str, tools.Tool]) -> Any:
    # The scripted model's tool is there whatever is offered to others.
    known = {**{name: tools.REGISTRY[name] for name in tools.ALWAYS}, **offered}

    async def use_tool(given: Called, runtime: Runtime[TurnContext]) -> dict[str, Any]:
        """Run one call. Where a person must approve it: ask, and run it only for a plain `true`.

        Raises GraphInterrupt until there is an answer; then it runs again from its beginning.
        """
        call, about = given["call"], runtime.context
        tool, marks = known.get(call["name"]), dict[str, Any]()
        if tool is None:
            content = "There is no such tool."
        elif tool.needs_approval and not ask_person(call):
            content = "declined"
        else:
            is_own = tool.is_personal and await privacy.is_alone(about)
            content = await tools.run_tool(tool, call["args"], tools.Scope(about, runtime.store, is_own))
            marks = privacy.owned_by(about.user_id) if is_own else {}
        answer_id = f"{call['id']}-answer"
        return {"messages": [ToolMessage(content, tool_call_id=call["id"], id=answer_id, additional_kwargs=marks)]}

    return use_tool


def update_context(state: State) -> dict[str, Any]:
    """Bring counts, topic, language, tone and intent up to date."""
    counts = {**state["counts"], "assistant": state["counts"]["assistant"] + 1}
    return {"counts": counts, **context.describe(asked(list(state["messages"])), dict(state))}
