"""Tools that need a person: how one is marked, and how a graph's node asks before it is used."""

from langchain_core.messages import ToolCall
from langchain_core.tools import BaseTool
from langgraph.types import interrupt

MARK = "needs_person"


def needs_person(tool: BaseTool) -> BaseTool:
    """Mark a tool, and return it: whoever runs it asks a person first."""
    tool.metadata = {**(tool.metadata or {}), MARK: True}
    return tool


def is_marked(tool: BaseTool) -> bool:
    return bool((tool.metadata or {}).get(MARK))


def ask_person(call: ToolCall) -> bool:
    """Return whether a person approves of this call; nothing but ``true`` does.

    Raises GraphInterrupt until there is an answer. Then the node runs again from its beginning: ask before any effect.
    """
    return interrupt({"tool": call["name"], "args": call["args"]}) is True
