"""Database work that is written synchronously, away from the event loop."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from channels.db import database_sync_to_async

T = TypeVar("T")


async def in_database(work: Callable[..., T], *args: Any) -> T:
    """Run synchronous database work in the thread for it, and return its result."""
    found: T = await database_sync_to_async(partial(work, *args))()
    return found
