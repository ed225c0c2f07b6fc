"""What a person wants of every answer, copied to Redis so that no turn waits for the database.

What is wanted in one conversation lies in its log's meta hash (services.set_assistant).
"""

import structlog

from . import keys, store
from .batching import batcher
from .errors import Unavailable
from .models import User
from .threads import mapped_errors

KEPT_SECONDS = 24 * 3600

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
