"""The log of a conversation: append, read, head. Everything else is a hint or a copy of it.

Durable before visible: Redis answers a script only after its fsync; only then do we announce.
A log that is not in Redis is brought back from the archive (restoring.py), or does not exist: Forbidden.
Shapes and arguments of the scripts stand at the top of each file in lua/.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
from django.conf import settings

from . import keys, restoring, superseding
from .announce import tell_entries
from .assistant import keys as checkpoint_keys
from .batching import batcher
from .errors import Conflict, Forbidden, TetherError, TooLarge
from .events import NO_CHAIN, Entry, Position, encode_body, message_item, now_text

NEW = Position(1, 0, NO_CHAIN)
SENT_TTL_SECONDS = 7 * 24 * 3600
COMMAND_TTL_SECONDS = 24 * 3600
UNDO_SECONDS = 30
MOST_MISSED = 10_000
PAGE_ENTRIES = 500
PAGE_BYTES = 96 * 1024
# What a frame puts around an entry's body: names, id, position. As in lua/read.lua.
ENVELOPE_BYTES = 140
# A script holds Redis up: so many messages take about a millisecond.
MOST_TOGETHER = 100
SNAPSHOT_MESSAGES = 50
SNAPSHOT_BYTES = 192 * 1024


def cut(entries: list[Entry], most_bytes: int) -> list[Entry]:
    """Return the first entries whose frames fit, at least one."""
    size = 0
    for index, entry in enumerate(entries):
        size += len(entry.body) + ENVELOPE_BYTES
        if size > most_bytes and index:
            return entries[:index]
    return entries


class TurnView(NamedTuple):
    """A turn in flight as `opened` shows it: pieces 1..n joined are the text."""

    turn_id: str
    attempt: int
    status: str
    n: int
    text: str
    interrupts: list[dict[str, Any]]

    def wire(self) -> dict[str, Any]:
        return self._asdict()


class Page(NamedTuple):
    """Entries after a cursor. ``turns`` is None while more entries follow."""

    head: Position
    entries: list[Entry]
    turns: list[TurnView] | None


class Snapshot(NamedTuple):
    reason: str
    head: Position
    title: str
    topic: str
    members: dict[str, str]
    messages: list[dict[str, Any]]
    more: bool
    turns: list[TurnView]
    names: dict[str, str] = {}  # of members, where they are known
    entries: list[dict[str, Any]] = []  # between the messages: asides.py


class Cursor(NamedTuple):
    """What a client says it has: an epoch of None means 'from the start', without a check."""

    epoch: int | None
    seq: int
    chain: str


def conversation_keys(conversation_id: str, *more: str) -> list[str]:
    """Return the keys that every script of a conversation takes, in shared.lua's order, then more."""
    tag = keys.tag(conversation_id)
    return [
        keys.meta(conversation_id),
        keys.log(conversation_id),
        keys.members(conversation_id),
        keys.reads(conversation_id),
        keys.turns(conversation_id),
        keys.due(tag),
        keys.dirty(tag),
        *more,
    ]


async def call(name: str, conversation_id: str, more: list[str], args: list[Any]) -> Any:
    """Run a script of a conversation; bring the log back from the archive and try again where it is missing.

    Raises Forbidden for a deleted or unknown conversation or a stranger, Conflict with the head,
    Unavailable (retryable; the script may have run).
    """
    script_keys = conversation_keys(conversation_id, *more)
    reply = await batcher().submit(name, script_keys, args)
    if reply[0] == b"MISSING" and await restoring.bring_back(conversation_id):
        reply = await batcher().submit(name, script_keys, args)
    return checked(reply)


def checked(reply: Any) -> Any:
    """Raise the refusal that a script's reply names, or return the reply."""
    match reply[0]:
        case b"MISSING" | b"DELETED" | b"FORBIDDEN" | b"GONE":
            raise Forbidden("This conversation does not exist, or is not yours.")
        case b"CONFLICT":
            head = Position(reply[1], reply[2], reply[3].decode())
            raise Conflict("Something else happened here first.", data={"head": head.wire()})
    return reply


# Made for every message: plain classes, since a named tuple is made by interpreted code.
class Draft:
    """A message to append. ``turn_id`` is empty where nobody is asked for an answer."""

    def __init__(
        self,
        client_id: str,
        message_id: str,
        turn_id: str,
        body: bytes,
        preview: str,
        title: str,
        if_seq: int | None,
        retry: bool,
    ) -> None:
        self.client_id = client_id
        self.message_id = message_id
        self.turn_id = turn_id
        self.body = body
        self.preview = preview
        self.title = title
        self.if_seq = if_seq
        self.retry = retry


class Appended:
    """Where a message is. A duplicate has the first one's position; ``is_next``: its turn may be claimed now."""

    def __init__(
        self,
        seq: int,
        message_id: str,
        duplicate: bool,
        epoch: int = 0,
        chain: str = "",
        is_next: bool = False,
        members: tuple[str, ...] = (),
    ) -> None:
        self.seq = seq
        self.message_id = message_id
        self.duplicate = duplicate
        self.epoch = epoch
        self.chain = chain
        self.is_next = is_next
        self.members = members


FindSent = Callable[[str, str, str], Awaitable[tuple[int, str] | None]]


async def append_messages(
    conversation_id: str, user_id: str, device_id: str, drafts: list[Draft], *, find_sent: FindSent
) -> list[Appended | TetherError]:
    """Append a user's messages in order, durable, and queue their turns; once for each client_id.

    Returns for each where it is, or the error that refused it: Forbidden, Conflict (if_seq is stale), TooLarge
    (conversation full), Unavailable. Cancelled or Unavailable: send again with the same client_id.
    ``find_sent`` asks the archive for (conversation, user, client_id) where Redis has forgotten.
    Not announced: see `announce_appended`.
    """
    done: list[Appended | TetherError] = []
    for together in _together(drafts):
        try:
            if together[0].retry or together[0].if_seq is not None:
                done.append(await _append_checked(conversation_id, user_id, device_id, together[0], find_sent))
            else:
                done += await _append(conversation_id, user_id, device_id, together)
        except TetherError as error:
            done += [error] * len(together)
    return done


def _together(drafts: list[Draft]) -> list[list[Draft]]:
    """Return the drafts in order, those that one script call can append together."""
    groups: list[list[Draft]] = []
    is_open = False
    for draft in drafts:
        plain = not draft.retry and draft.if_seq is None
        if plain and is_open and len(groups[-1]) < MOST_TOGETHER:
            groups[-1].append(draft)
        else:
            groups.append([draft])
        is_open = plain
    return groups


async def _append_checked(
    conversation_id: str, user_id: str, device_id: str, draft: Draft, find_sent: FindSent
) -> Appended | TetherError:
    found = await _append(conversation_id, user_id, device_id, [draft])
    if not found:
        known = await find_sent(conversation_id, user_id, draft.client_id)
        if known is not None:
            return Appended(*known, duplicate=True)
        found = await _append(conversation_id, user_id, device_id, [draft], is_new=True)
    return found[0]


async def _append(
    conversation_id: str, user_id: str, device_id: str, drafts: list[Draft], *, is_new: bool = False
) -> list[Appended | TetherError]:
    """Run the script; an empty list means: ask the archive, and call again with ``is_new`` if it knows of none."""
    first = drafts[0]
    args: list[Any] = [
        user_id,
        device_id,
        "" if first.if_seq is None else first.if_seq,
        "1" if first.retry and not is_new else "",
        settings.MAX_MESSAGES_PER_CONVERSATION,
        SENT_TTL_SECONDS,
        first.title,
    ]
    for draft in drafts:
        args += (draft.client_id, draft.message_id, draft.turn_id, draft.preview, draft.body)
    reply = await batcher().submit("append", [keys.meta(conversation_id)], args)
    if reply[0] == b"MISSING" and await restoring.bring_back(conversation_id):
        reply = await batcher().submit("append", [keys.meta(conversation_id)], args)
    if reply[0] == b"ASK_ARCHIVE":
        return []
    checked(reply)
    epoch, members = reply[1], tuple([member.decode() for member in reply[2]])
    return [_appended(epoch, members, *each) for each in zip(drafts, reply[3], strict=True)]


def _appended(epoch: int, members: tuple[str, ...], draft: Draft, result: list[Any]) -> Appended | TetherError:
    match result:
        case [seq, chain, is_next]:
            return Appended(seq, draft.message_id, False, epoch, chain.decode(), is_next == 1, members)
        case [first]:
            seq, message_id = first.decode().split(" ")
            return Appended(int(seq), message_id, duplicate=True)
    return TooLarge("This conversation is full; start a new one.")


def announce_appended(conversation_id: str, appended: list[tuple[Appended, Draft]]) -> None:
    """Tell the members' sockets; those of one moment in one announcement."""
    new = [(where, draft) for where, draft in appended if not where.duplicate]
    if new:
        entries = [(where.seq, where.chain, "message", draft.body) for where, draft in new]
        tell_entries(new[-1][0].members, conversation_id, new[-1][0].epoch, entries)


async def note(
    conversation_id: str,
    user_id: str,
    *,
    once: str,
    kind: str,
    body: bytes,
    role: str = "",
    field: str = "",
    value: str = "",
) -> None:
    """Append an entry that a command asked for, once for each ``once``, keep one meta field, and announce it.

    Raises Forbidden for strangers and for members without the role.
    """
    more = [keys.sent(conversation_id, user_id, f"cmd.{once}")]
    reply = await call(
        "note",
        conversation_id,
        more,
        [conversation_id, user_id, role, kind, body, field, value, COMMAND_TTL_SECONDS],
    )
    _announce_one(conversation_id, reply, kind, body)


async def clear(conversation_id: str, user_id: str, *, once: str, body: bytes) -> int:
    """Erase everything before a new `history.cleared` entry from the stream; return that entry's seq, 0 if repeated.

    The checkpoints go in the same script. Raises Forbidden, Conflict while a turn is in flight.
    """
    more = [keys.sent(conversation_id, user_id, f"cmd.{once}")]
    more += [checkpoint_keys.heads(conversation_id), checkpoint_keys.order(conversation_id)]
    more += [checkpoint_keys.recap(conversation_id)]
    args: list[Any] = [conversation_id, user_id, body, COMMAND_TTL_SECONDS]
    args += [checkpoint_keys.prefix(conversation_id), checkpoint_keys.writes_prefix(conversation_id)]
    reply = await call("clear", conversation_id, more, args)
    _announce_one(conversation_id, reply, "history.cleared", body)
    return 0 if reply[0] == b"DUPLICATE" else int(reply[2])


async def check_member(conversation_id: str, user_id: str) -> list[str]:
    """Return all members' ids. Raises Forbidden for strangers, and where there is nothing."""
    reply = await call("member", conversation_id, [], [user_id])
    return [member.decode() for member in reply[2]]


async def delete(
    conversation_id: str, user_id: str, device_id: str, *, once: str, only_alone: bool = False
) -> list[str] | None:
    """Hide the conversation at once, end its turns as cancelled; erased after UNDO_SECONDS. Returns the members.

    What was written of an answer is its message, so that a restored conversation has it.

    None where it is to be done ``only_alone`` and there are others; nobody where this is a repeat of a deletion that
    was undone since. Then nothing is done. Raises Forbidden for everybody but the owner.
    """
    body = encode_body("conversation.deleted", {})
    tag = keys.tag(conversation_id)
    args = [conversation_id, user_id, body, now_text(), device_id, UNDO_SECONDS * 1000, tag]
    args += ["alone" if only_alone else "", COMMAND_TTL_SECONDS, str(uuid4()), SENT_TTL_SECONDS]
    more = [keys.erase(tag), keys.sent(conversation_id, user_id, f"cmd.{once}")]
    reply = await call("delete", conversation_id, more, args)
    if reply[0] == b"AGAIN":
        return None
    members = [member.decode() for member in reply[3]]
    for seq, chain, entry_body, kind, turn_id in reply[2]:
        entry = Entry(seq, chain.decode(), kind.decode(), entry_body)
        tell_entries(members, conversation_id, reply[1], [entry], turn=(turn_id.decode(), 0))
    return members


async def restore(conversation_id: str, user_id: str, *, once: str) -> list[str]:
    """Undo a deletion before it is carried out. Returns the members; nobody for a repeat that was deleted again since.

    Raises Forbidden, also when it is too late.
    """
    more = [keys.erase(keys.tag(conversation_id)), keys.sent(conversation_id, user_id, f"cmd.{once}")]
    reply = await call("restore", conversation_id, more, [conversation_id, user_id, COMMAND_TTL_SECONDS])
    return [member.decode() for member in reply[1]]


async def wishes(conversation_id: str, user_id: str, changes: dict[str, str] | None = None) -> tuple[str, str]:
    """Return (model, instructions) of the conversation, after the changes, which only the owner may make.

    Raises Forbidden.
    """
    args: list[Any] = [user_id]
    for field, value in (changes or {}).items():
        args += [field, value]
    reply = await call("wishes", conversation_id, [], args)
    return reply[1].decode(), reply[2].decode()


async def mark_read(conversation_id: str, user_id: str, seq: int) -> tuple[int, int]:
    """Note what the member has read, never backwards. Returns (seq read, messages unread)."""
    reply = await call("mark_read", conversation_id, [], [user_id, seq, conversation_id])
    return reply[1], reply[2]


def _announce_one(conversation_id: str, reply: Any, kind: str, body: bytes) -> None:
    if reply[0] == b"DUPLICATE":
        return
    _, epoch, seq, chain, members = reply
    tell_entries(
        [member.decode() for member in members],
        conversation_id,
        epoch,
        [Entry(seq, chain.decode(), kind, body)],
    )


async def read(
    conversation_id: str, user_id: str, cursor: Cursor | None, *, most_bytes: int = PAGE_BYTES
) -> Page | Snapshot:
    """Return the entries after the cursor, a page at a time, or a snapshot where the cursor is of no use.

    The last page and a snapshot carry the turns in flight, read at the same instant as the head.
    Costs what is missed, not what the conversation holds. Raises Forbidden, Unavailable.
    """
    args: list[Any] = [user_id, "", "", ""]
    if cursor is not None:
        args = [user_id, "" if cursor.epoch is None else cursor.epoch, cursor.seq, cursor.chain]
    args += [
        PAGE_ENTRIES,
        most_bytes,
        keys.tag(conversation_id),
        MOST_MISSED,
        SNAPSHOT_MESSAGES,
        SNAPSHOT_BYTES,
    ]
    reply = await call("read", conversation_id, [], args)
    if reply[0] == b"SNAPSHOT":
        return await _snapshot(conversation_id, reply)
    if reply[0] == b"BELOW":
        assert cursor is not None
        found = await restoring.read_below(conversation_id, cursor, first_kept=reply[4], most_bytes=most_bytes)
        if found is None:
            return await read_snapshot(conversation_id, user_id, reason="diverged")
        if not found:  # only the cursor's own entry was below the stream, and it is right
            return await read(conversation_id, user_id, cursor._replace(chain=""), most_bytes=most_bytes)
        return Page(Position(reply[1], reply[2], reply[3].decode()), found, None)
    head = Position(reply[1], reply[2], reply[3].decode())
    entries = [Entry(seq, chain.decode(), kind.decode(), body) for seq, chain, kind, body in reply[4]]
    return Page(head, entries, _turns(reply[5]) if len(reply) > 5 else None)


async def read_snapshot(conversation_id: str, user_id: str, *, reason: str) -> Snapshot:
    found = await read(conversation_id, user_id, None)
    assert isinstance(found, Snapshot)
    return found._replace(reason=reason)


async def _snapshot(conversation_id: str, reply: Any) -> Snapshot:
    _, reason, epoch, seq, chain, cleared, title, topic, count, members, newest, turns, is_superseded = reply
    messages = [message_item(number, body) for number, body in reversed(newest)]
    if len(messages) < min(SNAPSHOT_MESSAGES, count):
        before = messages[0]["seq"] if messages else seq + 1
        missing = SNAPSHOT_MESSAGES - len(messages)
        messages = await restoring.messages_before(conversation_id, before, missing, after=cleared) + messages
    if is_superseded:
        await _mark_superseded(conversation_id, messages)
    messages, cut = fitting(messages)
    return Snapshot(
        reason.decode(),
        Position(epoch, seq, chain.decode()),
        title.decode(),
        topic.decode(),
        pairs(members),
        messages,
        cut or count > len(messages),
        _turns(turns),
    )


async def _mark_superseded(conversation_id: str, messages: list[dict[str, Any]]) -> None:
    """Read after the messages: what gave way meanwhile is marked, and the entry that says so follows as well."""
    if messages:
        superseding.mark(messages, await superseding.read_ranges(conversation_id, messages[0]["seq"]))


def fitting(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """Return the newest messages that fit a frame, and whether older ones were left out."""
    bytes_left = SNAPSHOT_BYTES
    for index in range(len(messages) - 1, -1, -1):
        bytes_left -= len(orjson.dumps(messages[index]))
        if bytes_left < 0 and index < len(messages) - 1:
            return messages[index + 1 :], True
    return messages, False


def pairs(flat: list[bytes]) -> dict[str, str]:
    """Return a hash as Redis replies it."""
    return {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}


def _turns(rows: list[Any]) -> list[TurnView]:
    return [
        TurnView(turn_id.decode(), attempt, status.decode(), n, text.decode(), _open_interrupts(status, asked, answers))
        for turn_id, attempt, status, n, text, asked, answers in rows
    ]


def _open_interrupts(status: bytes, asked: bytes, answers: bytes) -> list[dict[str, Any]]:
    """Return the questions that nobody has answered yet, where the turn waits for that."""
    if status != b"waiting":
        return []
    answered = {answer["interrupt_id"] for answer in orjson.loads(b"[%b]" % answers)}
    return [interrupt for interrupt in orjson.loads(asked) if interrupt["id"] not in answered]


async def history(
    conversation_id: str, user_id: str, *, before_seq: int, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """Return up to ``limit`` messages before a seq (0: the newest), oldest first, and whether older ones exist."""
    wanted = limit + 1
    reply = await call("history", conversation_id, [], [user_id, before_seq, wanted, SNAPSHOT_BYTES])
    messages = [message_item(seq, body) for seq, body in reversed(reply[1])]
    if len(messages) < wanted and reply[3]:
        before = messages[0]["seq"] if messages else before_seq
        older = await restoring.messages_before(conversation_id, before, wanted - len(messages), after=reply[2])
        messages = older + messages
    if reply[4]:
        await _mark_superseded(conversation_id, messages)
    messages, cut = fitting(messages)
    return messages[-limit:], cut or len(messages) > limit


class Head(NamedTuple):
    """Where a log is now, and how far its running turn (turn_id, attempt, n)."""

    position: Position
    active: bool
    turn: tuple[str, int, int] | None


async def heads(conversation_ids: list[str]) -> dict[str, Head]:
    """Return the heads of those that are in Redis, in one pipeline."""
    replies = [batcher().submit("head", conversation_keys(each), [keys.tag(each)]) for each in conversation_ids]
    found = {}
    for conversation_id, future in zip(conversation_ids, replies, strict=True):
        reply = await future
        if reply:
            turn = (reply[4].decode(), reply[5], reply[6]) if len(reply) > 4 else None
            position = Position(reply[0], reply[1], reply[2].decode())
            found[conversation_id] = Head(position, reply[3] == b"active", turn)
    return found


async def create(
    conversation_id: str,
    *,
    position: Position = NEW,
    cleared: int = 0,
    born_ms: str = "now",
    meta: dict[str, Any],
    members: dict[str, str],
    reads: dict[str, int] | None = None,
) -> bool:
    """Make the log; return whether it was not there yet. ``born_ms``: since when client_ids are remembered."""
    args: list[Any] = [conversation_id, position.epoch, position.seq, position.chain, cleared, born_ms]
    for fields in (meta, members, reads or {}):
        args.append(len(fields))
        for name, value in fields.items():
            args += [name, value]
    parked = keys.parked(keys.tag(conversation_id))
    made = await batcher().submit("create", conversation_keys(conversation_id, parked), args)
    return bool(made)


class Brief(NamedTuple):
    """What a sidebar shows of a conversation."""

    head: Position
    title: str
    topic: str
    preview: str
    message_count: int
    active_ms: int
    members: dict[str, str]
    unread: dict[str, int]
    read: dict[str, int]


async def brief(conversation_id: str) -> Brief | None:
    """Return the sidebar's view, or None where the log is not in Redis or is deleted."""
    return (await briefs([conversation_id])).get(conversation_id)


async def briefs(conversation_ids: list[str]) -> dict[str, Brief]:
    """Return the sidebar's view of those that are in Redis and not deleted, in one pipeline."""
    replies = [batcher().submit("brief", conversation_keys(each), []) for each in conversation_ids]
    found = {}
    for conversation_id, future in zip(conversation_ids, replies, strict=True):
        reply = await future
        if not reply:
            continue
        epoch, seq, chain, title, topic, preview, count, active_ms, members, reads = reply
        by_name = {name: int(value) for name, value in pairs(reads).items()}
        found[conversation_id] = Brief(
            Position(epoch, seq, chain.decode()),
            title.decode(),
            topic.decode(),
            preview.decode(),
            count,
            active_ms,
            pairs(members),
            {name[1:]: value for name, value in by_name.items() if name[0] == "u"},
            {name[1:]: value for name, value in by_name.items() if name[0] == "r"},
        )
    return found
