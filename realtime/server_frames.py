"""The frames the server sends, one model each. It writes them by hand, for speed; these are the measure."""

from typing import Any, Literal

from pydantic import Field

from .entry_frames import AboutConversation, Aside, Head, Interrupt, Membership, Message
from .fields import Chain, ClientMadeId, Count, Time, Told, Uuid

ENTRIES = (
    "what a reader sees between these messages, oldest first, the newest 100 that fit: `history.cleared`, "
    "`topic.switched`, `member.joined`, `member.left`, `turn.answered`, and `turn.finished` where it failed or left "
    "no message"
)

SnapshotReason = Literal["new", "epoch", "diverged", "too_far", "cleared"]


class Person(Told):
    id: str
    username: str


class Ready(Told):
    """Who and where you are. The first frame after a good `auth`."""

    type: Literal["system"]
    event: Literal["ready"]
    session_id: Uuid = Field(description="the same as `conversation_id`")
    conversation_id: Uuid = Field(description="the user's latest conversation, or one newly made")
    recovered: bool = Field(description="whether it existed before")
    last_active: Time
    message_count: Count
    user: Person
    device_id: ClientMadeId
    node: str
    protocol: Literal[1]
    heartbeat_seconds: float | int
    server_time: Time
    limits: dict[str, int | float]
    feed: Head


class Notice(Told):
    """A word from the operators."""

    type: Literal["system"]
    event: Literal["notice"]
    level: str
    message: str
    id: Uuid | None = Field(None, description="of one that comes again with each connection, as long as it stands")


class Ack(Told):
    """The message is kept, and will be whatever breaks now."""

    type: Literal["ack"]
    client_id: ClientMadeId
    conversation_id: Uuid
    message_id: Uuid
    seq: Count
    duplicate: bool = Field(description="true: it was kept before, at this `seq`")


class Event(Told):
    """One entry of a conversation's log; `data` by kind, below."""

    type: Literal["event"]
    conversation_id: Uuid
    epoch: Count
    seq: Count
    chain: Chain
    event: str
    at: Time
    data: dict[str, Any]


class Delta(Told):
    """One piece of the answer being written."""

    type: Literal["delta"]
    conversation_id: Uuid
    turn_id: Uuid
    attempt: Count
    n: Count = Field(ge=1, description="pieces of an attempt count from 1")
    text: str


class Step(Told):
    """A tool or a named step begins or ends. A hint: nothing depends on it."""

    type: Literal["step"]
    conversation_id: Uuid
    turn_id: Uuid
    attempt: Count
    name: str
    status: str
    tool: str | None = Field(None, description="which tool it runs, where it is known")


class Snapshot(Told):
    """The state in place of a replay, and why."""

    type: Literal["snapshot"]
    conversation_id: Uuid
    head: Head
    title: str
    topic: str
    members: list[Membership]
    messages: list[Message] = Field(description="the newest 50 that fit, oldest first")
    entries: list[Aside] | None = Field(None, description=ENTRIES)
    more: bool
    reason: SnapshotReason


class TurnInFlight(Told):
    turn_id: Uuid
    attempt: Count
    status: str
    n: Count
    text: str = Field(description="pieces 1..n, joined")
    interrupts: list[Interrupt]


class Opened(Told):
    """The replay or snapshot is over: live from here."""

    type: Literal["opened"]
    conversation_id: Uuid
    head: Head
    turns: list[TurnInFlight]


class History(Told):
    """Older messages; answers `get_history`."""

    type: Literal["history"]
    id: ClientMadeId
    conversation_id: Uuid | None = None
    messages: list[Message]
    entries: list[Aside] | None = Field(None, description=ENTRIES)
    more: bool


class Result(Told):
    """The command was done; `data` by command, above."""

    type: Literal["result"]
    id: ClientMadeId
    command: str
    data: dict[str, Any]


class Feed(Told):
    """One entry of the user's own log, for sidebars; `data` by event, below."""

    type: Literal["feed"]
    epoch: Count
    seq: Count
    chain: Chain
    event: str
    data: dict[str, Any]


class FeedReset(Told):
    """The feed cursor was of no use: list again."""

    type: Literal["feed_reset"]
    head: Head


class DevicePresent(Told):
    device_id: ClientMadeId
    name: str
    node: str


class Typing(AboutConversation):
    user_id: str
    device_id: ClientMadeId


class Presence(Told):
    """Which devices of a user are here, or who is typing: `devices` or `typing`."""

    type: Literal["presence"]
    user_id: str | None = None
    devices: list[DevicePresent] | None = None
    typing: Typing | None = None


class HeartbeatReply(Told):
    """The heads as the server knows them, to compare with one's own."""

    type: Literal["heartbeat"]
    server_time: Time
    heads: dict[Uuid, Head]
    feed: Head | None = None


class Error(Told):
    """Something was refused or failed; carries the id of what it answers."""

    type: Literal["error"]
    code: str
    message: str
    retryable: bool
    retry_after: float | int | None = Field(None, ge=0, description="seconds")
    data: dict[str, Any] | None = None
    conversation_id: Uuid | None = None
    client_id: ClientMadeId | None = None
    id: ClientMadeId | None = None


class Bye(Told):
    """The socket is about to be closed, with this code."""

    type: Literal["bye"]
    code: int
    reason: str
    retry_after: float | int | None = Field(ge=0, description="seconds; null: none")


# By `type`; a notice shares the type `system` with `Ready`.
SERVER_FRAMES: dict[str, type[Told]] = {
    "system": Ready,
    "notice": Notice,
    "ack": Ack,
    "event": Event,
    "delta": Delta,
    "step": Step,
    "snapshot": Snapshot,
    "opened": Opened,
    "history": History,
    "result": Result,
    "feed": Feed,
    "feed_reset": FeedReset,
    "presence": Presence,
    "heartbeat": HeartbeatReply,
    "error": Error,
    "bye": Bye,
}
