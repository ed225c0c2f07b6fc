"""The door to the database: synchronous work away from the event loop, and its outages mapped to ours."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from channels.db import aclose_old_connections, database_sync_to_async
from django.db import InterfaceError, OperationalError
from django.utils.translation import gettext_noop as N_

from .errors import Unavailable

T = TypeVar("T")


@asynccontextmanager
async def mapped_errors() -> AsyncIterator[None]:
    """Turn 'the database does not answer' into Unavailable; of a decorated coroutine, too.

    The connection that failed is closed if it is of no use any more: Django's asynchronous queries, unlike
    `database_sync_to_async`, never look, and would fail for ever after a restart of the database.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        await aclose_old_connections()
        raise Unavailable(N_("The database does not answer; try again."), retry_after=1) from error


@mapped_errors()
async def in_database(work: Callable[..., T], *args: Any) -> T:
    """Run synchronous database work in the thread for it, and return its result. Raises Unavailable."""
    found: T = await database_sync_to_async(partial(work, *args))()
    return found
