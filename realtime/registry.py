"""Who is connected: each node leases its connections in Redis and renews them while it lives.

What a killed node leaves behind lapses by itself after the lease.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

import orjson
from django.conf import settings

from conversations import keys, store

LEASE_MS = 30_000
RENEWED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Lease:
    """One connection's two places: in its user's set and in its address' set."""

    user_key: str
    user_member: bytes
    address_key: str
    address_member: str


class Registry:
    """The connections of this node, and of everybody by asking Redis."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._leases: dict[str, Lease] = {}

    async def register(
        self, *, connection_id: str, user_id: str, address: str, device_id: str, device_name: str
    ) -> str | None:
        """Lease a place for the connection. Returns None if admitted, else what is full: user or address.

        Raises Unavailable; a place that was taken then lapses by itself.
        """
        lease = Lease(
            user_key=keys.user_connections(user_id),
            user_member=orjson.dumps([connection_id, device_id, self.node, device_name]),
            address_key=keys.address_connections(address_group(address)),
            address_member=connection_id,
        )
        if not await _take_place(lease.user_key, lease.user_member, settings.MAX_CONNECTIONS_PER_USER):
            return "user"
        if not await _take_place(lease.address_key, lease.address_member, settings.MAX_CONNECTIONS_PER_ADDRESS):
            await _leave(lease)
            return "address"
        self._leases[connection_id] = lease
        return None

    async def unregister(self, connection_id: str) -> None:
        """Give the connection's places back; one that is not known here is fine. Raises Unavailable."""
        lease = self._leases.pop(connection_id, None)
        if lease is not None:
            await _leave(lease)

    async def renew(self) -> None:
        """Prolong all leases of this node, also those that Redis forgot. Raises Unavailable.

        One that is given back while its batch is under way may come back for the length of a lease.
        """
        ids = list(self._leases)
        for start in range(0, len(ids), RENEWED_AT_ONCE):
            batch = ids[start : start + RENEWED_AT_ONCE]
            await _renew([self._leases[name] for name in batch if name in self._leases])

    async def devices(self, user_id: str) -> list[dict[str, Any]]:
        """Return {device_id, name, node} of each of the user's connected devices, once each.

        A device on two nodes is reported where it was renewed last. Raises Unavailable.
        """
        members = await store.run_script("live_connections", [keys.user_connections(user_id)], [])
        found = {}
        for member in members:
            _, device_id, node, name = orjson.loads(member)
            found[device_id] = {"device_id": device_id, "name": name, "node": node}
        return sorted(found.values(), key=lambda device: str(device["device_id"]))


def address_group(address: str) -> str:
    """Return what the limit counts as one address: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> 64 << 64)) + "/64"
    return str(parsed)


async def _take_place(key: str, member: bytes | str, limit: int) -> bool:
    return bool(await store.run_script("lease_connection", [key], [member, limit, LEASE_MS]))


async def _leave(lease: Lease) -> None:
    with store.mapped_errors():
        async with store.client().pipeline(transaction=False) as pipe:
            pipe.zrem(lease.user_key, lease.user_member)
            pipe.zrem(lease.address_key, lease.address_member)
            await pipe.execute()


async def _renew(leases: list[Lease]) -> None:
    """Prolong these leases, counted from Redis' clock."""
    redis = store.client()
    with store.mapped_errors():
        seconds, micros = await redis.time()
        until = seconds * 1000 + micros // 1000 + LEASE_MS
        async with redis.pipeline(transaction=False) as pipe:
            for lease in leases:
                pipe.zadd(lease.user_key, {lease.user_member: until})
                pipe.pexpire(lease.user_key, LEASE_MS)
                pipe.zadd(lease.address_key, {lease.address_member: until})
                pipe.pexpire(lease.address_key, LEASE_MS)
            await pipe.execute()
