"""A conversation to archive, and ways to look at it from both sides."""

import asyncio
from typing import NamedTuple
from unittest import mock
from uuid import uuid4

from asgiref.sync import sync_to_async
from redis.asyncio import Redis

from conversations import feed, keys, log, services, store
from conversations.archive import Archiver
from conversations.events import NO_CHAIN, Entry, chain_after, encode_body
from conversations.log import Appended, Cursor, Page
from conversations.messages import append_draft, draft_message
from conversations.models import Conversation, Event, Member, Message, Turn, User
from conversations.turns import Claim, claim, finish

Archived = list[tuple[int, str, str, bytes]]


class Talk(NamedTuple):
    conversation_id: str
    user_id: str


def redis() -> Redis:
    return store.client()


async def new_talk() -> Talk:
    user = await User.objects.acreate(username=f"u{uuid4().hex[:12]}")
    return Talk(await services.create_conversation(user_id=str(user.pk)), str(user.pk))


async def say(
    talk: Talk, count: int = 1, *, text: str = "hello", respond: bool = False, retry: bool = False, client_id: str = ""
) -> list[Appended]:
    """Append messages, those of one moment together, and return where they are."""
    about = {"respond": respond, "retry": retry}
    return await asyncio.gather(
        *(_append(talk, f"{text} {number}", client_id=client_id, **about) for number in range(count))
    )


async def say_each(talk: Talk, *texts: str, respond: bool = False) -> None:
    """Append these, one after the other."""
    for text in texts:
        await _append(talk, text, respond=respond)


async def _append(talk: Talk, content: str, *, respond: bool, retry: bool = False, client_id: str = "") -> Appended:
    draft = draft_message(
        user_id=talk.user_id,
        device_id="phone",
        client_id=client_id or uuid4().hex,
        content=content,
        respond=respond,
        if_seq=None,
        retry=retry,
    )
    return await append_draft(talk.conversation_id, talk.user_id, "phone", draft)


async def lose_row(conversation_id: str) -> None:
    """Set the database back to before it knew of a conversation; a deletion would erase the log too."""
    for model in (Event, Message, Turn, Member):
        await model._default_manager.filter(conversation=conversation_id).adelete()
    row = Conversation.objects.filter(pk=conversation_id)
    await sync_to_async(row._raw_delete)("default")


async def archive_all() -> None:
    """Run passes until every log is archived whole and every feed told, without the second between two tellings."""
    archiver = Archiver("test")
    with mock.patch.object(feed, "LEAST_GAP_MS", 0):
        async with asyncio.timeout(20):
            while True:
                archived = await archiver.run_once()
                if not any(await asyncio.gather(*(redis().zcard(keys.dirty(tag)) for tag in keys.TAGS))):
                    return
                if not archived:
                    await asyncio.sleep(0.02)  # what was put off is due by Redis' clock: nothing here could wake us


async def stream_of(talk: Talk) -> Archived:
    rows = await redis().xrange(keys.log(talk.conversation_id))
    return [(int(n.split(b"-")[0]), row[b"c"].decode(), row[b"k"].decode(), row[b"b"]) for n, row in rows]


async def bodies_in_archive(talk: Talk) -> Archived:
    rows = Event.objects.filter(conversation_id=talk.conversation_id).order_by("seq")
    return [(row.seq, row.chain, row.kind, row.body.encode()) async for row in rows]


async def replay(talk: Talk, cursor: Cursor) -> list[Entry]:
    """Read on from a cursor to the head, as a device that comes back does."""
    entries: list[Entry] = []
    while True:
        page = await log.read(talk.conversation_id, talk.user_id, cursor)
        assert isinstance(page, Page)
        entries += page.entries
        if page.turns is not None:
            return entries
        cursor = Cursor(page.head.epoch, entries[-1].seq, entries[-1].chain)


async def start_turn(talk: Talk, node: str = "n1") -> Claim:
    head = (await log.heads([talk.conversation_id]))[talk.conversation_id]
    assert head.turn is not None
    claimed = await claim(talk.conversation_id, head.turn[0], head.turn[1], node)
    assert isinstance(claimed, Claim)
    return claimed


async def finish_turn(claimed: Claim, text: str) -> None:
    message_id = str(uuid4())
    data = {
        "message_id": message_id,
        "role": "assistant",
        "author": "assistant",
        "content": text,
        "turn_id": claimed.turn_id,
        "status": "complete",
    }
    await finish(
        claimed,
        message_id=message_id,
        message=encode_body("message", data),
        finished=encode_body("turn.finished", {"turn_id": claimed.turn_id, "status": "done", "message_id": message_id}),
        preview=text,
        usage={"total_tokens": 7},
    )


async def snapshot_of(talk: Talk) -> log.Snapshot:
    return await log.read_snapshot(talk.conversation_id, talk.user_id, reason="new")


async def keys_with(text: str) -> list[bytes]:
    return [key async for key in redis().scan_iter(match=f"*{text}*", count=1000)]


def chain_of(entries: Archived) -> str:
    """Return the running hash of these bodies, which must be the whole log."""
    chain = NO_CHAIN
    for _, _, _, body in entries:
        chain = chain_after(chain, body)
    return chain
