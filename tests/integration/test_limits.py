"""How often: token buckets on the real Redis."""

import asyncio

import pytest

from conversations import keys, store
from conversations.errors import Unavailable
from realtime.limits import take, take_some


@pytest.fixture(autouse=True)
def small_rates(settings):
    settings.RATE_LIMIT_MESSAGES = "5/m"
    settings.RATE_LIMIT_COMMANDS = "10/s"


async def test_the_whole_amount_may_go_in_one_burst_and_then_one_waits():
    assert [await take("7", "messages") for _ in range(5)] == [0.0] * 5
    assert 11 < await take("7", "messages") <= 12


async def test_a_refusal_costs_nothing():
    await take("7", "messages", 5)
    first = await take("7", "messages")
    for _ in range(20):
        last = await take("7", "messages")
    assert last <= first


async def test_a_bucket_fills_by_itself():
    await take("7", "commands", 10)
    wait_seconds = await take("7", "commands")
    assert 0 < wait_seconds <= 0.1
    await asyncio.sleep(wait_seconds)
    assert await take("7", "commands") == 0.0


async def test_users_and_kinds_have_buckets_of_their_own():
    await take("7", "messages", 5)
    assert await take("8", "messages") == 0.0
    assert await take("7", "commands") == 0.0


async def test_more_than_a_bucket_holds_is_never_granted_at_once():
    assert await take("7", "messages", 8) == 36.0
    assert await take("7", "messages", 5) == 0.0


async def test_of_many_as_many_are_granted_as_there_are():
    assert await take_some("7", "messages", 2) == (2, 0.0)
    granted, wait_seconds = await take_some("7", "messages", 8)
    assert (granted, 11 < wait_seconds <= 12) == (3, True)
    assert (await take_some("7", "messages", 8))[0] == 0


async def test_many_at_once_get_exactly_what_there_is():
    granted = await asyncio.gather(*(take("7", "messages") for _ in range(40)))
    assert granted.count(0.0) == 5


async def test_a_bucket_that_is_full_again_takes_no_memory():
    await take("7", "messages", 2)
    assert 23_000 < await store.client().pttl(keys.bucket("7", "messages")) <= 24_000


async def test_off_does_not_ask_redis(settings):
    settings.RATE_LIMIT_MESSAGES = "off"
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    await store.close()
    assert await take("7", "messages", 1000) == 0.0
    assert await take_some("7", "messages", 1000) == (1000, 0.0)


async def test_without_redis_nothing_is_granted(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    await store.close()
    with pytest.raises(Unavailable):
        await take("7", "messages")
