"""The services are coroutines; an admin view is not. On a node they run in the node's own loop."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from .. import store

T = TypeVar("T")


def ask(work: Callable[[], Awaitable[T]]) -> T:
    """Run the coroutine and return its result. Raises what it raises."""
    return async_to_sync(_run)(work)


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    if store.is_open():
        return await work()
    # A loop of this call's own, which must leave nothing open: no node, but a test or another server.
    try:
        return await work()
    finally:
        await store.close()


async def tell_groups(groups: list[str], message: dict[str, Any]) -> None:
    """Send to each group, and wait until Redis has taken it."""
    for group in groups:
        await get_channel_layer().group_send(group, message)
