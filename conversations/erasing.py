"""Erasing what was deleted: checkpoints, every key that names the conversation, then its rows.

The mark stays until all is gone, so that a kill in between leaves nothing behind. Nobody can restore any more
from the moment that the mark has moved from `erase` to `erasing`.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog
from django.db import transaction
from django.utils import timezone

from . import keys, log, store
from .archive_rows import delete_in_batches
from .assistant import keys as checkpoint_keys
from .audit import journal
from .audit.entry import Action
from .faults import point
from .marks import find_marked
from .models import Conversation, Event, Member, Message, Turn
from .threads import in_database

MOST_AT_ONCE = 20
SCAN_COUNT = 1000
LOOK_FOR_STRAYS_SECONDS = 60
# The service marks the log first and the row next; well after both, and after the 30 s, a mark must exist.
STRAY_AFTER = timedelta(minutes=2)

Forget = Callable[[str], Awaitable[None]]
logger = structlog.get_logger(__name__)


async def forget_checkpoints(conversation_id: str) -> None:
    """Drop every checkpoint of the conversation. Raises Unavailable."""
    await store.run_script(
        "checkpoint_delete",
        [checkpoint_keys.heads(conversation_id), checkpoint_keys.order(conversation_id)],
        [checkpoint_keys.prefix(conversation_id), checkpoint_keys.writes_prefix(conversation_id)],
    )


class Eraser:
    """Carries out deletions whose time has come."""

    def __init__(self, forget: Forget = forget_checkpoints) -> None:
        self._forget = forget
        self._next_look = 0.0

    async def erase_due(self) -> int:
        """Erase what is due, also what a kill had left half done; return how many conversations."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_FOR_STRAYS_SECONDS
            await self._mark_strays()
        for conversation_id in await find_marked(keys.erase, MOST_AT_ONCE):
            tag = keys.tag(conversation_id)
            await store.run_script("erase_claim", [keys.erase(tag), keys.erasing(tag)], [conversation_id])
        point("erase.claimed")
        claimed = await find_marked(keys.erasing, MOST_AT_ONCE)
        for conversation_id in claimed:
            await erase(conversation_id, self._forget)
        return len(claimed)

    async def _mark_strays(self) -> None:
        """Redis may have lost the mark of a deletion that the database remembers."""
        for conversation_id in await in_database(_deleted_before, timezone.now() - STRAY_AFTER):
            head = (await log.heads([conversation_id])).get(conversation_id)
            tag, now = keys.tag(conversation_id), await store.now_ms()
            restored = head is not None and head.active
            with store.mapped_errors():
                if not restored:
                    await store.client().zadd(keys.erase(tag), {conversation_id: now}, nx=True)
                else:  # the archiver copies the state
                    await store.client().zadd(keys.dirty(tag), {conversation_id: now}, nx=True)


async def erase(conversation_id: str, forget: Forget) -> None:
    """Erase everything of a conversation, marked as `erasing`; may be repeated. Raises Unavailable."""
    # Deleted in the database first, so that nobody brings it back once its keys are gone.
    await in_database(_mark_row, conversation_id)
    await forget(conversation_id)
    point("erase.forgotten")
    await _drop_keys(conversation_id)
    point("erase.keys_gone")
    await in_database(_drop_rows, conversation_id)
    point("erase.rows_gone")
    tag = keys.tag(conversation_id)
    with store.mapped_errors():
        async with store.client().pipeline(transaction=True) as pipeline:
            for queue in (keys.due(tag), keys.dirty(tag), keys.erase(tag), keys.erasing(tag)):
                pipeline.zrem(queue, conversation_id)
            pipeline.hdel(keys.parked(tag), conversation_id)
            await pipeline.execute()
    logger.info("conversation.erased", conversation_id=conversation_id)


def _mark_row(conversation_id: str) -> None:
    row = Conversation.objects.filter(pk=conversation_id)
    row.exclude(status=Conversation.Status.DELETED).update(
        status=Conversation.Status.DELETED, deleted_at=timezone.now()
    )


async def _drop_keys(conversation_id: str) -> None:
    """Drop every key with the id in its name. Remembered client_ids are many and nowhere listed: hence the walk."""
    with store.mapped_errors():
        # Turns carry their own id. A deletion has ended them, a row that went in a shell has not.
        for turn_id in await store.client().lrange(keys.turns(conversation_id), 0, -1):
            name = turn_id.decode()
            await store.client().unlink(keys.turn(conversation_id, name), keys.pieces(conversation_id, name))
        found = [key async for key in store.client().scan_iter(match=f"*{conversation_id}*", count=SCAN_COUNT)]
        for index in range(0, len(found), SCAN_COUNT):
            for key in found[index : index + SCAN_COUNT]:
                await store.client().unlink(key)


def _drop_rows(conversation_id: str) -> None:
    for model in (Event, Message, Turn, Member):
        delete_in_batches(model._default_manager.filter(conversation_id=conversation_id))
        point(f"erase.{model.__name__.lower()}_rows_gone")
    with transaction.atomic():
        if Conversation.objects.filter(pk=conversation_id).delete()[0]:
            journal.record(Action.CONVERSATION_ERASED, actor="", subject=f"conversation:{conversation_id}")


def _deleted_before(cutoff: object) -> list[str]:
    rows = Conversation.objects.filter(status=Conversation.Status.DELETED, deleted_at__lt=cutoff)
    return [str(each) for each in rows.order_by("deleted_at").values_list("pk", flat=True)[:MOST_AT_ONCE]]
