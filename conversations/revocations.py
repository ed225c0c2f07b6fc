"""Who may no longer be connected: announced to every node, twice.

Through the channel layer at once, and in a stream that each node reads every 2 s, since the layer may lose it.
A revocation is a dict of kind, user_id and value:

    session   value is the key of the login session that ended
    device    value is the device_id
    token     value is the token's id, as text
    user      value is empty: everything of this user
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Literal

import structlog
from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import channel_layers, get_channel_layer

from . import keys, store
from .plain_store import WAIT_SECONDS, connect

Kind = Literal["session", "device", "token", "user"]

# Far more than happens between two reads.
KEPT = 10_000
READ_AT_ONCE = 1_000

logger = structlog.get_logger(__name__)


def announce(*, kind: Kind, user_id: str, value: str = "") -> None:
    """Tell every node to close what this revokes. From synchronous code: views, admin, shell.

    Raises Unavailable where Redis does not take it. The layer's failure is only logged.
    """
    with store.mapped_errors(), connect() as redis:
        redis.xadd(keys.REVOCATIONS, _fields(kind, user_id, value), maxlen=KEPT, approximate=True)
    try:
        asyncio.run(_ring_alone(kind, user_id, value))
    except Exception as error:
        _log_lost_hint(kind, user_id, error)


async def aannounce(*, kind: Kind, user_id: str, value: str = "") -> None:
    """As announce, from a coroutine."""
    with store.mapped_errors():
        fields = _fields(kind, user_id, value)
        await store.client().xadd(keys.REVOCATIONS, fields, maxlen=KEPT, approximate=True)
    try:
        await _ring(get_channel_layer(), kind, user_id, value)
    except Exception as error:
        _log_lost_hint(kind, user_id, error)


async def read_since(last_id: str) -> tuple[str, list[dict[str, str]]]:
    """Return (id to go on from, the revocations after ``last_id``), oldest first.

    An empty ``last_id`` means: from now on. Raises Unavailable.
    """
    redis = store.client()
    with store.mapped_errors():
        if not last_id:
            newest = await redis.xrevrange(keys.REVOCATIONS, count=1)
            return (newest[0][0].decode() if newest else "0-0"), []
        entries = await redis.xrange(keys.REVOCATIONS, min=f"({last_id}", count=READ_AT_ONCE)
    if entries:
        last_id = entries[-1][0].decode()
    return last_id, list(_revocations(entries))


def _fields(kind: Kind, user_id: str, value: str) -> dict[Any, Any]:
    return {"kind": kind, "user_id": user_id, "value": value}


def _revocations(entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> Iterable[dict[str, str]]:
    for _, fields in entries:
        yield {name.decode(): value.decode() for name, value in fields.items()}


async def _ring(layer: Any, kind: Kind, user_id: str, value: str) -> None:
    message = {"type": "revoked", **_fields(kind, user_id, value)}
    async with asyncio.timeout(WAIT_SECONDS):
        await layer.group_send(f"user.{user_id}", message)


async def _ring_alone(kind: Kind, user_id: str, value: str) -> None:
    """Ring from an event loop of its own, with a layer of its own: both end here, and leave nothing open."""
    layer = channel_layers.make_backend(DEFAULT_CHANNEL_LAYER)
    try:
        await _ring(layer, kind, user_id, value)
    finally:
        await layer.flush()


def _log_lost_hint(kind: Kind, user_id: str, error: Exception) -> None:
    logger.warning("revocation.hint_lost", kind=kind, user_id=user_id, error=repr(error))
