"""What a person wants of every answer, copied to Redis so that no turn waits for the database.

And what goes with the person: this copy, and what the assistant was asked to remember.

What is wanted in one conversation lies in its log's meta hash (services.set_assistant).
"""

import structlog
from redis.commands.search.query import Query
from redis.exceptions import ResponseError

from . import keys, store
from .assistant import keys as assistant_keys
from .batching import batcher
from .errors import Unavailable
from .models import User
from .threads import mapped_errors

KEPT_SECONDS = 24 * 3600
MOST_FACTS = 1000

logger = structlog.get_logger(__name__)


async def find_wishes(user_id: str) -> str:
    """Return the person's own instructions. A database that does not answer costs them, not the turn.

    Raises Unavailable where Redis does not answer.
    """
    kept = await batcher().command("GET", keys.wishes(user_id))
    if kept is not None:
        return str(kept.decode())
    try:
        async with mapped_errors():
            found = await User.objects.filter(pk=user_id).values_list("instructions", flat=True).afirst()
    except Unavailable:
        logger.warning("wishes.unknown", user_id=user_id)
        return ""
    if found is None:
        return ""
    # Never over what somebody has changed since the row was read.
    await batcher().command("SET", keys.wishes(user_id), found, "NX", "EX", KEPT_SECONDS)
    return found


@mapped_errors()
async def change_wishes(*, user_id: str, instructions: str) -> None:
    """Set what the person wants of every answer; the next turn knows it. Raises Unavailable."""
    if await User.objects.filter(pk=user_id).aupdate(instructions=instructions):
        await batcher().command("SET", keys.wishes(user_id), instructions, "EX", KEPT_SECONDS)


def publish_wishes(user: User) -> None:
    """Tell turns what synchronous code has changed: the admin, a shell. Raises Unavailable."""
    with store.mapped_errors(), store.connect_sync() as redis:
        redis.set(keys.wishes(str(user.pk)), user.instructions, ex=KEPT_SECONDS)


def forget_person(user_id: str) -> None:
    """Drop what is kept of somebody who is no user any more. Raises Unavailable."""
    with store.mapped_errors(), store.connect_sync() as redis:
        redis.delete(keys.wishes(user_id))
        query = Query(f"@prefix:{assistant_keys.memory_namespace(user_id)}").no_content().paging(0, MOST_FACTS)
        try:
            facts = redis.ft(assistant_keys.MEMORY).search(query).docs
        except ResponseError:  # no node has made the index: nothing was remembered
            return
        if facts:
            redis.delete(*(fact.id for fact in facts))
