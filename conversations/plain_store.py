"""The door to Redis for synchronous code: views, the admin, signals, commands."""

from typing import Any

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

WAIT_SECONDS = 3


def connect() -> Redis:
    """Return a client for a few commands, to be closed; it works in every thread, with or without a loop."""
    retry = Retry(NoBackoff(), 1)
    timeouts: dict[str, Any] = {"socket_timeout": WAIT_SECONDS, "socket_connect_timeout": WAIT_SECONDS}
    return Redis.from_url(settings.REDIS_URL, retry=retry, **timeouts)
