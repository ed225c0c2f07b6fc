"""Parking: a log that nobody has used for days and that lies whole in the archive leaves Redis; its epoch is kept."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from . import keys, log
from .batching import batcher
from .faults import point
from .models import Conversation
from .threads import in_database

ROWS = 200
WALK_EVERY = timedelta(minutes=10)


class Parker:
    """Walks the idle conversations, a page of rows at a time, and rests between two walks."""

    def __init__(self) -> None:
        self._last: tuple[datetime, UUID] | None = None
        self._next_walk = timezone.now()

    async def park_some(self) -> int:
        """Park one page; return how many. A log in use, or ahead of the archive, stays."""
        if timezone.now() < self._next_walk:
            return 0
        idle = timedelta(days=settings.PARK_AFTER_DAYS)
        rows = await in_database(_idle_rows, timezone.now() - idle, self._last)
        if len(rows) < ROWS:
            self._last, self._next_walk = None, timezone.now() + WALK_EVERY
        else:
            self._last = (rows[-1].last_active_at, rows[-1].pk)
        return await park_rows(rows, idle_ms=int(idle.total_seconds() * 1000))


async def park_rows(rows: list[Conversation], *, idle_ms: int) -> int:
    """Drop these logs from Redis where they are idle and the archive's copy is whole; return how many."""
    replies = []
    for row in rows:
        conversation_id = str(row.pk)
        script_keys = log.conversation_keys(conversation_id, keys.parked(keys.tag(conversation_id)))
        args: list[Any] = [conversation_id, row.epoch, row.archived_seq, row.archived_chain, idle_ms]
        replies.append(batcher().submit("park", script_keys, args))
    parked = sum([await reply for reply in replies])
    point("park.parked")
    return int(parked)


def _idle_rows(before: datetime, last: tuple[datetime, UUID] | None) -> list[Conversation]:
    rows = Conversation.objects.filter(status=Conversation.Status.ACTIVE, last_active_at__lt=before)
    if last is not None:
        rows = rows.filter(Q(last_active_at__gt=last[0]) | Q(last_active_at=last[0], pk__gt=last[1]))
    return list(rows.order_by("last_active_at", "pk")[:ROWS])
