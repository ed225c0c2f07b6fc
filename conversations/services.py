"""What a person does with conversations: the verbs behind the commands. Each checks who asks, and may be repeated.

The log decides and is durable first; the database keeps what only people change (flags, drafts, read positions).
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson
from django.db.models import Q
from django.utils import timezone

from . import feed, keys, log, people, store, wishes
from .archive_base import count_unread
from .audit import journal
from .audit.entry import Action
from .events import encode_body, time_text
from .feed import teller
from .models import Conversation, Member
from .threads import in_database, mapped_errors

# Long enough for the devices of a new user that come at the same moment.
FIRST_SECONDS = 10


class Latest(NamedTuple):
    conversation_id: str
    recovered: bool
    last_active: str
    message_count: int


async def create_conversation(*, user_id: str, conversation_id: str = "", title: str = "", topic: str = "") -> str:
    """Make a conversation owned by the user, in the database and as a log; tell the user's feed. Repeatable by id.

    Raises TooLarge when the user has MAX_CONVERSATIONS_PER_USER.
    """
    conversation_id = conversation_id or str(uuid4())
    await people.check_room(user_id, beside=conversation_id)  # a repeat finds its own already there
    row, is_new = await Conversation.objects.aget_or_create(
        pk=conversation_id,
        defaults={"owner_id": user_id, "title": title, "topic": topic, "last_active_at": timezone.now()},
    )
    await Member.objects.aget_or_create(conversation=row, user_id=user_id)
    active_ms = int(row.last_active_at.timestamp() * 1000)
    meta = {"title": title, "topic": topic, "active_ms": active_ms}
    if is_new or not row.archived_seq:
        await log.create(conversation_id, meta=meta, members={user_id: "owner"})
        # Head 0 is told once, also where this is a repeat whose first reply was lost.
        data = {"conversation_id": conversation_id, "title": title, "topic": topic}
        await feed.push(user_id, "conversation.created", data, head=0)
    return conversation_id


async def reserve_id(key: str, *, ttl_seconds: int) -> str:
    """Return the new id that everybody gets who asks for this key within the time."""
    with store.mapped_errors():
        await store.client().set(key, str(uuid4()), ex=ttl_seconds, nx=True)
        reserved = await store.client().get(key)
    return str(reserved.decode())


@mapped_errors()
async def find_latest_conversation(*, user_id: str) -> Latest:
    """Return the conversation that was active last, or a new one. Raises Unavailable."""
    items = await _newest_items(user_id, archived=False, limit=1)
    if items:
        item = items[0]
        return Latest(item["conversation_id"], True, item["last_active"], item["message_count"])
    # Two devices that come at the same moment get the same new one.
    conversation_id = await reserve_id(keys.first_conversation(user_id), ttl_seconds=FIRST_SECONDS)
    await create_conversation(user_id=user_id, conversation_id=conversation_id)
    return Latest(conversation_id, False, time_text(timezone.now()), 0)


async def list_conversations(
    *, user_id: str, archived: bool = False, before: str = "", limit: int = 50
) -> dict[str, Any]:
    """Return {items, more, feed}, newest first; true at the feed cursor, which is read before anything else."""
    head = (await feed.read(user_id, None)).head
    items = await _newest_items(user_id, archived=archived, limit=limit + 1, before=before)
    fit = _fitting(items[:limit])
    return {"items": fit, "more": len(items) > len(fit), "feed": head.wire()}


def _fitting(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first items that fit a frame: drafts may be long."""
    size = 0
    for index, item in enumerate(items):
        size += len(orjson.dumps(item))
        if size > log.SNAPSHOT_BYTES and index:
            return items[:index]
    return items


async def _newest_items(user_id: str, *, archived: bool, limit: int, before: str = "") -> list[dict[str, Any]]:
    """Return a page by last activity: rows of the database, corrected by what the logs say now."""
    rows = Member.objects.filter(
        user_id=user_id, left_seq=None, archived=archived, conversation__status=Conversation.Status.ACTIVE
    ).select_related("conversation")
    page_filter = Q()
    if before:
        page_filter = await _before(user_id, before)
    order = ("-conversation__last_active_at", "conversation_id")
    found = {str(m.conversation_id): m async for m in rows.filter(page_filter).order_by(*order)[:limit]}
    if not before:
        # What the archive has not heard of yet is in the feed.
        recent = await feed.recent_conversations(user_id)
        missing = [each for each in recent if each not in found]
        found |= {str(m.conversation_id): m async for m in rows.filter(conversation_id__in=missing)}
    briefs = await log.briefs(list(found))
    # A row may still stand for a moment after its member was taken out of the log.
    found = {each: m for each, m in found.items() if each not in briefs or user_id in briefs[each].members}
    parked = [member for conversation_id, member in found.items() if conversation_id not in briefs]
    unread = await in_database(_unread_in_archive, parked) if parked else {}
    items = [_item(user_id, member, briefs.get(each), unread.get(each, 0)) for each, member in found.items()]
    items.sort(key=lambda item: item["conversation_id"])
    items.sort(key=lambda item: item["last_active"], reverse=True)
    return items[:limit]


def _unread_in_archive(members: list[Member]) -> dict[str, int]:
    return {str(each.conversation_id): count_unread(each.conversation, each.read_seq) for each in members}


async def _before(user_id: str, mark: str) -> Q:
    """Return what lies after the last item a client has: its `last_active`, its id, or both with a slash."""
    at, _, conversation_id = mark.rpartition("/") if "/" in mark else (mark, "", "")
    try:
        time = datetime.fromisoformat(at)
    except ValueError:
        row = (
            await Member.objects.filter(user_id=user_id, conversation_id=_uuid(mark))
            .select_related("conversation")
            .afirst()
        )
        if row is None:
            return Q(pk=None)
        time, conversation_id = row.conversation.last_active_at, mark
    # The wire has milliseconds, the row microseconds.
    start = time.replace(microsecond=time.microsecond // 1000 * 1000)
    older = Q(conversation__last_active_at__lt=start)
    if not conversation_id:
        return older
    same = Q(conversation__last_active_at__lt=start + timedelta(milliseconds=1))
    return older | (same & Q(conversation_id__gt=_uuid(conversation_id)))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


def _item(user_id: str, member: Member, brief: log.Brief | None, unread: int) -> dict[str, Any]:
    """Return what a sidebar shows; ``unread`` counts where the log is not in Redis."""
    row = member.conversation
    item: dict[str, Any] = {
        "conversation_id": str(row.pk),
        "title": brief.title if brief else row.title,
        "topic": brief.topic if brief else row.topic,
        "preview": brief.preview if brief else row.preview,
        "message_count": brief.message_count if brief else row.message_count,
        "role": member.role,
        "archived": member.archived,
        "pinned": member.pinned,
        "read_seq": member.read_seq,
        "draft": member.draft,
        "unread": unread,
        "head": {"epoch": row.epoch, "seq": row.archived_seq, "chain": row.archived_chain},
        "created": time_text(row.created_at),
        "last_active": time_text(row.last_active_at),
    }
    if brief:
        item["head"] = brief.head.wire()
        item["unread"] = brief.unread.get(user_id, 0)
        item["read_seq"] = brief.read.get(user_id, member.read_seq)
        if brief.active_ms:
            item["last_active"] = time_text(datetime.fromtimestamp(brief.active_ms / 1000, UTC))
    return item


async def rename_conversation(*, user_id: str, conversation_id: str, title: str, once: str) -> None:
    """Log `conversation.renamed`; only the owner may."""
    body = encode_body("conversation.renamed", {"title": title})
    await log.note(
        conversation_id,
        user_id,
        once=once,
        kind="conversation.renamed",
        body=body,
        role="owner",
        field="title",
        value=title,
    )
    teller.note(conversation_id)


async def switch_topic(*, user_id: str, conversation_id: str, topic: str, once: str) -> None:
    """Log `topic.switched`; only the owner may."""
    body = encode_body("topic.switched", {"topic": topic})
    await log.note(
        conversation_id,
        user_id,
        once=once,
        kind="topic.switched",
        body=body,
        role="owner",
        field="topic",
        value=topic,
    )
    teller.note(conversation_id)


class Wishes(NamedTuple):
    """What the assistant is asked: in this conversation, and by this person everywhere."""

    model: str
    instructions: str
    own_instructions: str


async def set_assistant(
    *,
    user_id: str,
    conversation_id: str,
    model: str | None = None,
    instructions: str | None = None,
    own_instructions: str | None = None,
) -> Wishes:
    """Change what is not None, and return what holds then. Of the conversation only the owner may change it.

    The log's copy is what turns read; the row brings it back where the log was lost. Raises Forbidden, Unavailable.
    """
    changes = {name: value for name, value in (("model", model), ("instructions", instructions)) if value is not None}
    held = await log.wishes(conversation_id, user_id, changes)
    if changes:
        await Conversation.objects.filter(pk=conversation_id).aupdate(**changes)
    if own_instructions is not None:
        await wishes.change_wishes(user_id=user_id, instructions=own_instructions)
    return Wishes(*held, await wishes.find_wishes(user_id))


async def clear_history(*, user_id: str, conversation_id: str, once: str) -> None:
    """Erase what was said so far, here and in the archive. Raises Conflict while a turn is in flight."""
    seq = await log.clear(conversation_id, user_id, once=once, body=encode_body("history.cleared", {}))
    if seq:
        await _record(Action.HISTORY_CLEARED, user_id, conversation_id)
    teller.note(conversation_id)


async def delete_conversation(
    *, user_id: str, conversation_id: str, device_id: str, once: str = "", only_alone: bool = False
) -> bool:
    """Hide the conversation; it is erased after 30 s unless it is restored. Returns whether that was done.

    ``only_alone``: not where there are other members. A repeat, with the same ``once``, leaves it restored.
    """
    members = await log.delete(conversation_id, user_id, device_id, once=once or uuid4().hex, only_alone=only_alone)
    if not members:
        return members is not None
    deleted = {"status": Conversation.Status.DELETED, "deleted_at": timezone.now()}
    await Conversation.objects.filter(pk=conversation_id).aupdate(**deleted)
    await _record(Action.CONVERSATION_DELETED, user_id, conversation_id)
    for member in members:
        await forget_reserved(member)
        await feed.push(member, "conversation.deleted", {"conversation_id": conversation_id})
    return True


async def _record(action: Action, user_id: str, conversation_id: str) -> None:
    """Record after the fact: the log is in Redis, the journal in the database."""
    await in_database(journal.record_many, [journal.Draft(action, user_id, f"conversation:{conversation_id}")])


async def forget_reserved(user_id: str) -> None:
    """A first conversation that one has deleted or left must not be the next first one again."""
    with store.mapped_errors():
        await store.client().delete(keys.first_conversation(user_id))


async def restore_conversation(*, user_id: str, conversation_id: str, once: str = "") -> None:
    """Undo a deletion of less than 30 s ago. Raises Forbidden when it is too late.

    A repeat, with the same ``once``, leaves it deleted if it was deleted again.
    """
    members = await log.restore(conversation_id, user_id, once=once or uuid4().hex)
    if not members:
        return
    active = {"status": Conversation.Status.ACTIVE, "deleted_at": None}
    await Conversation.objects.filter(pk=conversation_id).aupdate(**active)
    for member in members:
        await feed.push(member, "conversation.restored", {"conversation_id": conversation_id})


FLAGS = {
    "archive": ("archived", True, "conversation.archived"),
    "unarchive": ("archived", False, "conversation.unarchived"),
    "pin": ("pinned", True, "conversation.pinned"),
    "unpin": ("pinned", False, "conversation.unpinned"),
}


async def set_flag(*, user_id: str, conversation_id: str, command: str) -> None:
    """Archive, unarchive, pin or unpin: each member's own. The caller has checked membership."""
    field, value, kind = FLAGS[command]
    mine = Member.objects.filter(user_id=user_id, conversation_id=conversation_id)
    await mine.aupdate(**{field: value})
    await feed.push(user_id, kind, {"conversation_id": conversation_id})


async def mark_read(*, user_id: str, conversation_id: str, seq: int) -> None:
    """Note what this member has read, and tell the member's other devices."""
    read_seq, _ = await log.mark_read(conversation_id, user_id, seq)
    mine = Member.objects.filter(user_id=user_id, conversation_id=conversation_id, read_seq__lt=read_seq)
    if await mine.aupdate(read_seq=read_seq):
        await feed.push(user_id, "conversation.read", {"conversation_id": conversation_id, "seq": read_seq})


async def set_draft(*, user_id: str, conversation_id: str, content: str, device_id: str) -> None:
    """Keep what the member has begun to write. The caller has checked membership."""
    mine = Member.objects.filter(user_id=user_id, conversation_id=conversation_id)
    await mine.aupdate(draft=content, draft_device_id=device_id)
    data = {"conversation_id": conversation_id, "content": content, "device_id": device_id}
    await feed.push(user_id, "conversation.draft", data)
