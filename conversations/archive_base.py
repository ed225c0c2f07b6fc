"""What the archive knows of a log: enough to put it in place again. Synchronous; runs in a thread."""

from dataclasses import dataclass
from typing import Any

import orjson
from django.db.models import QuerySet

from .events import Position
from .gist import title_of
from .models import Conversation, Event, Member, Message, Turn
from .superseding import Range

UNFINISHED = (Turn.Status.QUEUED, Turn.Status.RUNNING, Turn.Status.WAITING)
NEWEST_MESSAGES = 200
MOST_UNREAD = 1000
# A lost log may have lost attempts too. Each lasts for a lease and the archive is seconds behind, so this many
# more than it knows is a higher one for sure, and no writer from before can pass the fence.
LOST_ATTEMPTS = 10


@dataclass
class QueuedTurn:
    turn_id: str
    seq: int
    user_id: str
    attempts: int


@dataclass
class Base:
    """``newest`` is (seq, source) of the newest messages, newest first; ``turns`` are unfinished, by id."""

    row: Conversation
    position: Position
    members: dict[str, str]
    joined: dict[str, int]
    read: dict[str, int]
    unread: dict[str, int]
    newest: list[tuple[int, str]]
    first_words: str
    turns: dict[str, QueuedTurn]
    superseded: list[Range]


def load_base(conversation_id: str) -> Base | None:
    """Return what the archive holds of a conversation, None where there is none or it is deleted."""
    row = Conversation.objects.filter(pk=conversation_id, status=Conversation.Status.ACTIVE).first()
    if row is None:
        return None
    memberships = list(Member.objects.filter(conversation=row, left_seq=None))
    said = Message.objects.filter(conversation=row, seq__gt=row.cleared_seq).order_by("-seq")
    return Base(
        row,
        Position(row.epoch, row.archived_seq, row.archived_chain),
        members={str(each.user_id): each.role for each in memberships},
        joined={str(each.user_id): each.joined_seq for each in memberships if each.joined_seq},
        read={str(each.user_id): each.read_seq for each in memberships},
        unread={str(each.user_id): count_unread(row, each.read_seq) for each in memberships},
        newest=[
            (seq, source_of(role, author, device_id))
            for seq, role, author, device_id in said.values_list("seq", "role", "author", "device_id")[:NEWEST_MESSAGES]
        ],
        first_words=_first_words(said),
        turns=_unfinished_turns(row),
        superseded=superseded_ranges(row),
    )


def message_seqs(row: Conversation, from_seq: int, to_seq: int) -> set[int]:
    said = Message.objects.filter(conversation=row, seq__gte=from_seq, seq__lte=to_seq)
    return set(said.values_list("seq", flat=True))


def count_unread(row: Conversation, read_seq: int) -> int:
    """Return how many archived messages a member has not read, up to 1,000."""
    after = max(row.cleared_seq, read_seq)
    if row.archived_seq <= after:
        return 0
    return Message.objects.filter(conversation=row, seq__gt=after)[:MOST_UNREAD].count()


def superseded_ranges(row: Conversation) -> list[Range]:
    """Return what gave way since the last clearing, and for which message's sake, in order."""
    entries = Event.objects.filter(conversation=row, kind="message.superseded", seq__gt=row.cleared_seq).order_by("seq")
    found = [(seq, orjson.loads(body)["data"]) for seq, body in entries.values_list("seq", "body")]
    asked = dict(Turn.objects.filter(pk__in=[data["by"] for _, data in found]).values_list("pk", "seq"))
    seqs = {str(turn_id): seq for turn_id, seq in asked.items()}
    return [Range(data["from_seq"], data["to_seq"], seq, data["by"], seqs.get(data["by"], 0)) for seq, data in found]


def _first_words(said: QuerySet[Message]) -> str:
    """Return the title that the first message gave, by which a clearing knows whether a person gave another."""
    content = said.order_by("seq").values_list("content", flat=True).first()
    return title_of(content) if content else ""


def source_of(role: str, author: str, device_id: str) -> str:
    """Name who wrote a message as the append script does, for `if_seq`."""
    return f"{author}:{device_id}" if role == Message.Role.USER else author


def _unfinished_turns(row: Conversation) -> dict[str, QueuedTurn]:
    turns = Turn.objects.filter(conversation=row, status__in=UNFINISHED, seq__gt=row.cleared_seq).order_by("seq")
    asked = Message.objects.filter(conversation=row, role="user", seq__in=[turn.seq for turn in turns])
    authors = dict(asked.values_list("seq", "author"))
    return {
        str(turn.pk): QueuedTurn(str(turn.pk), turn.seq, authors[turn.seq], turn.attempts)
        for turn in turns
        if turn.seq in authors
    }


def take_epoch(row: Conversation, above: int = 0) -> int | None:
    """Reserve the next epoch in the database, before Redis shows it, so that no crash can let it be used twice.

    Returns None where somebody else has changed it.
    """
    epoch = max(row.epoch, above) + 1
    won = Conversation.objects.filter(pk=row.pk, epoch=row.epoch).update(epoch=epoch)
    return epoch if won else None


def newest_facts(newest: list[tuple[int, str]]) -> dict[str, Any]:
    """Return the meta fields by which `if_seq` knows what others have said."""
    if not newest:
        return {}
    seq, source = newest[0]
    facts: dict[str, Any] = {"newest": seq, "newest_source": source}
    others = [number for number, other in newest if other != source]
    return facts | ({"newest_other": others[0]} if others else {})


def meta_of(base: Base) -> dict[str, Any]:
    row = base.row
    facts = {"title": row.title, "topic": row.topic, "preview": row.preview, "count": row.message_count}
    facts["first_words"] = base.first_words
    facts["active_ms"] = int(row.last_active_at.timestamp() * 1000)
    facts |= {name: value for name in ("language", "model", "instructions") if (value := getattr(row, name))}
    return facts | newest_facts(base.newest)


def reads_of(base: Base) -> dict[str, int]:
    facts = {"r": base.read, "u": base.unread, "j": base.joined}
    return {f"{letter}{user}": number for letter, of in facts.items() for user, number in of.items()}
