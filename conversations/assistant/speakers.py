"""Who said a message, and whether to the assistant: kept beside its text, and shown to a model in front of it.

A message of somebody who is alone with the assistant carries neither.
"""

from langchain_core.messages import BaseMessage, HumanMessage

OVERHEARD = "overheard"
INSTRUCTION = (
    "Several people take part. Each message begins with the name of who said it. One marked (to the others) was not"
    " said to you: know it, but answer only the newest message that was."
)


def spoken(text: str, *, message_id: str, name: str = "", overheard: bool = False) -> HumanMessage:
    """Return a person's message for the graph's state."""
    marks = {OVERHEARD: True} if overheard else {}
    return HumanMessage(text, id=message_id, name=name or None, additional_kwargs=marks)


def shown(message: BaseMessage) -> BaseMessage:
    """Return the message as a model reads it, with its author in front."""
    if not isinstance(message, HumanMessage) or not message.name:
        return message
    aside = " (to the others)" if message.additional_kwargs.get(OVERHEARD) else ""
    return HumanMessage(f"{message.name}{aside}: {message.text}", id=message.id)


def has_several(messages: list[BaseMessage]) -> bool:
    return any(isinstance(message, HumanMessage) and message.name for message in messages)
