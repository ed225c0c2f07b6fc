"""Adding to the audit journal, in the transaction of what is recorded: no act without its entry, and none alone.

Entries form one chain. `seq` and `prev` are unique, so of two writers anywhere that follow the same entry one fails,
and tries again after the other. Heads are also kept in Redis (heads.py), so that a cut tail is found.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.utils import timezone

from ..errors import Unavailable
from . import heads
from .actor import acting_user_id
from .entry import NO_HASH, Action, AuditEntry
from .pseudonyms import keyed, pseudonym

TRIES = 50
AT_ONCE = 200
# Ids, counts and words of ours. What people have written does not pass.
PLAIN = re.compile(r"[A-Za-z0-9_.:@/-]{0,80}")


class Draft(NamedTuple):
    """An act that is not recorded yet. ``actor`` is a user's id, empty for the server itself."""

    action: Action
    actor: str = ""
    subject: str = ""
    facts: dict[str, Any] = {}  # never changed


def record(action: Action, *, actor: str | None = None, subject: str = "", **facts: str | int | bool) -> None:
    """Add one entry; whoever acts just now did it, unless a user's id is given. Synchronous.

    Raises ValueError for a subject or facts that are no plain words, Unavailable where others are always faster.
    """
    record_many([Draft(action, acting_user_id() if actor is None else actor, subject, facts)])


def record_many(drafts: Iterable[Draft]) -> None:
    """Add entries in this order, in one transaction for each 200. As `record`."""
    waiting = list(drafts)
    for start in range(0, len(waiting), AT_ONCE):
        _append(waiting[start : start + AT_ONCE])


def person(user_id: object) -> str:
    """Return a user as a subject."""
    return f"user:{pseudonym('user', str(user_id))}"


def device(user_id: object, device_id: str) -> str:
    """Return a device as a subject."""
    return f"device:{pseudonym('device', f'{user_id}:{device_id}')}"


def _append(drafts: list[Draft]) -> None:
    texts = [_checked(draft) for draft in drafts]
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                newest = AuditEntry.objects.order_by("-seq").values_list("seq", "hash").first()
                seq, before = newest or (0, NO_HASH)
                rows = []
                for draft, facts in zip(drafts, texts, strict=True):
                    row = _row(seq + 1, before, draft, facts)
                    rows.append(row)
                    seq, before = row.seq, row.hash
                AuditEntry.objects.bulk_create(rows)
                # Robust: what is committed stays, whatever Redis says.
                transaction.on_commit(partial(heads.keep, seq, before, len(rows)), robust=True)
            return
        except IntegrityError:
            continue  # another one was faster
    raise Unavailable("The audit journal is busy; try again.", retry_after=1)


def _row(seq: int, before: str, draft: Draft, facts: str) -> AuditEntry:
    row = AuditEntry(
        seq=seq,
        at=timezone.now(),
        action=draft.action,
        actor=pseudonym("user", draft.actor),
        subject=draft.subject,
        facts=facts,
        prev=before,
    )
    row.hash = hash_of(row)
    return row


def hash_of(row: AuditEntry) -> str:
    """Return what the row's hash must be: keyed, so that whoever can write the table cannot make a chain of it."""
    at: datetime = row.at
    covered = [row.seq, row.prev, at.astimezone(UTC).isoformat(), row.action, row.actor, row.subject, row.facts]
    return keyed("chain", json.dumps(covered).encode())


def _checked(draft: Draft) -> str:
    """Return the facts as they are kept. Raises ValueError for whatever may be content."""
    words = [draft.subject, *draft.facts, *(value for value in draft.facts.values() if isinstance(value, str))]
    if not all(PLAIN.fullmatch(word) for word in words):
        raise ValueError("an audit entry holds ids, counts and plain words only")
    return json.dumps(draft.facts, sort_keys=True, separators=(",", ":"))
