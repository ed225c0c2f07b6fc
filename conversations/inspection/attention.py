"""Turns that need somebody: those that wait for a person, as Redis has them, and those that have failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef
from redis import Redis

from .. import keys, store
from ..models import Conversation, Message, Turn
from .live import moment

PAGE_TURNS = 25


@dataclass
class WaitingTurn:
    conversation_id: str
    turn_id: str
    seq: int
    user_id: str
    attempt: int
    queued_at: datetime | None
    questions: int


class WaitingPage(NamedTuple):
    turns: list[WaitingTurn]
    total: int
    page: int
    pages: int


class FailedPage(NamedTuple):
    """``older``: the mark to go on from, empty at the end."""

    turns: Sequence[Turn]
    older: str


def read_waiting(page: int = 1) -> WaitingPage:
    """Return a page of the turns that wait for a person: a count and a range of each partition. Raises Unavailable."""
    with store.mapped_errors(), store.connect_sync() as redis:
        with redis.pipeline(transaction=False) as pipe:
            for tag in keys.TAGS:
                pipe.zcount(keys.due(tag), "+inf", "+inf")
            counts = pipe.execute()
        count = sum(counts)
        pages = max(1, -(-count // PAGE_TURNS))
        page = min(max(1, page), pages)
        ids = _range(redis, counts, PAGE_TURNS * (page - 1))
        with redis.pipeline(transaction=False) as pipe:
            for each in ids:
                pipe.lindex(keys.turns(each), 0)
            heads = [head.decode() if head else "" for head in pipe.execute()]
            for each, head in zip(ids, heads, strict=True):
                fields = ("seq", "user", "attempt", "queued_ms", "interrupts")
                pipe.hmget(keys.turn(each, head), fields)
            facts = pipe.execute()
    turns = [_waiting(*each) for each in zip(ids, heads, facts, strict=True) if each[1] and each[2][0]]
    return WaitingPage(turns, count, page, pages)


def _range(redis: Redis, counts: list[int], start: int) -> list[str]:
    """Return the ids of one page, partition after partition."""
    wanted: list[tuple[str, int, int]] = []
    room = PAGE_TURNS
    for tag, count in zip(keys.TAGS, counts, strict=True):
        if start >= count:
            start -= count
            continue
        taken = min(room, count - start)
        if taken > 0:
            wanted.append((tag, start, taken))
        room, start = room - taken, 0
    with redis.pipeline(transaction=False) as pipe:
        for tag, first, most in wanted:
            pipe.zrangebyscore(keys.due(tag), "+inf", "+inf", start=first, num=most)
        return [each.decode() for found in pipe.execute() for each in found]


def _waiting(conversation_id: str, turn_id: str, facts: list[bytes | None]) -> WaitingTurn:
    seq, user, attempt, queued_ms, interrupts = (fact.decode() if fact else "" for fact in facts)
    return WaitingTurn(
        conversation_id, turn_id, int(seq), user, int(attempt or 0), moment(queued_ms), interrupts.count('"id"')
    )


def read_failed(before: str = "") -> FailedPage:
    """Return a page of failed turns, the latest first, by their own index. ``before``: a mark of the page before.

    Each has ``is_past``: somebody has said something since, so it cannot be tried again.
    """
    asked = Message.objects.filter(
        conversation_id=OuterRef("conversation_id"), role=Message.Role.USER, seq__gt=OuterRef("seq")
    )
    rows = Turn.objects.filter(status=Turn.Status.FAILED).annotate(is_past=Exists(asked))
    if mark := _mark(before):
        at, turn_id = mark
        rows = rows.filter(queued_at__lte=at).exclude(queued_at=at, pk__gte=turn_id)
    turns = list(rows.order_by("-queued_at", "-pk").select_related("conversation__owner")[: PAGE_TURNS + 1])
    more = len(turns) > PAGE_TURNS
    turns = turns[:PAGE_TURNS]
    return FailedPage(turns, f"{turns[-1].queued_at.isoformat()}_{turns[-1].pk}" if more else "")


def _mark(text: str) -> tuple[datetime, UUID] | None:
    at, _, turn_id = text.partition("_")
    try:
        moment_, id_ = datetime.fromisoformat(at), UUID(turn_id)
    except ValueError:
        return None
    return (moment_, id_) if moment_.tzinfo else None


def owners_of(conversation_ids: list[str]) -> dict[str, str]:
    """Return the owners' names by conversation."""
    rows = Conversation.objects.filter(pk__in=[UUID(each) for each in conversation_ids])
    return {str(pk): name for pk, name in rows.values_list("pk", "owner__username")}
