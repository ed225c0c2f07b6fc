"""The frames a client sends, one model each. Null counts as absent where a field is optional."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from .fields import ClientMadeId, Content, Count, DeviceName, Secret, Uuid, Wire, null_is


class Cursor(Wire):
    """A position in a log: whoever has this cursor has seen everything up to `seq`, and the same bytes.

    `{"seq": 0}` alone is the start; any other position needs all three fields.
    """

    epoch: Count | None = Field(None, description="needed unless `seq` is 0")
    seq: Count
    # Not held to the form of our chains: one we never made is answered like any other that differs.
    chain: Annotated[str, StringConstraints(max_length=64)] | None = Field(None, description="needed unless `seq` is 0")

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.seq and (self.epoch is None or self.chain is None):
            raise PydanticCustomError("cursor", "needs epoch, seq and chain, or seq 0 alone")
        return self


class Auth(Wire):
    """Says who connects, on which device, and what it has. The first frame of a socket, once."""

    type: Literal["auth"]
    device_id: ClientMadeId
    device_name: DeviceName | None = None
    token: Secret | None = Field(None, description="where neither a cookie nor a header shows who it is")
    open: dict[Uuid, Cursor | None] | None = Field(
        None, description="conversations to open; if absent, the one named in `ready`, with a snapshot"
    )
    feed: Cursor | None = Field(None, description="how far the user's feed is known")

    @property
    def opens_latest(self) -> bool:
        """Whether the field `open` is absent, so that the conversation named in `ready` is opened."""
        return "open" not in self.model_fields_set


class Text(Wire):
    """Says something in a conversation and, unless told otherwise, asks the assistant."""

    type: Literal["text"]
    client_id: ClientMadeId = Field(description="one for each message: the key under which it is kept once")
    content: Content
    conversation_id: Uuid | None = Field(None, description="if absent, the one named in `ready`")
    if_seq: Count | None = Field(None, description="the newest `seq` the user has seen: if that is stale, refuse")
    retry: Annotated[bool, null_is(False, bool)] = Field(
        False, description="true when this message was sent before; then name the conversation"
    )
    respond: Annotated[bool, null_is(True, bool)] = Field(True, description="false: only say it, start no turn")


class Open(Wire):
    """Opens a conversation: what is missing since the cursor, then everything live."""

    type: Literal["open"]
    conversation_id: Uuid
    cursor: Cursor | None = Field(None, description='absent or null: a snapshot; `{"seq": 0}`: from the start')


class Close(Wire):
    """Stops the live entries of a conversation; the feed still tells of it."""

    type: Literal["close"]
    conversation_id: Uuid


class Heartbeat(Wire):
    """Shows that the client lives and what it has, so that anything lost on the way is sent again."""

    type: Literal["heartbeat"]
    frames: Count | None = Field(None, description="WebSocket frames received on this socket so far")
    cursors: dict[Uuid, Cursor] | None = Field(None, description="of open conversations")
    feed: Cursor | None = None


class Received(Wire):
    """Confirms frames, so that the server goes on sending."""

    type: Literal["received"]
    frames: Count = Field(description="WebSocket frames received on this socket so far")


class Command(Wire):
    """Anything else a client can ask for, by name; the commands and their `args` stand below."""

    type: Literal["command"]
    id: ClientMadeId = Field(description="for 24 h a repeat gets the first result and changes nothing")
    command: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    conversation_id: Uuid | None = Field(None, description="for commands about a conversation")
    args: dict[str, Any] | None = None


ClientFrame = Auth | Text | Open | Close | Heartbeat | Received | Command
CLIENT_FRAMES: dict[str, type[ClientFrame]] = {
    "auth": Auth,
    "text": Text,
    "open": Open,
    "close": Close,
    "heartbeat": Heartbeat,
    "received": Received,
    "command": Command,
}
