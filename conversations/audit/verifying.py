"""Whether the audit journal is what was written: every entry, its place, and its end as far as others remember it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .entry import NO_HASH, AuditEntry
from .journal import hash_of

ROWS = 1000


class Fault(NamedTuple):
    seq: int
    problem: str


class Verified(NamedTuple):
    """``hash`` is the newest entry's, to be kept elsewhere."""

    seq: int
    hash: str
    faults: list[Fault]


def verify(remembered: Iterable[tuple[int, str]] = ()) -> Verified:
    """Read the whole journal and compare. ``remembered``: heads (seq, hash) as others have kept them."""
    wanted: dict[int, set[str]] = {}
    for number, hash_ in remembered:
        wanted.setdefault(number, set()).add(hash_)
    faults: list[Fault] = []
    seq, before = 0, NO_HASH
    for row in _rows():
        if row.seq < 1:
            faults.append(Fault(row.seq, "was put before the first entry"))
            continue
        if row.seq > seq + 1:
            faults.append(Fault(seq + 1, f"entries {seq + 1} to {row.seq - 1} are missing"))
        elif row.prev != before:
            faults.append(Fault(row.seq, "does not follow the entry before it"))
        if row.hash != hash_of(row):
            faults.append(Fault(row.seq, "was changed, or written by somebody without the key"))
        elif wanted.get(row.seq, set()) - {row.hash}:
            faults.append(Fault(row.seq, "is another entry than the one that was remembered"))
        seq, before = row.seq, row.hash
    newest = max(wanted, default=0)
    if newest > seq:
        faults.append(Fault(seq + 1, f"entries {seq + 1} to {newest} are missing at the end"))
    return Verified(seq, before, faults)


def _rows() -> Iterator[AuditEntry]:
    entries = AuditEntry.objects.order_by("seq")
    rows = list(entries[:ROWS])  # from wherever it begins: what was put before the first one is found, too
    while rows:
        yield from rows
        rows = list(entries.filter(seq__gt=rows[-1].seq)[:ROWS])
