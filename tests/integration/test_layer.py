"""The channel layer between two processes, as two layers in one: what it hands over, and what a fault costs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.conf import settings
from redis import Redis

from realtime.layer import TetherChannelLayer, TetherLoopLayer

SECONDS = 5
GROUP = "user.1"


@pytest.fixture
async def layers() -> AsyncIterator[list[TetherLoopLayer]]:
    """Two processes' layers."""
    owner = TetherChannelLayer()
    made = [TetherLoopLayer([settings.REDIS_URL], "asgi", owner) for _ in range(2)]
    yield made
    for layer in made:
        await layer.flush()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110  # what arrives is looked at
            await asyncio.sleep(0.01)


async def listener(layer: TetherLoopLayer, sink: Callable[[dict[str, Any]], None]) -> None:
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    layer.listen(channel, sink)


async def ear(layer: TetherLoopLayer) -> list[dict[str, Any]]:
    """Return the list that fills with what a socket hears from now on; not the doubt that every connection raises."""
    heard: list[dict[str, Any]] = []
    await listener(layer, heard.append)
    heard.clear()
    return heard


def fail(message: dict[str, Any]) -> None:
    raise RuntimeError


def numbered(number: int) -> dict[str, Any]:
    return {"type": "direct", "n": number}


def numbers(heard: list[dict[str, Any]]) -> list[int]:
    return [message["n"] for message in heard if message["type"] == "direct"]


async def test_what_came_before_somebody_listened_is_handed_over_first(layers: list[TetherLoopLayer]) -> None:
    heard: list[dict[str, Any]] = []
    channel = await layers[0].new_channel()
    await layers[0].group_add(GROUP, channel)
    layers[0].group_send_soon(GROUP, numbered(1))
    layers[0].listen(channel, heard.append)
    layers[0].group_send_soon(GROUP, numbered(2))
    assert numbers(heard) == [1, 2]
    assert layers[0].channels[channel].empty()


async def test_a_fault_at_one_socket_is_not_the_fault_of_who_said_it(layers: list[TetherLoopLayer]) -> None:
    await listener(layers[0], fail)
    heard = await ear(layers[0])
    layers[0].group_send_soon(GROUP, numbered(1))
    assert numbers(heard) == [1]


async def test_a_fault_at_one_socket_breaks_no_wire(layers: list[TetherLoopLayer]) -> None:
    here, there = layers
    await listener(there, fail)
    heard = await ear(there)
    for number in range(3):
        await here.group_send(GROUP, numbered(number))
    await until(lambda: len(numbers(heard)) == 3)
    assert heard == [numbered(number) for number in range(3)]  # no doubt between them: the wire has held


async def test_what_another_program_publishes_breaks_no_wire(layers: list[TetherLoopLayer]) -> None:
    here, there = layers
    heard = await ear(there)
    with Redis.from_url(settings.REDIS_URL) as redis:
        for data in (b"", b"not ours at all", b"12345678\xc1", b"12345678\x01"):
            assert redis.publish(f"asgi__group__{GROUP}", data) == 1
    await here.group_send(GROUP, numbered(1))
    await until(lambda: numbers(heard))
    assert heard == [numbered(1)]


async def test_a_flushed_layer_is_like_new(layers: list[TetherLoopLayer]) -> None:
    here, there = layers
    await there.flush()
    heard = await ear(there)
    await here.group_send(GROUP, numbered(1))
    await until(lambda: numbers(heard))
    assert heard == [numbered(1)]
