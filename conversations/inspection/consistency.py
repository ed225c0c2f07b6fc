"""Do log, archive, chain and checkpoints of one conversation agree? Everything is compared with everything else.

Looks without changing or bringing anything back. What is under way may look like a disagreement: what is found is
looked for once more, and only what stays is told.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import keys, store
from ..archive_base import UNFINISHED
from ..assistant import keys as checkpoint_keys
from ..events import NO_CHAIN, chain_after
from ..models import Conversation, Event, Member, Message, Turn
from .live import Live, read_live

# So many entries are compared at a click, the newest; older ones at the next.
MOST_ENTRIES = 20_000
ROWS = 1000


ABOUT = {
    "log": gettext_lazy("log"),
    "archive": gettext_lazy("archive"),
    "chain": gettext_lazy("chain"),
    "messages": gettext_lazy("messages"),
    "members": gettext_lazy("members"),
    "turns": gettext_lazy("turns"),
    "checkpoints": gettext_lazy("checkpoints"),
}


class Finding(NamedTuple):
    """``about``: a key of ABOUT. ``problem``: in the language of whoever asked."""

    about: str
    seq: int
    problem: str

    @property
    def about_words(self) -> str:
        return str(ABOUT[self.about])


class Report(NamedTuple):
    """``entries`` were compared, down to seq ``lowest``; ``older`` says whether there are more below."""

    findings: list[Finding]
    entries: int
    lowest: int
    older: bool


def check(conversation_id: str, below: int | None = None) -> Report:
    """Compare everything, or the entries before a seq. Raises Unavailable, Conversation.DoesNotExist."""
    first = _check(conversation_id, below)
    if not first.findings:
        return first
    again = _check(conversation_id, below)
    return again._replace(findings=[each for each in again.findings if each in first.findings])


def _check(conversation_id: str, below: int | None) -> Report:
    # The archive first: it is never ahead of the log.
    row = Conversation.objects.get(pk=conversation_id)
    live = read_live(conversation_id)
    head = int(live.meta.get("seq", 0)) if live.is_there else row.archived_seq
    top = (head if below is None else min(head, below - 1)) if head else 0
    lowest = max(1, row.cleared_seq, top - MOST_ENTRIES + 1)
    stream = _stream(conversation_id, lowest, top) if live.is_there else {}
    findings = [] if below is not None else [*_heads(row, live), *_members(row, live), *_turns(row, live)]
    findings += _entries(row, live, stream, lowest, top)
    findings += _messages(row, lowest, min(top, row.archived_seq))
    if below is None and live.is_there:
        findings += _checkpoints(conversation_id, live, head)
    return Report(findings, max(0, top - lowest + 1), lowest, lowest > max(1, row.cleared_seq))


def _heads(row: Conversation, live: Live) -> Iterator[Finding]:
    if not live.is_there:
        return
    epoch, seq, chain = int(live.meta["epoch"]), int(live.meta["seq"]), live.meta["chain"]
    if live.meta["state"] != row.status and not live.is_dirty:
        yield Finding(
            "log",
            0,
            _("the log is %(state)s, the row %(row)s") % {"state": _(live.meta["state"]), "row": _(row.status)},
        )
    if epoch < row.epoch:
        yield Finding(
            "log",
            seq,
            _("the log has epoch %(epoch)s, the archive %(archived)s") % {"epoch": epoch, "archived": row.epoch},
        )
    if seq < row.archived_seq:
        yield Finding(
            "log",
            seq,
            _("the log ends before the archive, which has %(archived_seq)s") % {"archived_seq": row.archived_seq},
        )
    if seq == row.archived_seq and chain != row.archived_chain:
        yield Finding("chain", seq, _("log and archive have another chain at the same place"))
    if seq > row.archived_seq and not live.is_dirty:
        yield Finding("log", seq, _("the log is ahead of the archive, and nobody is told to copy it"))


def _members(row: Conversation, live: Live) -> Iterator[Finding]:
    # Rows follow a moment later, and are settled when the log is copied.
    if not live.is_there or live.is_dirty or row.status != Conversation.Status.ACTIVE:
        return
    rows = Member.objects.filter(conversation=row, left_seq=None).values_list("user_id", "role")
    seated = {str(user): role for user, role in rows}
    for user in sorted(seated.keys() ^ live.members.keys()):
        where = _("log") if user in live.members else _("database")
        said = {"user": user, "where": where}
        problem = _("user %(user)s is a member in the %(where)s only")
        yield Finding("members", 0, problem % said)
    for user in sorted(seated.keys() & live.members.keys()):
        if seated[user] != live.members[user]:
            yield Finding(
                "members",
                0,
                _("user %(user)s is %(there)s in the log, %(here)s in the database")
                % {"user": user, "there": _(live.members[user]), "here": _(seated[user])},
            )


def _turns(row: Conversation, live: Live) -> Iterator[Finding]:
    if not live.is_there:
        return
    for turn in live.turns:
        if not turn.status:
            yield Finding(
                "turns",
                turn.seq,
                _("turn %(turn_id)s is queued, and nothing else is known of it") % {"turn_id": turn.turn_id},
            )
    if live.turns and not live.is_due:
        yield Finding("turns", live.turns[0].seq, _("a turn waits, and no node would ever find it"))
    if live.is_due and not live.turns:
        yield Finding("turns", 0, _("the conversation is marked as due, and has no turn"))
    if live.waiting_turns > len(live.turns):
        return
    queued = {turn.turn_id for turn in live.turns}
    open_rows = Turn.objects.filter(conversation=row, status__in=UNFINISHED, seq__gt=row.cleared_seq)
    # What the archive has not heard of yet may have ended.
    if int(live.meta["seq"]) == row.archived_seq:
        for pk, seq in open_rows.values_list("pk", "seq")[:ROWS]:
            if str(pk) not in queued:
                said = {"pk": pk}
                problem = _("turn %(pk)s is unfinished in the archive, and not in the queue")
                yield Finding("turns", seq, problem % said)


Kept = dict[int, tuple[str, str, bytes]]


def _stream(conversation_id: str, lowest: int, top: int) -> Kept:
    found: Kept = {}
    after = lowest
    with store.mapped_errors(), store.connect_sync() as redis:
        while after <= top:
            rows: Any = redis.xrange(keys.log(conversation_id), f"{after}-0", f"{top}-0", count=ROWS)
            if not rows:
                break
            for number, fields in rows:
                seq = int(number.split(b"-")[0])
                found[seq] = (fields[b"k"].decode(), fields[b"c"].decode(), fields[b"b"])
            after = max(found) + 1
    return found


def _entries(row: Conversation, live: Live, stream: Kept, lowest: int, top: int) -> Iterator[Finding]:
    """Walk up: each entry must be somewhere, equal on both sides, and continue the chain."""
    chain = NO_CHAIN if lowest == 1 else ""
    archived = _archived(row, lowest, min(top, row.archived_seq))
    in_archive = next(archived, None)
    first_kept = min(stream, default=top + 1)
    for seq in range(lowest, top + 1):
        event = None
        if in_archive is not None and in_archive.seq == seq:
            event, in_archive = in_archive, next(archived, None)
        kept = stream.get(seq)
        if event is None and seq <= row.archived_seq:
            yield Finding("archive", seq, _("the archive lacks this entry"))
        if kept is None and seq >= first_kept:
            yield Finding("log", seq, _("the log lacks this entry"))
        if event is None and kept is None:
            if seq > row.archived_seq and seq < first_kept and live.is_there:
                yield Finding("log", seq, _("neither log nor archive have this entry"))
            chain = ""
            continue
        if event is not None and kept is not None and kept != (event.kind, event.chain, event.body.encode()):
            yield Finding("archive", seq, _("log and archive have different entries here"))
        stated, body = kept[1:] if kept is not None else (event.chain, event.body.encode())  # type: ignore[union-attr]
        if chain and chain_after(chain, body) != stated:
            yield Finding("chain", seq, _("the chain does not follow from the entry"))
        chain = stated
    if top and chain and not stream and top == row.archived_seq and chain != row.archived_chain:
        yield Finding("chain", top, _("the archive's last entry has another chain than its head"))
    if live.is_there and top == int(live.meta["seq"]) and chain and chain != live.meta["chain"]:
        yield Finding("chain", top, _("the log's last entry has another chain than its head"))


def _archived(row: Conversation, lowest: int, top: int) -> Iterator[Event]:
    after = lowest - 1
    while rows := list(Event.objects.filter(conversation=row, seq__gt=after, seq__lte=top).order_by("seq")[:ROWS]):
        yield from rows
        after = rows[-1].seq


def _messages(row: Conversation, lowest: int, top: int) -> Iterator[Finding]:
    """A message's row says the same as its entry."""
    after = lowest - 1
    while rows := list(
        Event.objects.filter(conversation=row, seq__gt=after, seq__lte=top, kind="message")
        .order_by("seq")
        .values_list("seq", "body")[:ROWS]
    ):
        said = Message.objects.filter(conversation=row, seq__gte=rows[0][0], seq__lte=rows[-1][0])
        by_seq = {seq: (str(id_), content) for seq, id_, content in said.values_list("seq", "message_id", "content")}
        for seq, body in rows:
            try:
                data = orjson.loads(body)["data"]
                wanted = (data["message_id"], data["content"].replace("\0", ""))
            except (ValueError, KeyError, TypeError):
                yield Finding("archive", seq, _("the archive's entry cannot be read"))
                continue
            if seq not in by_seq:
                yield Finding("messages", seq, _("the entry has no message row"))
            elif by_seq.pop(seq) != wanted:
                yield Finding("messages", seq, _("the message row says something else than the entry"))
        for seq in sorted(by_seq):
            yield Finding("messages", seq, _("the message row has no entry"))
        after = rows[-1][0]


def _checkpoints(conversation_id: str, live: Live, head: int) -> Iterator[Finding]:
    """Each head must be there, and be of a turn that the log has seen."""
    prefix = checkpoint_keys.prefix(conversation_id)
    for namespace, checkpoint_id in live.heads.items():
        with store.mapped_errors(), store.connect_sync() as redis:
            document: Any = redis.execute_command(
                "JSON.GET", f"{prefix}{namespace}:{checkpoint_id}", "$.turn_seq", "$.turn_id"
            )
        if document is None:
            yield Finding("checkpoints", 0, _("the newest checkpoint is gone, and the state names it"))
            continue
        facts = orjson.loads(document)
        [seq], [turn_id] = facts["$.turn_seq"] or [0], facts["$.turn_id"] or [""]
        if seq > head:
            yield Finding(
                "checkpoints",
                seq,
                _("the newest checkpoint is of turn %(turn_id)s, beyond the log's head") % {"turn_id": turn_id},
            )
