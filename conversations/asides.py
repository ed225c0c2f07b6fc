"""What stands between the messages: who came and went, decisions, topics, answers that failed. Entries of the log.

A reader who was not there gets them with a snapshot, a page of the history or the page's first paint, and sees what
those saw who were. Synchronous where it says so.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import orjson
from django.db.models import Q

from . import log, superseding
from .errors import Unavailable
from .models import Event
from .superseding import Range
from .threads import in_database

KINDS = ("history.cleared", "topic.switched", "member.joined", "member.left", "turn.answered", "turn.finished")
# As lua/asides.lua leaves them out, too: an answer says by itself that it is done.
DONE = '"status":"done"'
MOST = 100
# Beside the messages of a frame. What somebody answered may be long; nobody reads it here.
MOST_BYTES = 24 * 1024


async def read_asides(
    conversation_id: str, user_id: str, *, from_seq: int, before_seq: int = 0
) -> list[dict[str, Any]]:
    """Return the newest 100 between two places (before 0: to the head), oldest first, as {seq, at, event, data}.

    What gave way with the messages around it is left out. Where the database does not answer, only what Redis still
    holds is there. Raises Forbidden, Unavailable.
    """
    reply = await log.call("asides", conversation_id, [], [user_id, from_seq, before_seq, MOST, DONE, *KINDS])
    _, newest, first_kept, cleared, is_superseded = reply
    found = [(seq, body.decode()) for seq, body in newest]
    from_seq = max(from_seq, cleared, 1)  # where the stream begins there, nobody else is asked
    before_seq = min(before_seq or first_kept, first_kept)
    if len(found) < MOST and from_seq < before_seq:
        with suppress(Unavailable):
            found += await in_database(archived_asides, conversation_id, from_seq, before_seq)
    ranges = await superseding.read_ranges(conversation_id, from_seq) if is_superseded else []
    return fitting(found[:MOST], ranges)


def archived_asides(conversation_id: str, from_seq: int, before_seq: int) -> list[tuple[int, str]]:
    """Return (seq, body) of the archive's newest, newest first. Synchronous."""
    rows = Event.objects.filter(conversation_id=conversation_id, seq__gte=from_seq, seq__lt=before_seq, kind__in=KINDS)
    rows = rows.exclude(Q(kind="turn.finished") & Q(body__contains=DONE))
    return list(rows.order_by("-seq").values_list("seq", "body")[:MOST])


def fitting(newest: Iterable[tuple[int, str]], ranges: list[Range]) -> list[dict[str, Any]]:
    """Return those that are to be seen, oldest first, as many as there is room for."""
    shown: list[dict[str, Any]] = []
    room = MOST_BYTES
    for seq, body in newest:
        entry = {"seq": seq, **orjson.loads(body)}
        gave_way = any(each.from_seq <= seq <= each.to_seq for each in ranges)
        if _says_something(entry) and not gave_way and len(body) <= room:
            room -= len(body)
            shown.append(entry)
    return shown[::-1]


def _says_something(entry: dict[str, Any]) -> bool:
    """A cancelled answer that left a message says it there."""
    data = entry["data"]
    return entry["event"] != "turn.finished" or data["status"] == "failed" or "message_id" not in data
