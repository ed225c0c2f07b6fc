"""How many, and who is here: leased registrations on the real Redis."""

import pytest

from conversations import keys, store
from realtime import registry
from realtime.registry import Registry, address_group


@pytest.fixture(autouse=True)
def small_limits(settings):
    settings.MAX_CONNECTIONS_PER_USER = 2
    settings.MAX_CONNECTIONS_PER_ADDRESS = 3


async def register(node, connection_id, *, user="7", address="198.51.100.7", device="phone", name="Phone"):
    return await node.register(
        connection_id=connection_id, user_id=user, address=address, device_id=device, device_name=name
    )


async def lapse(*names):
    """Let the leases end, as time would."""
    for name in names:
        for member in await store.client().zrange(name, 0, -1):
            await store.client().zadd(name, {member: 1})


async def test_a_user_has_so_many_connections_over_all_nodes():
    assert await register(Registry("n1"), "a") is None
    assert await register(Registry("n2"), "b") is None
    assert await register(Registry("n3"), "c") == "user"


async def test_an_address_has_so_many_connections_and_the_user_keeps_the_place():
    node = Registry("n1")
    for number in range(3):
        assert await register(node, f"c{number}", user=str(number)) is None
    assert await register(node, "d", user="8") == "address"
    assert await node.devices("8") == []


async def test_a_place_that_is_given_back_is_free():
    node = Registry("n1")
    await register(node, "a")
    await register(node, "b")
    await node.unregister("a")
    assert await register(node, "c") is None


async def test_giving_back_what_was_never_taken_is_fine():
    await Registry("n1").unregister("nobody")


async def test_the_connections_of_a_dead_node_lapse():
    await register(Registry("dead"), "a")
    await register(Registry("dead"), "b")
    await lapse(keys.user_connections("7"))
    node = Registry("n1")
    assert await node.devices("7") == []
    assert await register(node, "c") is None


async def test_a_node_that_renews_keeps_its_places(monkeypatch):
    monkeypatch.setattr(registry, "RENEWED_AT_ONCE", 1)
    node = Registry("n1")
    await register(node, "a", device="phone")
    await register(node, "b", device="laptop")
    await lapse(keys.user_connections("7"), keys.address_connections("198.51.100.7"))
    await node.renew()
    assert await register(Registry("n2"), "c") == "user"
    assert len(await node.devices("7")) == 2


async def test_a_redis_that_forgot_everything_learns_it_again():
    node = Registry("n1")
    await register(node, "a")
    await store.client().flushall()
    await node.renew()
    assert await node.devices("7") == [{"device_id": "phone", "name": "Phone", "node": "n1"}]


async def test_what_was_given_back_is_not_renewed():
    node = Registry("n1")
    await register(node, "a")
    await node.unregister("a")
    await node.renew()
    assert await node.devices("7") == []


async def test_all_that_remains_of_a_dead_node_goes_after_the_lease():
    await register(Registry("dead"), "a")
    for name in (keys.user_connections("7"), keys.address_connections("198.51.100.7")):
        assert 29_000 < await store.client().pttl(name) <= 30_000


async def test_a_device_with_two_connections_is_one_device():
    node = Registry("n1")
    await register(node, "a", device="phone", name="手机")
    await register(node, "b", device="phone", name="手机")
    assert await node.devices("7") == [{"device_id": "phone", "name": "手机", "node": "n1"}]


async def test_a_device_that_moved_is_where_it_was_renewed_last():
    await register(Registry("dead"), "a")
    node = Registry("n2")
    await register(node, "b")
    await node.renew()
    assert [device["node"] for device in await node.devices("7")] == ["n2"]


def test_an_ipv6_client_counts_as_its_whole_network():
    assert address_group("2001:db8:1:2:aaaa::1") == address_group("2001:db8:1:2:bbbb::9") == "2001:db8:1:2::/64"
    assert address_group("198.51.100.7") == "198.51.100.7"
