"""A user's own log, for sidebars: which conversations exist and what is new in them.

It lies in another slot than the conversations, so it is written after an append by the node that made it, and
again when the conversation is archived, so that a crash in between drops nothing. A head is told once.
"""

import asyncio
import contextlib
from typing import Any, NamedTuple

import orjson
import structlog

from . import keys, log
from .announce import tell_users
from .batching import batcher
from .errors import Forbidden
from .events import Entry, Position, feed_frame

MOST_ENTRIES = 1000
READ_ENTRIES = 500
LEAST_GAP_MS = 950
TELL_SECONDS = 0.5

logger = structlog.get_logger(__name__)


class FeedPage(NamedTuple):
    """Entries after a cursor; None where the cursor is of no use."""

    head: Position
    entries: list[Entry] | None


async def push(
    user_id: str,
    kind: str,
    data: dict[str, Any],
    *,
    head: int | None = None,
    told: str = "",
    gap_ms: int = 0,
) -> bool:
    """Add an entry to the user's feed and announce it. With a head: once for it.

    ``told`` is the key that remembers the head, if not the usual one. Returns False where it is sooner than ``gap_ms``
    after the last one and should be tried again. Raises Unavailable.
    """
    body = orjson.dumps({"event": kind, "data": data})
    if head is not None:
        told = told or keys.told(user_id, data["conversation_id"])
    reply = await batcher().submit(
        "feed_push",
        [keys.feed(user_id), keys.feed_meta(user_id), told or keys.feed_meta(user_id)],
        [kind, body, "" if head is None else head, gap_ms, MOST_ENTRIES],
    )
    if reply[0] == 1:
        epoch, seq, chain = reply[1], reply[2], reply[3].decode()
        frame = feed_frame(epoch, seq, chain, body)
        tell_users([user_id], {"type": "feed", "e": epoch, "s": seq, "h": chain, "f": frame})
    return bool(reply[0] != -1)


async def read(user_id: str, cursor: Position | None, *, most_bytes: int = log.PAGE_BYTES) -> FeedPage:
    """Return up to 500 entries after the cursor that fit, or only the head where there is no cursor."""
    args: list[Any] = ["", "", ""] if cursor is None else [cursor.epoch, cursor.seq, cursor.chain]
    reply = await batcher().submit("feed_read", [keys.feed(user_id), keys.feed_meta(user_id)], [*args, READ_ENTRIES])
    epoch, seq, chain, rows = reply
    entries = None if rows is None else log.cut([Entry(n, c.decode(), "", body) for n, c, body in rows], most_bytes)
    return FeedPage(Position(epoch, seq, chain.decode()), entries)


async def heads(user_ids: list[str]) -> dict[str, Position]:
    """Return where the users' feeds are, in one write."""
    futures = [
        batcher().submit("feed_read", [keys.feed(each), keys.feed_meta(each)], ["", "", "", 0]) for each in user_ids
    ]
    found = {}
    for user_id, future in zip(user_ids, futures, strict=True):
        epoch, seq, chain, _ = await future
        found[user_id] = Position(epoch, seq, chain.decode())
    return found


async def recent_conversations(user_id: str, most: int = 100) -> list[str]:
    """Return the conversations that the newest feed entries speak of, newest first."""
    from . import store  # the log's batcher knows scripts only

    with store.mapped_errors():
        rows = await store.client().xrevrange(keys.feed(user_id), count=most)
    found: dict[str, None] = {}
    for _, fields in rows:
        conversation_id = orjson.loads(fields[b"b"])["data"].get("conversation_id")
        if conversation_id:
            found[conversation_id] = None
    return list(found)


async def tell_updated(conversation_id: str) -> bool:
    """Tell each member's feed where the conversation is now, at most once a second.

    Returns False if some must be told again later.
    """
    brief = await log.brief(conversation_id)
    if brief is None:
        return True
    done = True
    for user_id in brief.members:
        data = {
            "conversation_id": conversation_id,
            "head": brief.head.wire(),
            "title": brief.title,
            "preview": brief.preview,
            "unread": brief.unread.get(user_id, 0),
            "read_seq": brief.read.get(user_id, 0),
        }
        done &= await push(user_id, "conversation.updated", data, head=brief.head.seq, gap_ms=LEAST_GAP_MS)
    return done


async def tell_joined(user_id: str, conversation_id: str, seq: int) -> None:
    """Tell a newcomer's feed, once, of the conversation that they are in since this seq, if they still are."""
    brief = await log.brief(conversation_id)
    if brief is None or user_id not in brief.members:
        return
    data = {
        "conversation_id": conversation_id,
        "title": brief.title,
        "topic": brief.topic,
        "head": brief.head.wire(),
    }
    told = keys.told_joined(user_id, conversation_id)
    await push(user_id, "conversation.created", data, head=seq, told=told)


async def tell_left(user_id: str, conversation_id: str, seq: int) -> None:
    """Tell the feed of somebody who is no member since this seq, once: it is gone from their list.

    As the head that was told last, so that no older news of it comes afterwards.
    """
    await push(user_id, "conversation.deleted", {"conversation_id": conversation_id}, head=seq)


class Teller:
    """Tells feeds about the conversations that this node wrote to, each at most once a second."""

    def __init__(self) -> None:
        self._news: set[str] = set()

    def note(self, conversation_id: str) -> None:
        self._news.add(conversation_id)

    async def run(self) -> None:
        """Tell what is new, until cancelled. What a crash drops here the archiver tells again."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            news, self._news = self._news, set()
            results = await asyncio.gather(*(self._tell(each) for each in news))
            self._news |= {each for each, done in zip(news, results, strict=True) if not done}

    async def _tell(self, conversation_id: str) -> bool:
        try:
            with contextlib.suppress(Forbidden):
                return await tell_updated(conversation_id)
            return True
        except Exception as error:  # whatever it is, the other feeds must be told, and this one later
            logger.warning("feed.late", conversation_id=conversation_id, error=repr(error))
            return False


teller = Teller()
