"""How the checkpoints' scripts are run: under the turn's fence, and once more while Redis restarts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from langchain_core.runnables import RunnableConfig
from redis.exceptions import ResponseError

from conversations import keys as conversation_keys
from conversations.batching import batcher
from conversations.errors import Fenced, Unavailable

from . import keys

# Every script may be run twice without harm, so a Redis that restarts costs a wait, not a turn.
RETRY_SECONDS = (0.1, 0.4, 1.0)


def ttl_ms() -> int:
    return int(settings.CHECKPOINT_TTL_DAYS * 86_400_000)


async def run_fenced(name: str, config: RunnableConfig, more_keys: list[str], more_args: list[Any]) -> None:
    """Run a script that writes: its keys and arguments begin with the fence's. Raises Fenced, Unavailable."""
    settled = config["configurable"]
    thread_id, turn_id = settled["thread_id"], settled.get("turn_id")
    turn = conversation_keys.turn(thread_id, turn_id or "none")
    attempt = settled["attempt"] if turn_id else ""
    await run(
        name,
        [turn, keys.heads(thread_id), keys.order(thread_id), *more_keys],
        [attempt, ttl_ms(), *more_args],
    )


async def run(name: str, script_keys: list[str], args: list[Any]) -> Any:
    """Run a script, again and again for a moment while Redis does not answer. Raises Fenced, Unavailable."""
    return await _patiently(lambda: batcher().submit(name, script_keys, args))


async def read(*parts: Any) -> Any:
    """Run a command that changes nothing, as patiently. Raises Unavailable."""
    return await _patiently(lambda: batcher().command(*parts))


async def _patiently(ask: Callable[[], Awaitable[Any]]) -> Any:
    for delay_seconds in (*RETRY_SECONDS, None):
        try:
            return await ask()
        except ResponseError as error:
            if str(error).startswith("FENCED"):
                raise Fenced("another attempt writes this turn's checkpoints") from error
            raise
        except Unavailable:
            if delay_seconds is None:
                raise
            await asyncio.sleep(delay_seconds)
    raise AssertionError("unreachable")
