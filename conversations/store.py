"""The door to Redis: one client a process and loop, scripts by name, vendors' errors mapped to ours."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.utils.translation import gettext_noop as N_
from redis import Redis as SyncRedis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, NoScriptError, ResponseError, TimeoutError
from redis.retry import Retry

from .errors import Unavailable
from .wire import PASSING

IN_PIPELINE = re.compile(r".* of pipeline caused error: (\(['\"])?", re.DOTALL)
LUA_DIR = Path(__file__).parent / "lua"
# As long as the shared wire waits (wire.py). No command that goes this way blocks in Redis by itself.
SOCKET_TIMEOUT_SECONDS = 5
CONNECT_TIMEOUT_SECONDS = 3
MAX_CONNECTIONS = 64
SYNC_SECONDS = 3

_clients: "WeakKeyDictionary[asyncio.AbstractEventLoop, Redis]" = WeakKeyDictionary()


def connect(url: str | None = None) -> Redis:
    """Return a new client with its own pool; bytes in, bytes out. Connects at first use."""
    pool = BlockingConnectionPool.from_url(
        url or settings.REDIS_URL,
        max_connections=MAX_CONNECTIONS,
        timeout=5,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        protocol=2,
    )
    return Redis.from_pool(pool)  # closing the client closes the pool


def connect_sync() -> SyncRedis:
    """Return a client for one change made by synchronous code: it works in every thread, with or without a loop."""
    retry = Retry(NoBackoff(), 1)
    timeouts: dict[str, Any] = {"socket_timeout": SYNC_SECONDS, "socket_connect_timeout": SYNC_SECONDS}
    return SyncRedis.from_url(settings.REDIS_URL, retry=retry, **timeouts)


def client() -> Redis:
    """Return this event loop's client; a client serves one loop only."""
    loop = asyncio.get_running_loop()
    found = _clients.get(loop)
    if found is None:
        found = _clients[loop] = connect()
    return found


def is_open() -> bool:
    """Whether this event loop has a client, as a node's always has."""
    return asyncio.get_running_loop() in _clients


async def close() -> None:
    """Close this loop's client and its shared wire, if it has them."""
    from . import batching  # it stands on this module

    await batching.close()
    found = _clients.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.aclose()


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn 'Redis does not answer', or not now, into Unavailable. Its effect may have happened all the same."""
    try:
        yield
    except (ConnectionError, TimeoutError, BusyLoadingError, OSError) as error:
        raise _unavailable() from error
    except ResponseError as error:
        # The client takes the code off the text where it has a class for it, and puts a pipeline's command before it.
        said = IN_PIPELINE.sub("", str(error))
        if not f"{error.status_code or ''} {said}".lstrip().startswith(PASSING):
            raise
        raise _unavailable() from error


def _unavailable() -> Unavailable:
    return Unavailable(N_("The store does not answer; try again."), retry_after=1)


@cache
def script(name: str) -> tuple[str, str]:
    """Return (sha1, source) of ``lua/<name>.lua``, with ``lua/shared.lua`` put before it."""
    source = (LUA_DIR / "shared.lua").read_text() + (LUA_DIR / f"{name}.lua").read_text()
    return sha1(source.encode()).hexdigest(), source


async def run_script(name: str, keys: list[str], args: list[Any]) -> Any:
    """Run a script atomically and return its reply.

    Raises Unavailable when Redis does not answer; the script may have run. A Redis that lost
    its scripts gets the source again.
    """
    digest, source = script(name)
    with mapped_errors():
        try:
            return await client().evalsha(digest, len(keys), *keys, *args)
        except NoScriptError:
            return await client().eval(source, len(keys), *keys, *args)


async def now_ms() -> int:
    """Return Redis' own time, the only clock that all nodes share. Raises Unavailable."""
    with mapped_errors():
        seconds, micros = await client().time()
    return int(seconds) * 1000 + int(micros) // 1000


async def load_scripts(names: set[str] | None = None) -> None:
    """Teach Redis the scripts by these names, or all of them."""
    wanted = names or {path.stem for path in LUA_DIR.glob("*.lua")} - {"shared"}
    with mapped_errors():
        for name in wanted:
            await client().script_load(script(name)[1])
