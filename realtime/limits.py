"""How often a user may speak: token buckets in Redis, shared by all nodes."""

import re
from dataclasses import dataclass
from functools import cache

from django.conf import settings

from conversations import keys
from conversations.store import run_script

PERIOD_SECONDS = {"s": 1, "m": 60, "h": 3600}
SETTINGS = {"messages": "RATE_LIMIT_MESSAGES", "commands": "RATE_LIMIT_COMMANDS"}


@dataclass(frozen=True, slots=True)
class Rate:
    """``capacity`` tokens at once, refilled at ``per_second``."""

    capacity: int
    per_second: float


@cache
def parse_rate(text: str) -> Rate | None:
    """Return the rate that ``120/m`` or ``10/s`` means; None for ``off``.

    The bucket holds the whole amount, so that a user may spend it in one burst. Raises ValueError.
    """
    if text == "off":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,8})/([smh])", text)
    if not found:
        raise ValueError(f"{text!r} is not a rate; write for example 120/m, 10/s or off")
    amount = int(found[1])
    return Rate(amount, amount / PERIOD_SECONDS[found[2]])


def is_limited(kind: str) -> bool:
    return parse_rate(getattr(settings, SETTINGS[kind])) is not None


async def take(user_id: str, kind: str, count: int = 1) -> float:
    """Take ``count`` tokens of ``kind`` (messages or commands) from the user's bucket, or none.

    Returns 0.0 if granted, else the seconds after which it would be: never, for more than a bucket holds.
    Raises Unavailable; the tokens may be gone.
    """
    _, wait_seconds = await _ask(user_id, kind, count, count)
    return wait_seconds


async def take_some(user_id: str, kind: str, count: int) -> tuple[int, float]:
    """Take up to ``count`` tokens, as many as there are.

    Returns (how many were taken, the seconds until one more would be; 0.0 if all were taken).
    Raises Unavailable; the tokens may be gone.
    """
    return await _ask(user_id, kind, count, 1)


async def _ask(user_id: str, kind: str, count: int, least: int) -> tuple[int, float]:
    rate = parse_rate(getattr(settings, SETTINGS[kind]))
    if rate is None:
        return count, 0.0
    args = [rate.capacity, rate.per_second, count, least]
    taken, wait_ms = await run_script("take_tokens", [keys.bucket(user_id, kind)], args)
    return taken, wait_ms / 1000
