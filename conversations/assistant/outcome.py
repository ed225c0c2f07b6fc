"""What goes into a run of the graph and what comes out of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import orjson
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Interrupt

from conversations.failing import REASONS

from .answer import ANSWER_BYTES, Limit
from .given import Given
from .models import AnswerTooLong, EmptyAnswer, NoAnswer, explain


class Drained(Exception):
    """The run has stopped after a superstep because drain() asked it to; another node goes on from there."""


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at one turn. ``seq`` is that of the user's message in the log.

    ``username`` is empty where the user is alone with the assistant. ``given`` is read once the attempt has begun.
    """

    conversation_id: str
    turn_id: str
    attempt: int
    user_id: str
    username: str
    seq: int
    text: str
    given: Given = field(default_factory=Given)


class Source(NamedTuple):
    """The turn whose end another conversation goes on from. ``is_whole``: it was not cut short."""

    conversation_id: str
    turn_id: str
    is_whole: bool


class Sink(Protocol):
    """Where a running turn speaks; called from its event loop, must not block."""

    def piece(self, text: str) -> None: ...
    def step(self, name: str, status: str, tool: str = "") -> None: ...


@dataclass(slots=True)
class Outcome:
    """``status`` is done, waiting, cancelled or failed (``error`` is for people); ``text`` what there is to keep.

    ``is_rewound``: the state is back where the turn began, and has no turn-end of it.
    """

    status: str
    text: str = ""
    error: str = ""
    interrupts: list[dict[str, Any]] = field(default_factory=list)  # {"id", "value"}
    usage: dict[str, Any] = field(default_factory=dict)  # tokens, seconds that models were asked, the last one's name
    title: str = ""
    cancelled_by: str = ""  # the device
    language: str = ""
    is_rewound: bool = False
    values: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)  # the state at its end


def answer_of(values: dict[str, Any]) -> AIMessage | None:
    messages = values.get("messages", [])
    return messages[-1] if messages and isinstance(messages[-1], AIMessage) else None


def done(values: dict[str, Any]) -> Outcome:
    """Return the answer that the state ends with; failed where there is none, or more than an answer may be."""
    answer = answer_of(values)
    limit = Limit()
    text = limit.take(str(answer.text)) if answer else ""
    problem: Exception | None = None
    if not answer:
        problem = NoAnswer()
    elif not text.strip():
        problem = EmptyAnswer()
    elif len(text) < len(answer.text):
        problem = AnswerTooLong()
    outcome = Outcome("done", text=text, usage=used(values), values=values)
    outcome.title, outcome.language = str(values.get("title", "")), str(values.get("language", ""))
    if problem is not None:
        outcome.status, outcome.error = "failed", explain(problem)
    return outcome


def failed(error: Exception) -> Outcome:
    return Outcome("failed", error=explain(error))


def used(values: dict[str, Any]) -> dict[str, Any]:
    """Return the turn's usage: as our graph adds it up, or what the messages since the question say."""
    names = ("input_tokens", "output_tokens", "total_tokens")
    usage = values.get("usage")
    if isinstance(usage, dict) and usage:
        known = {name: usage[name] for name in (*names, "seconds", "model") if name in usage}
        return known if known.get("model") else {}
    found: dict[str, Any] = {}
    for message in reversed(values.get("messages", [])):
        if isinstance(message, HumanMessage):
            break
        counts: dict[str, Any] = dict((message.usage_metadata if isinstance(message, AIMessage) else None) or {})
        for name in names:
            if counts.get(name):
                found[name] = found.get(name, 0) + int(counts[name])
    return found


def waiting(values: dict[str, Any], interrupts: Sequence[Interrupt]) -> Outcome:
    asked = [{"id": each.id, "value": each.value} for each in interrupts]
    title = str(values.get("title", ""))
    if len(orjson.dumps(asked)) > ANSWER_BYTES:  # what tells of it must fit a frame
        return Outcome("failed", error=REASONS["question"], title=title)
    return Outcome("waiting", interrupts=asked, title=title)


def ended(values: dict[str, Any]) -> Outcome:
    """The turn-end was written, but its finish was not: end it once more in the same way."""
    answer = answer_of(values)
    text = str(answer.text) if answer else ""
    return Outcome("failed", text=text, error=REASONS["ended"])
