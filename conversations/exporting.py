"""Conversations as files: everything a member may read, oldest first, a page at a time.

Nothing holds more than a page, whatever the length. Each page asks the log for membership anew, so an export ends
where somebody is removed while it runs, as a whole file that says so. What an answer or an edit has taken the place
of is there too, and marked. What whoever exports thinks of an answer stands beside it; what others think does not.
"""

import contextlib
from collections.abc import AsyncIterator
from datetime import tzinfo
from typing import Any, Literal

import orjson

from . import log, people
from .errors import Forbidden
from .events import now_text
from .export_markdown import conversation_end, conversation_head, message_text
from .models import Conversation, Member, User
from .ratings import ratings_of
from .threads import in_database, mapped_errors

Format = Literal["json", "markdown"]
SUFFIX: dict[str, tuple[str, str]] = {
    "json": ("json", "application/json"),
    "markdown": ("md", "text/markdown; charset=utf-8"),
}
PAGE = 100


async def export_conversation(
    user_id: str, conversation_id: str, file_format: Format, zone: tzinfo
) -> AsyncIterator[bytes]:
    """Yield one conversation as a file. Raises Forbidden, before the first bytes where it is not the user's."""
    write = _as_json if file_format == "json" else _as_markdown
    async for part in write(user_id, conversation_id, zone):
        yield part


async def export_everything(user_id: str, file_format: Format, zone: tzinfo) -> AsyncIterator[bytes]:
    """Yield the profile and each conversation of the user, archived ones too, the latest first."""
    profile = await _profile(user_id)
    if file_format == "markdown":
        yield f"# Tether: {profile['username']}\n\n".encode()
    else:
        head = orjson.dumps({"exported_at": now_text(), "user": profile})
        yield head[:-1] + b',"conversations":[\n'
    between = b""
    for conversation_id in await _conversations(user_id):
        begun = False
        try:
            async for part in export_conversation(user_id, conversation_id, file_format, zone):
                yield part if begun else between + part
                begun = True
        except Forbidden:  # left or deleted since the list was read
            continue
        between = b"," if file_format == "json" else b""
    if file_format == "json":
        yield b"]}\n"


@mapped_errors()
async def _profile(user_id: str) -> dict[str, Any]:
    user = await User.objects.aget(pk=user_id)
    return {
        "id": user_id,
        "username": user.username,
        "email": user.email,
        "language": user.language,
        "theme": user.theme,
        "time_zone": user.time_zone,
        "instructions": user.instructions,
        "joined_at": user.date_joined.isoformat(),
    }


@mapped_errors()
async def _conversations(user_id: str) -> list[str]:
    mine = Member.objects.filter(user_id=user_id, left_seq=None, conversation__status=Conversation.Status.ACTIVE)
    return [str(each) async for each in mine.order_by("-pk").values_list("conversation_id", flat=True)]


async def _as_json(user_id: str, conversation_id: str, zone: tzinfo) -> AsyncIterator[bytes]:
    facts = await _facts(user_id, conversation_id)
    yield orjson.dumps(facts)[:-1] + b',"messages":[\n'
    between, complete = b"", b"true"
    try:
        async for page in _pages(user_id, conversation_id, facts["head"]["seq"]):
            yield between + b",\n".join(orjson.dumps(message) for message in page)
            between = b",\n"
    except Forbidden:
        complete = b"false"
    yield b'\n],"complete":' + complete + b"}\n"


async def _as_markdown(user_id: str, conversation_id: str, zone: tzinfo) -> AsyncIterator[bytes]:
    facts = await _facts(user_id, conversation_id)
    yield conversation_head(facts).encode()
    with contextlib.suppress(Forbidden):
        async for page in _pages(user_id, conversation_id, facts["head"]["seq"]):
            yield "".join([message_text(message, zone) for message in page]).encode()
    yield conversation_end().encode()


async def _facts(user_id: str, conversation_id: str) -> dict[str, Any]:
    """Return what stands above the messages. Raises Forbidden for strangers."""
    await log.check_member(conversation_id, user_id)
    brief = await log.brief(conversation_id)
    if brief is None:
        raise Forbidden("This conversation does not exist, or is not yours.")
    names = await people.names(brief.members)
    members = [{"user_id": each, "username": names.get(each, ""), "role": role} for each, role in brief.members.items()]
    return {
        "conversation_id": conversation_id,
        "exported_at": now_text(),
        "title": brief.title,
        "topic": brief.topic,
        "head": brief.head.wire(),
        "members": members,
    }


async def _pages(user_id: str, conversation_id: str, head: int) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield the messages up to the head, oldest first: `seq` has no gaps, so a window of them is a page at most."""
    for low in range(0, head, PAGE):
        found = await _window(user_id, conversation_id, low, min(low + PAGE, head))
        if found:
            names = await people.names({each["author"] for each in found if each["role"] == "user"})
            answers = [each["message_id"] for each in found if each["role"] == "assistant"]
            rated = await in_database(ratings_of, user_id, answers) if answers else {}
            for message in found:
                message |= rated.get(message["message_id"], {})
                if message["role"] == "user":
                    message["author_name"] = names.get(message["author"], "")
            yield found


async def _window(user_id: str, conversation_id: str, low: int, high: int) -> list[dict[str, Any]]:
    """Return the messages with low < seq <= high; large ones come in several replies."""
    found: list[dict[str, Any]] = []
    before, more = high + 1, True
    while more:
        page, more = await log.history(conversation_id, user_id, before_seq=before, limit=high - low)
        fresh = [message for message in page if message["seq"] > low]
        found = fresh + found
        more = more and bool(fresh) and len(fresh) == len(page) and fresh[0]["seq"] > low + 1
        before = fresh[0]["seq"] if fresh else before
    return found
