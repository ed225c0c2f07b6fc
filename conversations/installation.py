"""Redis and database belong together: a log is only as good as the archive that it was copied to."""

from django.db import DatabaseError

from . import keys, store
from .errors import StartRefused
from .models import Installation


async def claim_redis() -> str:
    """Bind this Redis to this database at the first start; return the installation's id.

    Raises StartRefused where it belongs to another database or the tables are not made, Unavailable.
    """
    row = await _installation()
    with store.mapped_errors():
        await store.client().set(keys.DATABASE, str(row.pk), nx=True)
        owner: str = (await store.client().get(keys.DATABASE)).decode()
    if owner != str(row.pk):
        raise StartRefused(
            f"This Redis belongs to another database (installation {owner}, ours is {row.pk}): "
            "check REDIS_URL and DATABASE_URL, or give each database a Redis of its own"
        )
    return owner


async def _installation() -> Installation:
    try:
        row = await Installation.objects.order_by("created_at").afirst()
    except DatabaseError as error:
        raise StartRefused("the database has no tables yet: run `python manage.py migrate`") from error
    if row is None:
        raise StartRefused("the database is not prepared: run `python manage.py migrate`")
    return row
