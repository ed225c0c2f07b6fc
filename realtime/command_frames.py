"""The commands: for each the arguments it takes and the `data` of its `result`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from .codes import DEFAULT_PAGE_ITEMS, MAX_COMMENT_CHARACTERS, MAX_INSTRUCTIONS, MAX_PAGE_ITEMS, MAX_SHARE_DAYS
from .entry_frames import Head
from .fields import (
    ClientMadeId,
    Content,
    Count,
    DraftContent,
    JsonValue,
    Name,
    OptionalName,
    Time,
    Told,
    Uuid,
    Wire,
    check_no_nul,
    null_is,
)

_PageSize = Annotated[int, Field(ge=1, le=MAX_PAGE_ITEMS, description=f"1-{MAX_PAGE_ITEMS}")]
PageSize = Annotated[_PageSize, null_is(DEFAULT_PAGE_ITEMS, _PageSize)]
PageMark = Annotated[str, StringConstraints(min_length=1, max_length=100)]


ModelName = Annotated[str, StringConstraints(max_length=100)]
Instructions = Annotated[str, StringConstraints(max_length=MAX_INSTRUCTIONS)]
Comment = Annotated[str, StringConstraints(max_length=MAX_COMMENT_CHARACTERS), AfterValidator(check_no_nul)]


class NoArgs(Wire):
    pass


class NewConversation(Wire):
    title: OptionalName | None = None
    topic: OptionalName | None = None


class ListConversations(Wire):
    archived: Annotated[bool, null_is(False, bool)] = Field(False, description="true: the archived ones instead")
    before: PageMark | None = Field(
        None, description="`last_active` of the last item one has; better with `/` and its `conversation_id` behind"
    )
    limit: PageSize = DEFAULT_PAGE_ITEMS


class GetHistory(Wire):
    before_seq: Count | None = Field(None, description="only messages below this seq; absent: the newest")
    limit: PageSize = DEFAULT_PAGE_ITEMS


class SwitchTopic(Wire):
    topic: Name


class Rename(Wire):
    title: Name


class SetAssistant(Wire):
    """What is left out stays as it is; an empty text takes it away."""

    model: ModelName | None = Field(None, description="one of `models`; empty: the server's default. The owner's")
    instructions: Instructions | None = Field(None, description="for this conversation. The owner's")
    own_instructions: Instructions | None = Field(None, description="for all conversations of whoever asks")


class MarkRead(Wire):
    seq: Count


class SetDraft(Wire):
    content: DraftContent


class Cancel(Wire):
    turn_id: Uuid | None = Field(None, description="absent: the turn in flight")


class Answer(Wire):
    turn_id: Uuid
    interrupt_id: Name
    value: JsonValue


class Regenerate(Wire):
    message_id: Uuid


class Edit(Wire):
    message_id: Uuid
    content: Content


class Fork(Wire):
    seq: Count


class Username(Wire):
    username: Name


class Search(Wire):
    query: Name = Field(description="1-200 characters: words, all of which are in what is found, or begin there")
    before: PageMark | None = Field(None, description="the last item one has, as `<conversation_id>/<seq>`")
    limit: PageSize = DEFAULT_PAGE_ITEMS


class Export(Wire):
    format: Literal["json", "markdown"]


class Share(Wire):
    days: Annotated[int | None, Field(ge=1, le=MAX_SHARE_DAYS)] = Field(
        None, description="how long the link works; absent: until it is taken back"
    )


class Unshare(Wire):
    share_id: Uuid


class Rate(Wire):
    seq: Count = Field(description="of the answer")
    rating: Literal["up", "down", ""] = Field(description="empty: no opinion any more")
    comment: Annotated[Comment, null_is("", Comment)] = Field("", description="what was good or bad about it")


class RevokeDevice(Wire):
    device_id: ClientMadeId


class NoData(Told):
    pass


class ConversationMade(Told):
    conversation_id: Uuid


class ConversationItem(Told):
    """One line of a sidebar."""

    conversation_id: Uuid
    title: str
    preview: str
    unread: Count
    head: Head
    last_active: Time
    created: Time
    topic: str
    message_count: Count
    role: str
    archived: bool
    pinned: bool
    read_seq: Count
    draft: str


class ConversationList(Told):
    items: list[ConversationItem] = Field(description="the latest first")
    more: bool
    feed: Head = Field(description="the feed's cursor at which this list is true")


class DeviceItem(Told):
    """One device that may connect."""

    device_id: ClientMadeId
    name: str
    last_seen: Time | None = None
    created_at: Time | None = None
    current: bool = Field(description="whether it is the one that asks")
    connected: bool
    node: str | None = Field(None, description="the node it is connected to")


class DeviceList(Told):
    items: list[DeviceItem]


class AssistantWishes(Told):
    """What the assistant is asked to be, and by whom."""

    model: str = Field(description="the one that answers here")
    models: list[str] = Field(description="what may be chosen, the server's default first")
    instructions: str
    own_instructions: str


class SearchHit(Told):
    conversation_id: Uuid
    seq: Count
    snippet: str


class SearchPage(Told):
    items: list[SearchHit]
    more: bool


class TurnNamed(Told):
    turn_id: Uuid


class Edited(Told):
    turn_id: Uuid | None = Field(
        description="null: the message was said with `respond: false`, and so is the edited one"
    )


class ExportMade(Told):
    url: str = Field(description="a path on this server, fetched with the same credentials")


class ShareMade(Told):
    share_id: Uuid


class ShareItem(Told):
    """One link by which anybody may read the conversation up to `seq`."""

    share_id: Uuid
    url: str = Field(
        description="a path of this server; empty where it was made under a secret that is no longer known there"
    )
    created: Time
    until: Time | None = Field(None, description="when it ends by itself")
    seq: Count


class ShareList(Told):
    items: list[ShareItem] = Field(description="those that work, the newest first")


class Rated(Told):
    message_id: Uuid


class RatingItem(Told):
    message_id: Uuid
    rating: Literal["up", "down"]
    comment: str


class RatingList(Told):
    items: list[RatingItem] = Field(description="the newest 1,000 answers that the asker has rated")


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """``result`` is the model of `result.data`, None where a `history` frame answers instead.

    ``about_conversation``: it acts on the conversation named in the frame, else on the one named in `ready`.
    """

    args: type[Wire]
    result: type[Told] | None = NoData
    about_conversation: bool = True


COMMANDS: dict[str, CommandSpec] = {
    "new_conversation": CommandSpec(NewConversation, ConversationMade, about_conversation=False),
    "list_conversations": CommandSpec(ListConversations, ConversationList, about_conversation=False),
    "get_history": CommandSpec(GetHistory, None),
    "clear_history": CommandSpec(NoArgs),
    "archive": CommandSpec(NoArgs),
    "unarchive": CommandSpec(NoArgs),
    "pin": CommandSpec(NoArgs),
    "unpin": CommandSpec(NoArgs),
    "delete": CommandSpec(NoArgs),
    "restore": CommandSpec(NoArgs),
    "leave": CommandSpec(NoArgs),
    "typing": CommandSpec(NoArgs),
    "switch_topic": CommandSpec(SwitchTopic),
    "rename": CommandSpec(Rename),
    "get_assistant": CommandSpec(NoArgs, AssistantWishes),
    "set_assistant": CommandSpec(SetAssistant, AssistantWishes),
    "mark_read": CommandSpec(MarkRead),
    "set_draft": CommandSpec(SetDraft),
    "cancel": CommandSpec(Cancel, TurnNamed),
    "answer": CommandSpec(Answer),
    "regenerate": CommandSpec(Regenerate, TurnNamed),
    "edit": CommandSpec(Edit, Edited),
    "fork": CommandSpec(Fork, ConversationMade),
    "invite": CommandSpec(Username),
    "remove_member": CommandSpec(Username),
    "search": CommandSpec(Search, SearchPage, about_conversation=False),
    "export": CommandSpec(Export, ExportMade),
    "share": CommandSpec(Share, ShareMade),
    "list_shares": CommandSpec(NoArgs, ShareList),
    "unshare": CommandSpec(Unshare),
    "rate": CommandSpec(Rate, Rated),
    "list_ratings": CommandSpec(NoArgs, RatingList),
    "list_devices": CommandSpec(NoArgs, DeviceList, about_conversation=False),
    "revoke_device": CommandSpec(RevokeDevice, about_conversation=False),
}
