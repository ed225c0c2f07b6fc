"""A conversation to archive, and ways to look at it from both sides."""

from typing import NamedTuple
from uuid import uuid4

from redis.asyncio import Redis

from conversations import keys, log, services, store
from conversations.archive import Archiver
from conversations.events import Entry
from conversations.log import Cursor, Page
from conversations.messages import append_draft, draft_message
from conversations.models import Event, User
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
) -> list[int]:
    """Append messages and return their seqs."""
    seqs = []
    for number in range(count):
        draft = draft_message(
            user_id=talk.user_id,
            device_id="phone",
            client_id=client_id or uuid4().hex,
            content=f"{text} {number}",
            respond=respond,
            if_seq=None,
            retry=retry,
        )
        seqs.append((await append_draft(talk.conversation_id, talk.user_id, "phone", draft)).seq)
    return seqs


async def archive_all() -> None:
    """Run passes until every log is archived whole."""
    archiver = Archiver("test")
    for _ in range(100):
        await archiver.run_once()
        if not [tag for tag in keys.TAGS if await redis().zcard(keys.dirty(tag))]:
            return
    raise AssertionError("the archiver never finishes")


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


async def start_turn(talk: Talk) -> Claim:
    head = (await log.heads([talk.conversation_id]))[talk.conversation_id]
    assert head.turn is not None
    claimed = await claim(talk.conversation_id, head.turn[0], head.turn[1], "n1")
    assert isinstance(claimed, Claim)
    return claimed
