"""A Redis that is held by somebody's long script answers BUSY: it may answer later, and its data is well."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import pytest
from django.conf import settings
from redis import Redis
from redis.exceptions import ResponseError

from conversations import store
from conversations.assistant import fence
from conversations.batching import batcher
from conversations.errors import Unavailable
from realtime import shard
from tests.archive_kit import new_talk, say, snapshot_of
from tests.assistant_kit import talk
from tests.integration.test_cancel_answer import ask_on, entries, node, until_ended, until_written

__all__ = ["talk"]
pytestmark = pytest.mark.django_db(transaction=True)
SECONDS = 10
# As another node would publish it.
LATE = b"another." + msgpack.packb([{"type": "late"}])


def _hold() -> None:
    with Redis.from_url(settings.REDIS_URL) as redis, pytest.raises(ResponseError, match="killed"):
        redis.eval("while true do end", 0)


@asynccontextmanager
async def held_redis() -> AsyncIterator[None]:
    """Redis runs a script without an end until this does."""
    with Redis.from_url(settings.REDIS_URL) as redis:
        threshold = redis.config_get("busy-reply-threshold")["busy-reply-threshold"]
        redis.config_set("busy-reply-threshold", 20)
        holding = asyncio.create_task(asyncio.to_thread(_hold))
        try:
            async with asyncio.timeout(SECONDS):
                while not await asyncio.to_thread(_is_busy, redis):  # noqa: ASYNC110  # Redis tells nobody
                    await asyncio.sleep(0.01)
            yield
        finally:
            redis.script_kill()
            await holding
            redis.config_set("busy-reply-threshold", threshold)


def _is_busy(redis: Any) -> bool:
    try:
        redis.ping()
    except ResponseError as error:
        return str(error).startswith("BUSY ")
    return False


async def test_every_way_to_a_held_redis_says_that_it_may_answer_later() -> None:
    here = await new_talk()
    async with held_redis():
        with pytest.raises(Unavailable):
            await batcher().command("PING")
        with pytest.raises(Unavailable), store.mapped_errors():
            await store.client().ping()
        for is_transaction in (False, True):
            with pytest.raises(Unavailable), store.mapped_errors():
                async with store.client().pipeline(transaction=is_transaction) as pipe:
                    await pipe.set("text", "x").execute()
            with pytest.raises(Unavailable), store.mapped_errors(), store.connect_sync() as redis:
                redis.pipeline(transaction=is_transaction).set("text", "x").execute()
        with pytest.raises(Unavailable):
            await say(here, client_id="said-while-busy")
    await say(here, client_id="said-while-busy")
    assert [each["content"] for each in (await snapshot_of(here)).messages] == ["hello 0"]


async def test_another_refusal_of_redis_is_not_taken_for_one_that_passes() -> None:
    await store.client().set("text", "x")
    with pytest.raises(ResponseError), store.mapped_errors():
        await store.client().incr("text")


async def test_state_that_cannot_be_read_now_is_not_poisoned(talk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await talk.say("one")
    job = await talk.claim("two")
    monkeypatch.setattr(fence, "RETRY_SECONDS", ())
    async with held_redis():
        for read in (talk.assistant.saver.aget_tuple(talk.config()), talk.assistant.graph.aget_state(talk.config())):
            with pytest.raises(Unavailable):
                await read
        with pytest.raises(Unavailable):
            await talk.assistant.run(job, None, load_transcript=talk.load_transcript)
        with pytest.raises(Unavailable):
            await talk.assistant.end_turn(job, text="", status="failed")
    assert await talk.said() == ["one", "echo: one"]
    assert (await talk.run(job)).text == "echo: two"


async def test_a_turn_outlives_a_held_redis_in_its_first_attempt(settings: Any) -> None:
    settings.SCRIPTED_DELAY_MS = 5
    here = await new_talk()
    async with node() as runner:
        await ask_on(runner, here, "/words 60")
        await until_written(here, "w3 ")
        async with held_redis():
            await asyncio.sleep(0.4)
        assert (await until_ended(here))["status"] == "done"
    assert [each["attempt"] for each in await entries(here, "turn.started")] == [1]
    assert (await snapshot_of(here)).messages[-1]["content"].endswith("w59 w60")


async def test_who_subscribes_while_redis_is_held_hears_what_is_said_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard, "SUBSCRIBE_SECONDS", 0.3)
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    queue: asyncio.Queue[Any] = asyncio.Queue()
    here = shard.Shard(settings.REDIS_URL, shard.Audience({"news": queue}, {}))
    async with held_redis():
        await here.subscribe("news")
        here.publish_soon("news", {"type": "own"})
    with Redis.from_url(settings.REDIS_URL) as redis:
        async with asyncio.timeout(SECONDS):
            while not redis.publish("news", LATE):  # noqa: ASYNC110  # Redis tells nobody
                await asyncio.sleep(0.02)
            while await queue.get() != {"type": "late"}:
                pass
    await here.flush()
    gc.collect()
    assert faults == []
