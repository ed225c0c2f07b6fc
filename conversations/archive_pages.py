"""The archiver's side towards Redis: which logs are ahead of the archive, what they hold, and that it is copied."""

from typing import Any, NamedTuple

from . import keys, log, store
from .batching import batcher
from .events import Entry, chain_after
from .marks import find_marked

# A page is read by one script, which others wait for; a round of pages becomes one transaction.
PAGE_ENTRIES = 250
ROUND_ENTRIES = 1000
ROUND_BYTES = 2 * 1024 * 1024
KEPT_ENTRIES = 1024


class LogPage(NamedTuple):
    """A log's facts as of now, and its oldest entries after ``after``, all of one instant."""

    conversation_id: str
    epoch: int
    seq: int
    chain: str
    state: str
    cleared: int
    title: str
    topic: str
    language: str
    message_count: int
    preview: str
    active_ms: int
    reads: dict[str, int]  # user id -> seq
    stamp: bytes
    after: int
    entries: list[Entry]
    private: dict[int, bytes]  # seq -> facts that are not on the wire
    members: dict[str, str]  # user id -> role
    joined: dict[str, int]  # user id -> seq, of those who came later


async def find_dirty(most: int) -> list[str]:
    """Return conversations that wait to be copied, over all partitions, the oldest first. Raises Unavailable."""
    return await find_marked(keys.dirty, most)


async def read_pages(archived: dict[str, int]) -> dict[str, LogPage | None]:
    """Return a page of each log after the seq that the archive has, in one pipeline; None where there is no log."""
    count = max(len(archived), 1)
    entries, most_bytes = min(PAGE_ENTRIES, ROUND_ENTRIES // count), ROUND_BYTES // count
    replies = {
        each: batcher().submit("archive_read", log.conversation_keys(each), [seq, max(entries, 1), most_bytes])
        for each, seq in archived.items()
    }
    return {each: _page(each, await reply) for each, reply in replies.items()}


def _page(conversation_id: str, reply: Any) -> LogPage | None:
    if not reply:
        return None
    epoch, seq, chain, state, cleared, facts, flat_reads, stamp, after, rows, members = reply
    reads = log.pairs(flat_reads)
    title, topic, language, count, preview, active_ms = (fact.decode() for fact in facts)
    return LogPage(
        conversation_id,
        epoch,
        seq,
        chain.decode(),
        state.decode(),
        cleared,
        title,
        topic,
        language,
        int(count or 0),
        preview,
        int(active_ms or 0),
        {name[1:]: int(value) for name, value in reads.items() if name[0] == "r"},
        stamp,
        after,
        [Entry(number, hash_.decode(), kind.decode(), body) for number, hash_, kind, body, _ in rows],
        {number: private for number, _, _, _, private in rows if private},
        log.pairs(members),
        {name[1:]: int(value) for name, value in reads.items() if name[0] == "j"},
    )


def continues(page: LogPage, epoch: int, archived_seq: int, archived_chain: str) -> bool:
    """Is this log what the archive holds, and more? If not, one of them was set back and it must be rebuilt."""
    if page.epoch < epoch or page.seq < archived_seq:
        return False
    if page.seq == archived_seq:
        return page.chain == archived_chain
    if not page.entries or page.entries[0].seq != page.after + 1:
        return False
    chain = archived_chain if page.after == archived_seq else ""
    for entry in page.entries:
        if chain and chain_after(chain, entry.body) != entry.chain:
            return False
        chain = entry.chain
    return True


async def confirm_pages(pages: list[LogPage], told: set[str]) -> int:
    """Note what is archived, trim, and take dirty marks off; return how many logs are archived whole.

    The mark stays where the members' feeds are not told yet, so that the next pass does.
    """
    replies = []
    for page in pages:
        archived = page.entries[-1].seq if page.entries else page.seq
        stamp = page.stamp if page.conversation_id in told else b""
        args = [page.conversation_id, page.epoch, archived, stamp, KEPT_ENTRIES]
        replies.append(batcher().submit("archive_done", log.conversation_keys(page.conversation_id), args))
    return sum([await reply == 2 for reply in replies])


async def drop_marks(conversation_ids: list[str]) -> None:
    """Forget dirty marks of logs that are not there."""
    with store.mapped_errors():
        for each in conversation_ids:
            await store.client().zrem(keys.dirty(keys.tag(each)), each)


async def put_off(conversation_id: str, seconds: float) -> None:
    """Let the others go first: this one could not be copied just now."""
    later = await store.now_ms() + seconds * 1000
    with store.mapped_errors():
        await store.client().zadd(keys.dirty(keys.tag(conversation_id)), {conversation_id: later}, xx=True)
