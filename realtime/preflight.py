"""What a node checks before it starts: each thing it runs on, said in a line, or refused in a line."""

from typing import Any
from urllib.parse import urlsplit

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection
from redis.exceptions import RedisError, ResponseError

from conversations import installation, store
from conversations.errors import StartRefused

NEEDED_MODULES = {"json": ("ReJSON", "rejson", "json"), "search": ("search", "searchlight")}
OLDEST_REDIS = 8

logger = structlog.get_logger(__name__)


async def check() -> list[str]:
    """Return one line each about Redis, its durability, the database and the model.

    Raises StartRefused with the one line that says what to do.
    """
    lines = [*await _check_redis(), await _check_database(), f"model     {settings.CHAT_MODEL}"]
    await installation.claim_redis()
    return lines


async def _check_redis() -> list[str]:
    where = urlsplit(settings.REDIS_URL)
    address = f"{where.hostname}:{where.port or 6379}"
    if where.path.strip("/") not in ("", "0"):
        raise StartRefused("REDIS_URL names a database other than 0: search works on 0 only, so use 0.")
    try:
        info = await store.client().info("server")
        modules = {_text(module["name"] if "name" in module else module[b"name"]) for module in await _modules()}
        durability = await _durability()
    except (RedisError, OSError) as error:
        raise StartRefused(f"Redis at {address} does not answer ({error}): start it or set REDIS_URL.") from error
    found = str(info["redis_version"])
    if int(found.split(".")[0]) < OLDEST_REDIS:
        raise StartRefused(f"Redis at {address} is {found}: version {OLDEST_REDIS} or later is needed.")
    for module, names in NEEDED_MODULES.items():
        if not modules & set(names):
            raise StartRefused(f"Redis at {address} has no {module} module: use Redis 8 with JSON and search.")
    return [f"redis     {found} at {address}", f"durable   {durability}"]


async def _modules() -> list[Any]:
    return list(await store.client().module_list())


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


async def _durability() -> str:
    try:
        found = await store.client().config_get("appendonly", "appendfsync", "maxmemory-policy")
    except ResponseError:
        return "unknown: this Redis does not tell its configuration"
    config = {_text(name): _text(value) for name, value in found.items()}
    policy = config.get("maxmemory-policy", "")
    evicts = "" if policy == "noeviction" else f"; MAY EVICT ({policy}): set maxmemory-policy noeviction"
    if config.get("appendonly") != "yes":
        return f"NO: appendonly is off, a restart of Redis loses acknowledged messages{evicts}"
    if config.get("appendfsync") != "always":
        return f"up to a second may be lost: appendfsync is {config.get('appendfsync')}, set it to always{evicts}"
    return f"yes: append-only file, fsync before every reply{evicts}"


async def _check_database() -> str:
    try:
        return await sync_to_async(_describe_database)()
    except DatabaseError as error:
        reason = str(error).strip().splitlines()[0]
        raise StartRefused(f"The database does not answer ({reason}): check DATABASE_URL.") from error


def _describe_database() -> str:
    connection.ensure_connection()
    name = connection.settings_dict["NAME"]
    return f"database  {connection.display_name} {name}"
