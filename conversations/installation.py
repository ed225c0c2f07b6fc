"""Which database a Redis belongs to: two stores that do not fit lose data in silence, so they are refused."""

from . import store
from .errors import StartRefused
from .models import Installation

OWNER_KEY = "tether:database"


async def claim_redis() -> None:
    """Mark this Redis as this database's, once. Raises StartRefused where it is another one's, Unavailable."""
    row = await Installation.objects.afirst()
    if row is None:
        raise StartRefused("The database is empty: run `python manage.py migrate` first.")
    with store.mapped_errors():
        await store.client().set(OWNER_KEY, str(row.pk), nx=True)
        owner = await store.client().get(OWNER_KEY)
    if owner.decode() != str(row.pk):
        raise StartRefused(
            "This Redis belongs to another database: set DATABASE_URL or REDIS_URL to the pair that belongs together."
        )
