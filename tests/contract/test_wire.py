"""The shared wire: replies in order, scripts that Redis forgot, and what a lost connection does to those who wait."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from django.conf import settings
from redis import Redis
from redis.exceptions import ResponseError

from conversations import wire as wire_module
from conversations.batching import batcher
from conversations.errors import Unavailable
from conversations.wire import Wire

SCRIPT = "return ARGV[1]"
SECONDS = 5


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    wire = Wire(settings.REDIS_URL)
    yield wire
    await wire.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110  # some conditions have no event
            await asyncio.sleep(0.01)


def kill_connections() -> None:
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.client_kill_filter(_type="normal", skipme=True)


async def test_replies_come_to_those_who_asked_in_order(wire: Wire) -> None:
    asked = [wire.call("ECHO", str(number)) for number in range(500)]
    assert await asyncio.gather(*asked) == [b"%d" % number for number in range(500)]


async def test_commands_of_one_moment_are_carried_out_in_order(wire: Wire) -> None:
    asked = [wire.call("INCR", "counter") for _ in range(100)]
    assert await asyncio.gather(*asked) == list(range(1, 101))


async def test_an_error_is_that_of_its_own_command_alone(wire: Wire) -> None:
    before, wrong, after = wire.call("ECHO", "a"), wire.call("NOSUCH"), wire.call("ECHO", "b")
    with pytest.raises(ResponseError, match="unknown command"):
        await wrong
    assert (await before, await after) == (b"a", b"b")


async def test_a_cancelled_caller_takes_no_one_elses_reply(wire: Wire) -> None:
    await wire.call("PING")
    gone, stays = wire.call("ECHO", "gone"), wire.call("ECHO", "stays")
    gone.cancel()
    assert await stays == b"stays"


async def test_a_script_that_redis_does_not_know_is_sent_whole(wire: Wire) -> None:
    asked = wire.call("EVALSHA", "0" * 40, 0, "x", instead=lambda: ("EVAL", SCRIPT, 0, "x"))
    assert await asked == b"x"


async def test_a_script_that_redis_does_not_know_and_nobody_has_is_an_error(wire: Wire) -> None:
    with pytest.raises(ResponseError, match="No matching script"):
        await wire.call("EVALSHA", "0" * 40, 0)


async def test_the_batcher_outlives_a_redis_that_forgot_its_scripts() -> None:
    assert await batcher().submit("hold_lease", ["lease"], ["me", 1000])
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.script_flush()
    assert await batcher().submit("hold_lease", ["lease"], ["me", 1000])


async def test_a_lost_connection_fails_what_was_under_way(wire: Wire) -> None:
    waiting = [wire.call("BLPOP", "never", 0), wire.call("ECHO", "behind it")]
    await until(lambda: wire._transport is not None)
    await asyncio.sleep(0)
    kill_connections()
    for each in waiting:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(each, SECONDS)


async def test_the_next_call_after_a_lost_connection_makes_a_new_one(wire: Wire) -> None:
    await wire.call("PING")
    kill_connections()
    await until(lambda: wire._transport is None)
    assert await wire.call("ECHO", "back") == b"back"


async def test_a_redis_that_does_not_listen_is_unavailable() -> None:
    wire = Wire("redis://127.0.0.1:1/0")
    with pytest.raises(Unavailable):
        await wire.call("PING")
    await wire.close()


async def test_a_redis_that_falls_silent_is_given_up(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "REPLY_SECONDS", 0.1)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(wire.call("BLPOP", "never", 0), SECONDS)


async def test_closing_fails_what_is_under_way(wire: Wire) -> None:
    await wire.call("PING")
    waiting = wire.call("BLPOP", "never", 0)
    await wire.close()
    with pytest.raises(Unavailable):
        await waiting


async def test_a_subscriber_hears_and_can_subscribe_again_after_a_loss() -> None:
    heard: list[object] = []
    lost: list[bool] = []
    wire = Wire(settings.REDIS_URL, on_message=heard.append, on_lost=lambda: lost.append(True))
    for times in (1, 2):
        wire.send("SUBSCRIBE", "news")
        await until(lambda times=times: len(heard) == times)  # type: ignore[misc]
        with Redis.from_url(settings.REDIS_URL) as redis:
            redis.client_kill_filter(_type="pubsub")
        await until(lambda times=times: len(lost) == times)  # type: ignore[misc]
    await wire.close()
    assert heard == [[b"subscribe", b"news", 1]] * 2
