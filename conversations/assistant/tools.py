"""The tools that a model may call. Each says what it does, what it takes, and whether a person must approve it first.

A tool may run twice where its node dies before its result is stored, so each of these may be repeated. What a tool
raises is told to the model, which goes on; only what the turn itself stands on ends the turn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from langgraph.store.base import BaseStore

from conversations.errors import Fenced, StartRefused, Unavailable
from conversations.lease import hold_lease
from conversations.search import search_messages

from . import memory
from .scripted import APPROVAL_TOOL
from .turn_context import TurnContext

TOOL_SECONDS = 30.0
RESULT_CHARACTERS = 16_000
MOST_FOUND = 8

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Scope:
    """For which turn a tool runs. ``is_alone``: so far, nobody but the one who asks will know what it says."""

    turn: TurnContext
    memory: BaseStore | None
    is_alone: bool = False


Run = Callable[[dict[str, Any], Scope], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Tool:
    """``takes``: argument -> what it is, all of them texts; ``optional`` names those that may be left out.

    ``is_private``: it tells what is one person's own, so it is of no use where others read the answer.
    ``is_wider_alone``: it says more to a person who is alone, and that is their own.
    """

    name: str
    does: str
    run: Run
    takes: dict[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    needs_approval: bool = False
    is_private: bool = False
    is_wider_alone: bool = False

    @property
    def is_personal(self) -> bool:
        """Whether it matters who else is here."""
        return self.is_private or self.is_wider_alone

    def schema(self) -> dict[str, Any]:
        """Return the tool as providers want it described."""
        arguments = {name: {"type": "string", "description": text} for name, text in self.takes.items()}
        required = [name for name in self.takes if name not in self.optional]
        parameters = {"type": "object", "properties": arguments, "required": required}
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.does, "parameters": parameters},
        }


async def _current_time(args: dict[str, Any], scope: Scope) -> str:
    zone = ZoneInfo(str(args.get("zone") or "UTC"))
    return datetime.now(UTC).astimezone(zone).strftime("%A, %Y-%m-%d %H:%M %Z")


async def _search(args: dict[str, Any], scope: Scope) -> str:
    turn = scope.turn
    # Others who read the answer may not read this person's other conversations.
    where = "" if scope.is_alone else turn.conversation_id
    found = await search_messages(
        user_id=turn.user_id, query=str(args["query"]), conversation_id=where, limit=MOST_FOUND + 1
    )
    # The very message that asks has the words, too.
    asking = (turn.conversation_id, turn.seq)
    told = [hit["snippet"] for hit in found["items"] if (hit["conversation_id"], hit["seq"]) != asking]
    return "\n".join(f"- {snippet}" for snippet in told[:MOST_FOUND]) or "Nothing was found."


async def _remember(args: dict[str, Any], scope: Scope) -> str:
    return await memory.remember(_memory(scope), scope.turn.user_id, str(args["fact"]))


async def _recall(args: dict[str, Any], scope: Scope) -> str:
    return await memory.recall(_memory(scope), scope.turn.user_id, str(args.get("about") or ""))


async def _forget(args: dict[str, Any], scope: Scope) -> str:
    return await memory.forget(_memory(scope), scope.turn.user_id, str(args["about"]))


async def _approve(args: dict[str, Any], scope: Scope) -> str:
    return "approved"


def _memory(scope: Scope) -> BaseStore:
    if scope.memory is None:
        raise ValueError("this graph was compiled without a store")
    return scope.memory


REGISTRY = {
    tool.name: tool
    for tool in (
        Tool(
            "current_time",
            "Tell the date and time now.",
            _current_time,
            {"zone": "a time zone such as Europe/Berlin; UTC where it is left out"},
            optional=frozenset({"zone"}),
        ),
        Tool(
            "search_my_conversations",
            "Search what this person and you have said, in all of this person's conversations.",
            _search,
            {"query": "words that must all occur, in any form"},
            is_wider_alone=True,
        ),
        Tool(
            "remember",
            "Remember a fact about this person for later conversations.",
            _remember,
            {"fact": "one sentence"},
            is_private=True,
        ),
        Tool(
            "recall",
            "Look up what you were asked to remember about this person.",
            _recall,
            {"about": "words; left out: everything"},
            optional=frozenset({"about"}),
            is_private=True,
        ),
        Tool(
            "forget",
            "Forget what you were asked to remember. The person is asked first.",
            _forget,
            {"about": "words that occur in it"},
            needs_approval=True,
            is_private=True,
        ),
        Tool(
            APPROVAL_TOOL,
            "Ask the person for a clear yes or no before something that cannot be undone.",
            _approve,
            {"subject": "what is to be approved, in one sentence"},
            needs_approval=True,
        ),
    )
}


# What the scripted model calls, whatever is offered to others.
ALWAYS = (APPROVAL_TOOL,)


def find_offered() -> list[Tool]:
    """Return the tools that CHAT_TOOLS names. Raises StartRefused for one that there is not."""
    if settings.CHAT_TOOLS == ["all"]:
        return list(REGISTRY.values())
    unknown = [name for name in settings.CHAT_TOOLS if name not in REGISTRY]
    if unknown:
        raise StartRefused(f"CHAT_TOOLS names {unknown[0]!r}; there are all, {', '.join(REGISTRY)}")
    return [REGISTRY[name] for name in settings.CHAT_TOOLS]


async def run_tool(tool: Tool, args: dict[str, Any], scope: Scope) -> str:
    """Return what the tool says, or in words why it failed. Cancelled: the tool is, too. Raises Fenced, Unavailable."""
    if tool.is_private and not scope.is_alone:
        return "This can only be used where the person is alone with you."
    missing = [name for name in tool.takes if name not in tool.optional and not args.get(name)]
    if missing:
        return f"The tool needs {missing[0]!r}: {tool.takes[missing[0]]}."
    try:
        await hold_lease()
        async with asyncio.timeout(TOOL_SECONDS):
            return (await tool.run(args, scope))[:RESULT_CHARACTERS]
    except (Fenced, Unavailable):
        raise
    except TimeoutError:
        return f"The tool gave no answer within {TOOL_SECONDS:.0f} s."
    except Exception as error:
        # Never its text: it may hold what was said, and the model repeats what it is told.
        logger.warning(
            "tool.failed", tool=tool.name, kind=type(error).__name__, conversation_id=scope.turn.conversation_id
        )
        return "The tool failed. Go on without it."
