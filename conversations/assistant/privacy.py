"""What is one person's own within a conversation's state, and whether they are alone with the assistant at this moment.

Somebody may be invited at any time, also while a turn runs: who has been here when it began says nothing later on. So
whoever is about to show a model what is a person's own, or to fetch it, asks anew.
"""

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

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
    """Return the messages as this person alone may see them; as anybody may, if the user is empty.

    What a hidden result was asked for with is hidden, too: a model may repeat there what another tool has told it.
    """
    results = [each for each in messages if isinstance(each, ToolMessage)]
    hidden = {each.tool_call_id for each in results if each.additional_kwargs.get(OWNER, user_id) != user_id}
    return [_without(hidden, each) for each in messages]


def _without(hidden: set[str], message: BaseMessage) -> BaseMessage:
    if isinstance(message, ToolMessage) and message.tool_call_id in hidden:
        # A call needs its answer: providers refuse a conversation without.
        return ToolMessage(HIDDEN, tool_call_id=message.tool_call_id, id=message.id)
    if isinstance(message, AIMessage) and any(call["id"] in hidden for call in message.tool_calls):
        calls = [ToolCall(**{**call, "args": {}}) if call["id"] in hidden else call for call in message.tool_calls]
        # Of its content the text alone: some providers say the calls there once more.
        return AIMessage(str(message.text), tool_calls=calls, id=message.id)
    return message
