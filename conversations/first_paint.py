"""What the page shows before its socket is open: the archive's copy of the list and of one conversation.

Cheap queries of the database only. The cursor that goes with the messages lets the socket bring just the rest.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.utils.safestring import mark_safe
from django.utils.translation import gettext

from .archive_base import superseded_ranges
from .asides import archived_asides, fitting
from .markdown import render_markdown
from .models import Conversation, Member, Message, User
from .sharing import Transcript
from .superseding import mark
from .words import WORDS

LIST_ITEMS = 50
MESSAGES = 50
# So many characters of the newest answers are painted as Markdown: a window full. It costs 2 ms for each 1,000; the
# page's own script does the rest, above what is seen first.
PAINTED_CHARACTERS = 8_000
# Longer answers are shown as plain text to those who have only a link.
LONGEST_SHARED = 30_000


def list_conversations(user: User) -> list[dict[str, Any]]:
    """Return the user's visible conversations, pinned ones first, then the latest."""
    seats = Member.objects.filter(
        user=user, archived=False, left_seq=None, conversation__status=Conversation.Status.ACTIVE
    )
    latest = seats.select_related("conversation").order_by("-pinned", "-conversation__last_active_at")
    return [_item(seat) for seat in latest[:LIST_ITEMS]]


def _item(seat: Member) -> dict[str, Any]:
    conversation = seat.conversation
    return {
        "conversation_id": str(conversation.id),
        "title": conversation.title,
        "preview": conversation.preview,
        "pinned": seat.pinned,
        "role": seat.role,
        "unread": 0,
        "read_seq": seat.read_seq,
    }


def show_conversation(conversation: Conversation) -> dict[str, Any]:
    """Return the newest archived messages, oldest first, with the cursor that they are true at (or None).

    What was archived after the row was read is left to the socket, so that messages and cursor agree.
    """
    archived = Message.objects.filter(
        conversation=conversation, seq__gt=conversation.cleared_seq, seq__lte=conversation.archived_seq
    )
    newest = list(archived.order_by("-seq")[: MESSAGES + 1])
    messages, more = _in_order(newest[:MESSAGES]), len(newest) > MESSAGES
    ranges = [each for each in superseded_ranges(conversation) if each.at <= conversation.archived_seq]
    mark(messages, ranges)
    from_seq = messages[0]["seq"] if more else conversation.cleared_seq
    entries = archived_asides(str(conversation.pk), from_seq, conversation.archived_seq + 1)
    return {
        "conversation_id": str(conversation.id),
        "title": conversation.title,
        "topic": conversation.topic,
        "members": _members(conversation),
        "cursor": _cursor(conversation),
        "messages": messages,
        "entries": fitting(entries, ranges),
        "more": more,
    }


def paint(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is seen of a conversation, in order: messages, and the ``words`` of what stands between them.

    The newest answers have their ``html``, as many as fit a window.
    """
    painted, room = [_notice(entry) for entry in shown["entries"]], PAINTED_CHARACTERS
    for message in reversed(shown["messages"]):
        if "superseded_by" in message:
            continue
        if message["role"] == "assistant" and 0 < len(message["content"]) <= room:
            room -= len(message["content"])
            message = {**message, "html": mark_safe(render_markdown(message["content"]))}  # sanitised there
        painted.append(message)
    return sorted(painted, key=lambda line: line["seq"])


def _notice(entry: dict[str, Any]) -> dict[str, Any]:
    """Say an entry as lines.js does."""
    kind, data = entry["event"], entry["data"]
    if kind == "turn.finished":
        kind = f"turn.{data['status']}"
    key = kind
    if kind == "turn.answered":
        key = "turn.approved" if data["value"] is True else "turn.declined"
    elif kind == "turn.failed" and not data.get("error"):
        key = "turn.failed_plain"
    error = data.get("error", "")
    values = {"username": data.get("user_id"), **data, "error": error and gettext(error)}
    # At once, so that a name or topic in braces stays what it is.
    words = re.sub(r"\{(\w+)\}", lambda name: str(values.get(name[1], "")), str(WORDS[key]))
    return {"seq": entry["seq"], "kind": kind, "words": words}


def paint_shared(transcript: Transcript) -> list[dict[str, Any]]:
    """Return the messages of a shared transcript, each with the ``name`` of who said it."""
    shown = []
    for message in transcript.messages:
        about = {**_message(message), "at": message.at, "name": transcript.names.get(message.author, "")}
        if message.role == Message.Role.ASSISTANT and len(message.content) <= LONGEST_SHARED:
            about["html"] = mark_safe(render_markdown(message.content))  # sanitised there
        shown.append(about)
    return shown


def _members(conversation: Conversation) -> list[dict[str, Any]]:
    seats = Member.objects.filter(conversation=conversation, left_seq=None).order_by("joined_seq", "pk")
    found = seats.values_list("user_id", "user__username", "role")
    return [{"user_id": str(user_id), "username": username, "role": role} for user_id, username, role in found]


def _cursor(conversation: Conversation) -> dict[str, Any] | None:
    if not conversation.archived_seq:
        return None
    return {
        "epoch": conversation.epoch,
        "seq": conversation.archived_seq,
        "chain": conversation.archived_chain,
    }


def _in_order(newest_first: Iterable[Message]) -> list[dict[str, Any]]:
    return [_message(message) for message in newest_first][::-1]


def _message(message: Message) -> dict[str, Any]:
    return {
        "seq": message.seq,
        "at": _wire_time(message.at),
        "status": message.status,
        "message_id": str(message.message_id),
        "role": message.role,
        "author": message.author,
        "content": message.content,
        **({"turn_id": str(message.turn_id)} if message.turn_id else {}),
    }


def _wire_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
