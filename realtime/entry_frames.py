"""The `data` of each kind of entry in a conversation's log, and of each event in a user's feed."""

from typing import Any, Literal

from pydantic import Field

from .fields import Chain, ClientMadeId, Count, JsonValue, Time, Told, Uuid

MessageStatus = Literal["complete", "cancelled", "failed"]


class Head(Told):
    """A cursor as the server sends it: all three fields."""

    epoch: Count
    seq: Count
    chain: Chain


class MessageData(Told):
    message_id: Uuid
    role: Literal["user", "assistant", "system"]
    author: str = Field(description="a user's id, or `assistant`, or `system`")
    device_id: ClientMadeId | None = None
    content: str
    client_id: ClientMadeId | None = None
    turn_id: Uuid | None = Field(None, description="the turn this message starts, or the one that wrote it")
    status: MessageStatus
    respond: bool | None = Field(None, description="false in a fork: it was said without asking the assistant")
    answers: Uuid | None = Field(None, description="in a fork, where copies have no turns: the message it answers")


class TurnStarted(Told):
    turn_id: Uuid
    attempt: Count
    node: str


class Interrupt(Told):
    id: str
    value: JsonValue


class TurnWaiting(Told):
    turn_id: Uuid
    interrupts: list[Interrupt]


class TurnAnswered(Told):
    turn_id: Uuid
    interrupt_id: str
    value: JsonValue
    device_id: ClientMadeId | None = None


class Usage(Told):
    """What a turn has cost, as far as its models say."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    total_tokens: Count | None = None
    seconds: float | None = Field(None, description="that models were asked")
    model: str | None = Field(None, description="the one that gave the answer")


class TurnFinished(Told):
    turn_id: Uuid
    status: Literal["done", "cancelled", "failed"]
    message_id: Uuid | None = Field(None, description="of the final message, where there is one")
    error: str | None = Field(None, description="what went wrong, in words a person can act on")
    device_id: ClientMadeId | None = Field(None, description="the device that cancelled")
    usage: Usage | None = None


class MessageSuperseded(Told):
    from_seq: Count
    to_seq: Count
    by: str = Field(description="the message or turn that takes their place")


class Change(Told):
    """A change made by a person: who and where, if that is known."""

    user_id: str | None = None
    device_id: ClientMadeId | None = None


class Renamed(Change):
    title: str


class TopicSwitched(Change):
    topic: str


class Membership(Told):
    user_id: str
    username: str | None = None
    role: str | None = None


class MemberJoined(Membership):
    by: str | None = Field(None, description="the id of whoever invited; newcomers see all history")


class MemberLeft(Membership):
    by: str | None = Field(None, description="the id of whoever removed the member; absent: left")
    owner: str | None = Field(None, description="the id of whoever owns it from now on, where the owner left")


ENTRY_DATA: dict[str, type[Told]] = {
    "message": MessageData,
    "turn.started": TurnStarted,
    "turn.waiting": TurnWaiting,
    "turn.answered": TurnAnswered,
    "turn.finished": TurnFinished,
    "message.superseded": MessageSuperseded,
    "history.cleared": Change,
    "conversation.renamed": Renamed,
    "conversation.deleted": Change,
    "topic.switched": TopicSwitched,
    "member.joined": MemberJoined,
    "member.left": MemberLeft,
}


class Message(MessageData):
    """A message in a `snapshot` or `history`: the data of its entry, and where it stands."""

    seq: Count
    at: Time
    superseded_by: str | None = None


class Aside(Told):
    """An entry that stands between the messages of a `snapshot` or `history`, as its `event` said it."""

    seq: Count
    at: Time
    event: str
    data: dict[str, Any]


class AboutConversation(Told):
    conversation_id: Uuid


class ConversationCreated(AboutConversation):
    title: str | None = None
    topic: str | None = None
    head: Head | None = None


class ConversationUpdated(AboutConversation):
    head: Head
    title: str
    preview: str = Field(description="how the newest message begins")
    unread: Count
    read_seq: Count | None = Field(None, description="up to where was read when this was counted")


class ConversationRead(AboutConversation):
    seq: Count


class ConversationDraft(AboutConversation):
    content: str
    device_id: ClientMadeId | None = None


class ConversationRated(AboutConversation):
    message_id: Uuid
    rating: str = Field(description="up, down, or empty")


class DeviceRevoked(Told):
    device_id: ClientMadeId


FEED_DATA: dict[str, type[Told]] = {
    "conversation.created": ConversationCreated,
    "conversation.updated": ConversationUpdated,
    "conversation.archived": AboutConversation,
    "conversation.unarchived": AboutConversation,
    "conversation.pinned": AboutConversation,
    "conversation.unpinned": AboutConversation,
    "conversation.deleted": AboutConversation,
    "conversation.restored": AboutConversation,
    "conversation.read": ConversationRead,
    "conversation.draft": ConversationDraft,
    "conversation.rated": ConversationRated,
    "device.revoked": DeviceRevoked,
}
