"""What a turn knows of the person who asks, copied to Redis so that none waits for the database."""

from typing import NamedTuple

import structlog
from django.db import DatabaseError

from . import keys, store
from .batching import batcher
from .models import User

KEPT_SECONDS = 24 * 3600

logger = structlog.get_logger(__name__)


class Person(NamedTuple):
    username: str = ""
    instructions: str = ""


async def find_person(user_id: str) -> Person:
    """Return what is known of the user. A database that does not answer costs the instructions, not the turn."""
    found = await batcher().command("HMGET", keys.person(user_id), "username", "instructions")
    if found[0] is not None:
        return Person(found[0].decode(), (found[1] or b"").decode())
    try:
        row = await User.objects.filter(pk=user_id).values_list("username", "instructions").afirst()
    except (DatabaseError, ValueError):
        logger.warning("person.unknown", user_id=user_id)
        return Person()
    if row is None:
        return Person()
    person = Person(*row)
    with store.mapped_errors():
        async with store.client().pipeline(transaction=True) as pipeline:
            # Never over what somebody has changed since the row was read.
            for name, value in person._asdict().items():
                pipeline.hsetnx(keys.person(user_id), name, value)
            pipeline.expire(keys.person(user_id), KEPT_SECONDS)
            await pipeline.execute()
    return person


async def change_instructions(*, user_id: str, instructions: str) -> None:
    """Set what the person wants of every answer; the next turn knows it. Raises Unavailable."""
    await User.objects.filter(pk=user_id).aupdate(instructions=instructions)
    row = await User.objects.filter(pk=user_id).values_list("username", "instructions").afirst()
    if row is not None:
        await _keep(user_id, Person(*row))


async def _keep(user_id: str, person: Person) -> None:
    with store.mapped_errors():
        async with store.client().pipeline(transaction=True) as pipeline:
            pipeline.hset(keys.person(user_id), mapping=person._asdict())
            pipeline.expire(keys.person(user_id), KEPT_SECONDS)
            await pipeline.execute()


def publish(user: User) -> None:
    """Tell turns what was changed of a user by synchronous code: the admin, a shell. Raises Unavailable."""
    with store.mapped_errors(), store.connect_sync() as redis:
        redis.hset(keys.person(str(user.pk)), mapping=Person(user.username, user.instructions)._asdict())
        redis.expire(keys.person(str(user.pk)), KEPT_SECONDS)
