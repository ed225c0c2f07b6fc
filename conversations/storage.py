"""What lies in Redis, by kind, and what nobody owns: a key has a time to live, or somebody who deletes it.

Every kind of key that the product writes stands in KINDS. A key is an orphan if it stays for ever although what it
belongs to is gone, or is of no kind at all.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import keys, store
from .models import Conversation, User
from .threads import in_database

SCAN_COUNT = 1000
ROWS_AT_ONCE = 500

ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TAG = r"\{p\d\d\}"
THREAD = "finish prunes it; 30 days after use; clear, erase"


class Kind(NamedTuple):
    """``ends``: who deletes such a key, or when it expires. ``expires``: it always has a time to live.

    The pattern's group `conversation`, `thread`, `turn` or `user` names what such a key belongs to.
    """

    name: str
    pattern: str
    ends: str
    expires: bool = False


KINDS = [
    Kind("log", rf"{TAG}:log:(?P<conversation>{ID})", "trimmed once archived; parked, erased"),
    Kind("meta", rf"{TAG}:meta:(?P<conversation>{ID})", "parked, erased"),
    Kind("members", rf"{TAG}:members:(?P<conversation>{ID})", "parked, erased"),
    Kind("reads", rf"{TAG}:reads:(?P<conversation>{ID})", "parked, erased"),
    Kind("turns", rf"{TAG}:turns:(?P<conversation>{ID})", "the last unfinished turn's end"),
    Kind("superseded", rf"{TAG}:superseded:(?P<conversation>{ID})", "cleared, parked, erased"),
    Kind("sent", rf"{TAG}:sent:{ID}:.*", "7 days, commands 24 h", expires=True),
    Kind("bringing", rf"{TAG}:bringing:{ID}", "5 s", expires=True),
    Kind("turn", rf"{TAG}:turn:(?P<turn>{ID})", "the turn's end"),
    Kind("pieces", rf"{TAG}:pieces:(?P<turn>{ID})", "the turn's end"),
    Kind("checkpoint", rf"{TAG}:checkpoint:(?P<thread>{ID}):.*", THREAD),
    Kind("checkpoint_writes", rf"{TAG}:checkpoint_writes:(?P<thread>{ID}):.*", THREAD),
    Kind("checkpoint_heads", rf"{TAG}:checkpoint_heads:(?P<thread>{ID})", THREAD),
    Kind("checkpoint_order", rf"{TAG}:checkpoint_order:(?P<thread>{ID})", THREAD),
    Kind("recap", rf"{TAG}:recap:{ID}", "30 days after it was written; cleared, erased", expires=True),
    Kind("queues", rf"{TAG}:(due|dirty|erase|erasing|parked)", "empty when nothing waits; one a partition"),
    Kind("feed", r"\{u:(?P<user>\d+)\}:(feed|feedmeta)", "newest 1,000; the user's deletion"),
    Kind("told", rf"\{{u:\d+\}}:told:{ID}", "a day", expires=True),
    Kind("joined", rf"\{{u:\d+\}}:joined:{ID}", "a day", expires=True),
    Kind("command", r"\{u:\d+\}:command:.*", "24 h", expires=True),
    Kind("wishes", r"\{u:\d+\}:wishes", "a day; the user's deletion", expires=True),
    Kind("memory", r"memory:\w+", "CHAT_MEMORY_DAYS after it was last read; the user's deletion", expires=True),
    Kind("bucket", r"\{u:\d+\}:bucket:\w+", "when it is full again", expires=True),
    Kind("first", r"\{u:\d+\}:first", "seconds", expires=True),
    Kind("conns", r"\{[ua]:[^}]*\}:conns", "30 s without renewal", expires=True),
    Kind("revocations", re.escape(keys.REVOCATIONS), "newest 10,000"),
    Kind("node", r"node:.*", "6 s", expires=True),
    Kind("nodes", re.escape(keys.NODES), "nodes that are a day gone; one for ever"),
    Kind("notices", re.escape(keys.NOTICES), "20 notices; what is over goes with the next one"),
    Kind("audit", re.escape(keys.AUDIT), "newest 100"),
    Kind("audit_stones", re.escape(keys.AUDIT_STONES), "one for 100 entries of the audit journal, for ever"),
    Kind("cache", r"tether:cache:.*", "minutes, as whoever writes says", expires=True),
    Kind("archiver", re.escape(keys.ARCHIVER), "5 s", expires=True),
    Kind("verified", re.escape(keys.VERIFIED), "one string for ever"),
    Kind("database", re.escape(keys.DATABASE), "one string for ever"),
]
_PATTERNS = [(kind, re.compile(kind.pattern)) for kind in KINDS]


@dataclass
class Usage:
    keys: int = 0
    bytes: int = 0
    expiring: int = 0  # keys with a time to live


class Orphan(NamedTuple):
    key: str
    bytes: int
    reason: str


@dataclass
class Storage:
    """``kinds`` in the order of KINDS, only those that there are; `unknown` last."""

    kinds: dict[str, Usage] = field(default_factory=dict)
    orphans: list[Orphan] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(usage.bytes for usage in self.kinds.values())


class Suspect(NamedTuple):
    """A key without a time to live, and what it belongs to."""

    key: str
    bytes: int
    kind: Kind | None
    owner: dict[str, Any]


def kind_of(key: str) -> tuple[Kind | None, dict[str, Any]]:
    """Return the key's kind and what it belongs to, by the name of the group."""
    for kind, pattern in _PATTERNS:
        if match := pattern.fullmatch(key):
            return kind, match.groupdict()
    return None, {}


async def measure(conversation_id: str = "") -> Storage:
    """Walk all keys, or those of one conversation, and return what they take. Raises Unavailable.

    May run while the server works: what is taken for an orphan is looked at once more.
    """
    found: dict[str, Usage] = {}
    suspects: list[Suspect] = []
    async for names in _walk(conversation_id):
        for name, size, ttl_ms in await _sizes(names):
            kind, owner = kind_of(name)
            usage = found.setdefault(kind.name if kind else "unknown", Usage())
            usage.keys += 1
            usage.bytes += size
            usage.expiring += ttl_ms >= 0
            if ttl_ms < 0:
                suspects.append(Suspect(name, size, kind, owner))
    order = [*(kind.name for kind in KINDS), "unknown"]
    return Storage({name: found[name] for name in order if name in found}, await _orphans(suspects))


async def _walk(conversation_id: str) -> AsyncIterator[list[str]]:
    """Yield the names of keys, some at a time and each once."""
    seen: set[bytes] = set()
    if conversation_id:
        tag = keys.tag(conversation_id)
        turn_ids = await _turn_ids([keys.turns(conversation_id)])
        yield [f"{tag}:{kind}:{turn_id}" for turn_id in sorted(turn_ids) for kind in ("turn", "pieces")]
    names: list[str] = []
    with store.mapped_errors():
        match = f"*{conversation_id}*" if conversation_id else None
        async for key in store.client().scan_iter(match=match, count=SCAN_COUNT):
            if key in seen:  # a walk may meet a key twice
                continue
            seen.add(key)
            names.append(key.decode(errors="replace"))
            if len(names) == SCAN_COUNT:
                yield names
                names = []
    yield names


async def _sizes(names: list[str]) -> list[tuple[str, int, int]]:
    """Return (name, bytes, ms to live) of those that are still there; -1: for ever."""
    with store.mapped_errors():
        async with store.client().pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.memory_usage(name, samples=0)
                pipeline.pttl(name)
            replies = await pipeline.execute()
    sizes = zip(names, replies[::2], replies[1::2], strict=True)
    return [(name, int(size), int(ttl_ms)) for name, size, ttl_ms in sizes if size is not None and ttl_ms != -2]


async def _orphans(suspects: list[Suspect]) -> list[Orphan]:
    """Return those that nobody will ever delete, by what is true now."""
    conversations = _owners(suspects, "conversation")
    living = await _existing([keys.meta(each) for each in conversations])
    rows = await in_database(_known, Conversation, sorted(conversations))
    users = await in_database(_known, User, sorted(_owners(suspects, "user")))
    turn_ids = await _turn_ids([suspect.key for suspect in suspects if suspect.kind and suspect.kind.name == "turns"])
    threads = _owners(suspects, "thread")
    busy = await _existing([keys.turns(each) for each in threads])

    def reason(suspect: Suspect) -> str:
        owner = suspect.owner
        if suspect.kind is None:
            return "of no kind that the product writes"
        if suspect.kind.expires:
            return "should have a time to live"
        if conversation := owner.get("conversation"):
            if keys.meta(conversation) not in living:
                return "its log is gone"
            return "" if conversation in rows else "the database does not know its conversation"
        if (thread := owner.get("thread")) and keys.turns(thread) not in busy:
            return "no turn waits, so it should have a time to live"
        if (turn_id := owner.get("turn")) and turn_id not in turn_ids:
            return "its turn is over"
        if (user := owner.get("user")) and user not in users:
            return "its user is gone"
        return ""

    found = [Orphan(each.key, each.bytes, why) for each in suspects if (why := reason(each))]
    there = {name for name, _, ttl_ms in await _sizes([orphan.key for orphan in found]) if ttl_ms < 0}
    return [orphan for orphan in found if orphan.key in there]


def _owners(suspects: list[Suspect], group: str) -> set[str]:
    return {suspect.owner[group] for suspect in suspects if suspect.owner.get(group)}


async def _turn_ids(names: list[str]) -> set[str]:
    """Return the unfinished turns in these lists."""
    with store.mapped_errors():
        async with store.client().pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.lrange(name, 0, -1)
            return {each.decode() for found in await pipeline.execute() for each in found}


async def _existing(names: list[str]) -> set[str]:
    with store.mapped_errors():
        async with store.client().pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.exists(name)
            return {name for name, there in zip(names, await pipeline.execute(), strict=True) if there}


def _known(model: type[Conversation] | type[User], ids: list[str]) -> set[str]:
    found: set[str] = set()
    for index in range(0, len(ids), ROWS_AT_ONCE):
        rows = model._default_manager.filter(pk__in=ids[index : index + ROWS_AT_ONCE])
        found |= {str(pk) for pk in rows.values_list("pk", flat=True)}
    return found
