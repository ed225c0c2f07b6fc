"""System checks of our settings: a wrong value stops the start with one line that says what to write."""

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from .limits import SETTINGS as RATES
from .limits import parse_rate
from .origins import parse_origin

POSITIVE = [
    "MAX_CONNECTIONS_PER_USER",
    "MAX_CONNECTIONS_PER_ADDRESS",
    "MAX_CONVERSATIONS_PER_USER",
    "MAX_MESSAGES_PER_CONVERSATION",
    "AUTH_TIMEOUT_SECONDS",
    "HEARTBEAT_SECONDS",
    "FLOW_WINDOW_BYTES",
    "FLOW_TIMEOUT_SECONDS",
    "LEASE_SECONDS",
    "MAX_TURNS",
    "CHECKPOINT_TTL_DAYS",
    "CHAT_SILENCE_SECONDS",
    "CHAT_ANSWER_SECONDS",
    "CHAT_MEMORY_DAYS",
]
LOG_LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


@register()
def check_settings(**_: Any) -> list[CheckMessage]:
    """Return an error for each setting that cannot be used, with an id of its own kind."""
    return list(_find_errors())


def _find_errors() -> Iterator[CheckMessage]:
    for name in RATES.values():
        yield from _check(name, parse_rate, getattr(settings, name), "tether.E001")
    for name in POSITIVE:
        yield from _check(name, _parse_positive, getattr(settings, name), "tether.E002")
    for text in settings.TRUSTED_PROXIES:
        yield from _check("TRUSTED_PROXIES", ip_network, text, "tether.E003")
    for text in settings.ALLOWED_ORIGINS:
        yield from _check("ALLOWED_ORIGINS", _parse_origin, text, "tether.E004")
    yield from _check("LOG_LEVEL", _parse_level, settings.LOG_LEVEL, "tether.E005")
    for name in ("SCRIPTED_DELAY_MS", "CHAT_RETRIES"):
        yield from _check(name, _parse_not_negative, getattr(settings, name), "tether.E002")


def _check(name: str, parse: Callable[[Any], Any], value: Any, code: str) -> Iterator[CheckMessage]:
    try:
        parse(value)
    except ValueError as error:
        yield Error(f"{name}: {error}", id=code)


def _parse_positive(value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{value!r} is not a positive number")


def _parse_not_negative(value: float) -> None:
    if not 0 <= value < float("inf"):
        raise ValueError(f"{value!r} is not zero or a positive number")


def _parse_origin(text: str) -> None:
    if parse_origin(text) is None:
        raise ValueError(f"{text!r} is not an origin; write scheme://host[:port] without a path or *")


def _parse_level(text: str) -> None:
    if text not in LOG_LEVELS:
        raise ValueError(f"{text!r} is not one of {', '.join(LOG_LEVELS)}")
