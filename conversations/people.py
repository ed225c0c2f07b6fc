"""Who people are by name. Names seldom change, so a process remembers them for a minute. All raise Unavailable."""

import time
from collections.abc import Iterable

from django.conf import settings

from .errors import TooLarge
from .models import Member, User
from .threads import mapped_errors

KEPT_SECONDS = 60.0
MOST_KEPT = 10_000
# What the assistant calls somebody whose account was erased.
GONE = "somebody"

_names: dict[str, tuple[str, float]] = {}


@mapped_errors()
async def find(username: str, *, also_disabled: bool = False) -> str | None:
    """Return the id of whoever has this name."""
    found = User.objects.filter(username=username)
    if not also_disabled:
        found = found.filter(is_active=True)
    user_id = await found.values_list("pk", flat=True).afirst()
    return None if user_id is None else str(user_id)


@mapped_errors()
async def has_full_list(user_id: str, *, beside: str = "") -> bool:
    """Whether they have MAX_CONVERSATIONS_PER_USER, the one ``beside`` not counted."""
    mine = Member.objects.filter(user_id=user_id, left_seq=None)
    if beside:
        mine = mine.exclude(conversation_id=beside)
    return bool(await mine.acount() >= settings.MAX_CONVERSATIONS_PER_USER)


async def check_room(user_id: str, *, beside: str = "") -> None:
    """Raise TooLarge where no further conversation fits in their own list. As `has_full_list`."""
    if await has_full_list(user_id, beside=beside):
        raise TooLarge("You have as many conversations as this server allows; delete some first.")


@mapped_errors()
async def names(user_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of those who exist, by id."""
    wanted, now = list(user_ids), time.monotonic()
    unknown = [each for each in wanted if each not in _names or _names[each][1] < now]
    if unknown:
        if len(_names) > MOST_KEPT:
            _names.clear()
        async for pk, username in User.objects.filter(pk__in=unknown).values_list("pk", "username"):
            _names[str(pk)] = (username, now + KEPT_SECONDS)
    return {each: _names[each][0] for each in wanted if each in _names}


async def name(user_id: str) -> str:
    return (await names([user_id])).get(user_id, "")
