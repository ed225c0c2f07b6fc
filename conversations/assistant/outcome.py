"""What goes into a run of the graph and what comes out of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import orjson
from langchain_core.messages import AIMessage
from langgraph.types import Interrupt

from .answer import ANSWER_BYTES, Limit


class Drained(Exception):
    """The run has stopped after a superstep because drain() asked it to; another node goes on from there."""


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at one turn. ``seq`` is that of the user's message in the log.

    ``username`` is empty where the user is alone with the assistant.
    """

    conversation_id: str
    turn_id: str
    attempt: int
    user_id: str
    username: str
    seq: int
    text: str


class Source(NamedTuple):
    """The turn whose end another conversation goes on from. ``is_whole``: it was not cut short."""

    conversation_id: str
    turn_id: str
    is_whole: bool


class Sink(Protocol):
    """Where a running turn speaks; called from its event loop, must not block."""

    def piece(self, text: str) -> None: ...
    def step(self, name: str, status: str) -> None: ...


@dataclass(slots=True)
class Outcome:
    """``status`` is done, waiting, cancelled or failed (``error`` is for people); ``text`` what there is to keep."""

    status: str
    text: str = ""
    error: str = ""
    interrupts: list[dict[str, Any]] = field(default_factory=list)  # {"id", "value"}
    usage: dict[str, int] = field(default_factory=dict)  # input_tokens, output_tokens, total_tokens
    title: str = ""
    cancelled_by: str = ""  # the device


def answer_of(values: dict[str, Any]) -> AIMessage | None:
    messages = values.get("messages", [])
    return messages[-1] if messages and isinstance(messages[-1], AIMessage) else None


def done(values: dict[str, Any]) -> Outcome:
    answer = answer_of(values)
    title = str(values.get("title", ""))
    text = Limit().take(str(answer.text)) if answer else ""
    if not text.strip():
        return Outcome("failed", error="The model gave an empty answer. Send it again.", title=title)
    return Outcome("done", text=text, usage=_usage(answer), title=title)


def _usage(answer: AIMessage | None) -> dict[str, int]:
    used: dict[str, Any] = dict((answer.usage_metadata if answer else None) or {})
    return {name: int(used[name]) for name in ("input_tokens", "output_tokens", "total_tokens") if name in used}


def waiting(values: dict[str, Any], interrupts: Sequence[Interrupt]) -> Outcome:
    asked = [{"id": each.id, "value": each.value} for each in interrupts]
    title = str(values.get("title", ""))
    if len(orjson.dumps(asked)) > ANSWER_BYTES:  # what tells of it must fit a frame
        return Outcome("failed", error="What should be decided is too large to be shown. Ask for less.", title=title)
    return Outcome("waiting", interrupts=asked, title=title)


def ended(values: dict[str, Any]) -> Outcome:
    """The turn-end was written, but its finish was not: end it once more in the same way."""
    answer = answer_of(values)
    text = str(answer.text) if answer else ""
    return Outcome("failed", text=text, error="The answer was broken off before its end. Send it again.")
