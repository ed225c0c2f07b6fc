"""Finding what was said, by words: in the archive's index, and in what only Redis holds so far.

Membership is the log's, as of now: rows may be a moment behind. Found is what has every word of the query, also in
another form of an English word, and also where the word only begins so. The newest come first.
"""

import re
import sqlite3
from collections import defaultdict
from contextlib import closing
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from . import keys, log
from .batching import batcher
from .errors import InvalidMessage
from .events import message_item
from .gist import SPACELESS, plain_of
from .models import Conversation, Member, Message
from .threads import in_database
from .words_index import FTS, INDEX, RUN, TABLE, pairs

# A word as the index has it: letters of one kind.
WORD = re.compile(rf"[{SPACELESS}]+|[^\W_{SPACELESS}]+")
MOST_WORDS = 16
# The beginning of a word finds it from here on; shorter ones must be whole.
LEAST_PREFIX = 3
SNIPPET_CHARACTERS = 160
BEFORE_WORD_CHARACTERS = 40
ROWS = 200
MOST_ROUNDS = 25
# Only a flood leaves the archive more behind than this.
MOST_FRESH_CONVERSATIONS = 50
MOST_FRESH_ENTRIES = 500


class Query(NamedTuple):
    """Words in small letters; ``runs`` are those of a script without spaces."""

    words: list[str]
    runs: list[str]


class Hit(NamedTuple):
    conversation_id: str
    seq: int
    content: str


async def search_messages(
    *, user_id: str, query: str, conversation_id: str = "", before: str = "", limit: int = 50
) -> dict[str, Any]:
    """Return {items, more}: where it was said, newest first, in the user's conversations or in one of them.

    ``before`` is the last item one has, as `<conversation_id>/<seq>`. Raises InvalidMessage, Unavailable.
    """
    asked = parse(query)
    mark = _mark(before)
    if not asked.words and not asked.runs:
        return {"items": [], "more": False}
    # First what is fresh: it may be archived meanwhile, and is then found twice, not never.
    fresh = await _find_fresh(user_id, conversation_id, asked)
    at, hits = None, _after(fresh, mark)
    if mark is not None and hits is None:  # it is archived
        at, hits = await in_database(_place, mark), []
        if at is None:  # everything from there on was erased
            return {"items": [], "more": False}
    assert hits is not None
    known = {(hit.conversation_id, hit.seq) for hit in hits}
    for _ in range(MOST_ROUNDS):
        rows = await in_database(_find_archived, user_id, conversation_id, asked, at, ROWS)
        for hit in await _standing(user_id, [Hit(*row[1:]) for row in rows if fits(asked, row[3])]):
            if (hit.conversation_id, hit.seq) not in known:
                known.add((hit.conversation_id, hit.seq))
                hits.append(hit)
        if len(rows) < ROWS or len(hits) > limit:
            break
        at = rows[-1][0]
    return {"items": [_item(hit, asked) for hit in hits[:limit]], "more": len(hits) > limit}


def parse(query: str) -> Query:
    found = WORD.findall(query.lower())[:MOST_WORDS]
    runs = [word for word in found if RUN.match(word)]
    return Query([word for word in found if not RUN.match(word)], runs)


def fits(asked: Query, content: str) -> bool:
    """Whether runs stand there as they were asked for: the index knows only that their pairs do."""
    return all(len(run) <= 2 or run in content for run in asked.runs)


def _mark(before: str) -> tuple[str, int] | None:
    if not before:
        return None
    conversation_id, _, seq = before.partition("/")
    try:
        return str(UUID(conversation_id)), int(seq)
    except ValueError:
        raise InvalidMessage("`before` is the last item's conversation_id, a slash, and its seq.") from None


def _after(fresh: list[Hit], mark: tuple[str, int] | None) -> list[Hit] | None:
    """Return the fresh hits that follow the mark, None where it is none of them."""
    if mark is None:
        return fresh
    places = [(hit.conversation_id, hit.seq) for hit in fresh]
    return fresh[places.index(mark) + 1 :] if mark in places else None


def _place(mark: tuple[str, int]) -> int | None:
    # The one before it, where it was erased itself.
    rows = Message.objects.filter(conversation_id=mark[0], seq__lte=mark[1])
    return rows.order_by("-seq").values_list("pk", flat=True).first()


# -- what only Redis holds


async def _find_fresh(user_id: str, conversation_id: str, asked: Query) -> list[Hit]:
    """Return hits that the archive may lack, the newest first."""
    mine = [conversation_id] if conversation_id else await in_database(_conversations_of, user_id)
    unarchived = await _unarchived(mine)
    replies = [
        batcher().submit("fresh", log.conversation_keys(each), [user_id, MOST_FRESH_ENTRIES]) for each in unarchived
    ]
    said: list[tuple[str, Hit]] = []
    for each, reply in zip(unarchived, replies, strict=True):
        for seq, body in await reply:
            message = message_item(seq, body)
            said.append((message["at"], Hit(each, seq, message["content"])))
    said.sort(key=lambda each: each[0], reverse=True)
    return await in_database(matching, asked, [hit for _, hit in said]) if said else []


async def _unarchived(conversation_ids: list[str]) -> list[str]:
    """Return those that are ahead of the archive, the latest to become so first."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for each in conversation_ids:
        by_tag[keys.tag(each)].append(each)
    replies = {tag: batcher().command("ZMSCORE", keys.dirty(tag), *of) for tag, of in by_tag.items()}
    since: list[tuple[float, str]] = []
    for tag, reply in replies.items():
        since += [(float(score), each) for each, score in zip(by_tag[tag], await reply, strict=True) if score]
    return [each for _, each in sorted(since, reverse=True)[:MOST_FRESH_CONVERSATIONS]]


def matching(asked: Query, hits: list[Hit]) -> list[Hit]:
    """Return the hits that have every word, in their order: by an index in memory, of the archive's own kind."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(FTS)
        rows = ((number, pairs(hit.content)) for number, hit in enumerate(hits))
        database.executemany(f"INSERT INTO {INDEX}(rowid, words) VALUES (?, ?)", rows)
        found = database.execute(f"SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH ? ORDER BY rowid", [_fts(asked)])
        return [hits[number] for (number,) in found if fits(asked, hits[number].content)]


async def _standing(user_id: str, hits: list[Hit]) -> list[Hit]:
    """Leave out what was erased, deleted or left a moment ago, of which the rows may not know yet."""
    ids = list({hit.conversation_id for hit in hits})
    replies = [batcher().submit("standing", log.conversation_keys(each), [user_id]) for each in ids]
    # A log that is not in Redis is parked: nothing has happened to it since it was archived.
    standing = {each: await reply or [1, 0] for each, reply in zip(ids, replies, strict=True)}
    return [hit for hit in hits if standing[hit.conversation_id][0] and hit.seq > standing[hit.conversation_id][1]]


# -- the archive


def _seats(user_id: str) -> Any:
    return Member.objects.filter(user_id=user_id, left_seq=None, conversation__status=Conversation.Status.ACTIVE)


def _conversations_of(user_id: str) -> list[str]:
    return [str(each) for each in _seats(user_id).values_list("conversation_id", flat=True)]


def _find_archived(
    user_id: str, conversation_id: str, asked: Query, before_id: int | None, most: int
) -> list[tuple[int, str, int, str]]:
    """Return (id, conversation, seq, content) of archived messages with these words, newest first."""
    said = Message.objects.filter(conversation__in=_seats(user_id).values("conversation_id"))
    if conversation_id:
        said = said.filter(conversation_id=conversation_id)
    if before_id is not None:
        said = said.filter(pk__lt=before_id)
    if connection.vendor == "sqlite":
        found = f"{TABLE}.id IN (SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH %s)"
        said = said.extra(where=[found], params=[_fts(asked)])
    else:
        said = said.extra(where=[f"{TABLE}.words @@ to_tsquery('{INDEX}', %s)"], params=[_tsquery(asked)])
    rows = said.order_by("-pk").values_list("pk", "conversation_id", "seq", "content")[:most]
    return [(pk, str(conversation), seq, content) for pk, conversation, seq, content in rows]


def find_anywhere(query: str, most: int) -> list[int]:
    """Return the keys of the newest archived messages with these words, whoever said them: for operators."""
    asked = parse(query)
    if not asked.words and not asked.runs:
        return []
    if connection.vendor == "sqlite":
        found = f"SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH %s ORDER BY rowid DESC LIMIT %s"
        words = _fts(asked)
    else:
        found = f"SELECT id FROM {TABLE} WHERE words @@ to_tsquery('{INDEX}', %s) ORDER BY id DESC LIMIT %s"
        words = _tsquery(asked)
    with connection.cursor() as cursor:
        cursor.execute(found, [words, most])
        return [pk for (pk,) in cursor.fetchall()]


def _fts(asked: Query) -> str:
    """Return the query for FTS5; its words are letters and digits only."""
    words = [f'"{word}"{"*" if len(word) >= LEAST_PREFIX else ""}' for word in asked.words]
    return " AND ".join(words + [f'"{pair}"{"*" if len(pair) == 1 else ""}' for pair in _pairs_of(asked)])


def _tsquery(asked: Query) -> str:
    """Return the same for PostgreSQL."""
    words = [f"{word}{':*' if len(word) >= LEAST_PREFIX else ''}" for word in asked.words]
    return " & ".join(words + [f"{pair}{':*' if len(pair) == 1 else ''}" for pair in _pairs_of(asked)])


def _pairs_of(asked: Query) -> list[str]:
    """Return the pairs that a run must have; of a single letter, itself."""
    return [run[at : at + 2] for run in asked.runs for at in range(max(1, len(run) - 1))]


# -- what is shown


def _item(hit: Hit, asked: Query) -> dict[str, Any]:
    return {"conversation_id": hit.conversation_id, "seq": hit.seq, "snippet": snippet_of(hit.content, asked)}


def snippet_of(content: str, asked: Query) -> str:
    """Return the content around the first word found, on one line."""
    place = _first_place(content, asked)
    start = max(0, (place or 0) - BEFORE_WORD_CHARACTERS)
    part = content[start : start + 2 * SNIPPET_CHARACTERS]
    shown = plain_of(part)
    # Where the word is in what is not shown, such as the address of a link, the text stands as it is.
    if place is not None and _first_place(shown, asked) is None:
        shown = " ".join(part.split())
    end = "…" if len(shown) > SNIPPET_CHARACTERS or start + 2 * SNIPPET_CHARACTERS < len(content) else ""
    return ("…" if start else "") + shown[:SNIPPET_CHARACTERS] + end


def _first_place(content: str, asked: Query) -> int | None:
    """Return where the first word of the query stands; of an English one perhaps another form, which begins alike."""
    for run in asked.runs:
        if (at := content.find(run)) >= 0:
            return at
    for word in asked.words:
        for length in range(len(word), min(LEAST_PREFIX, len(word)) - 1, -1):
            if found := re.search(rf"(?<![^\W_]){re.escape(word[:length])}", content, re.IGNORECASE):
                return found.start()
    return None
