"""What is one person's own within a conversation's state, and whether they are alone with the assistant at this moment.

Somebody may be invited at any time, also while a turn runs: who has been here when it began says nothing later on. So
whoever is about to show a model what is a person's own, or to fetch it, asks anew.
"""

from typing import Any

from langchain_core.messages import BaseMessage, ToolMessage

from conversations import keys as conversation_keys

from .fence import read
from .turn_context import TurnContext

OWNER = "private_to"
HIDDEN = "This was told to one person alone."


async def is_alone(turn: TurnContext) -> bool:
    """Return whether nobody else is a member now of the conversation that this turn is of. Raises Unavailable."""
    members = await read("HKEYS", conversation_keys.members(turn.conversation_id))
    return {member.decode() for member in members} <= {turn.user_id}


def owned_by(user_id: str) -> dict[str, Any]:
    """Return the mark of a tool's result that only this person may know of."""
    return {OWNER: user_id}


def shown_to(user_id: str, messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return the messages as this person alone may see them; as anybody may, if the user is empty."""
    return [_shown_to(user_id, each) if isinstance(each, ToolMessage) else each for each in messages]


def _shown_to(user_id: str, result: ToolMessage) -> ToolMessage:
    if result.additional_kwargs.get(OWNER, user_id) == user_id:
        return result
    # A call needs its answer: providers refuse a conversation without.
    return ToolMessage(HIDDEN, tool_call_id=result.tool_call_id, id=result.id)
