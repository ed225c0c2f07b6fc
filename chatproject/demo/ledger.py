"""Compares what all devices saw: the same bytes under the same chain at each seq, none missing anywhere.

Devices may live in processes of their own, so a ledger reads plain reports (`Report`), not live objects.
"""

from dataclasses import dataclass, field
from typing import TypedDict

# One entry as a device saw it: epoch, seq, chain, digest of its bytes.
Seen = tuple[int, int, str, str]


class Report(TypedDict):
    """What one device says at the end. ``entries`` and ``acks`` are by conversation."""

    device_id: str
    counts: dict[str, int]
    breaches: list[str]
    entries: dict[str, list[Seen]]
    acks: dict[str, list[tuple[int, str]]]


class Ledger:
    """What was seen first at each (conversation, epoch, seq), and by whom."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, int, int], tuple[str, str, str]] = {}

    def note(self, conversation_id: str, seen: Seen, device_id: str) -> str | None:
        """Record it; return a sentence where another device saw something else at that seq."""
        epoch, seq, chain, digest = seen
        first = self._first.setdefault((conversation_id, epoch, seq), (chain, digest, device_id))
        if first[0] != chain:
            return f"chain at {conversation_id}/{seq}: {chain} on {device_id}, {first[0]} on {first[2]}"
        if first[1] != digest:
            return f"bytes at {conversation_id}/{seq} differ between {device_id} and {first[2]}"
        return None

    def seqs(self, conversation_id: str) -> set[int]:
        return {seq for known, _, seq in self._first if known == conversation_id}


@dataclass(slots=True)
class Verdict:
    """``missing``: (device, conversation, seq) of each entry that a device should have had and has not."""

    missing: list[tuple[str, str, int]] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.missing or self.differing or self.breaches)

    def __str__(self) -> str:
        lines = [f"{device}: never saw {where}/{seq}" for device, where, seq in self.missing]
        return "\n".join([*self.breaches, *self.differing, *lines][:40]) or "clean"


def judge(reports: list[Report]) -> Verdict:
    """Compare the devices. Each must have every entry from its own first one up to the highest head of any,
    and everything acked to anybody must be an entry."""
    ledger, verdict = Ledger(), Verdict()
    for report in reports:
        verdict.breaches += [f"{report['device_id']}: {text}" for text in report["breaches"]]
        for conversation_id, entries in report["entries"].items():
            notes = (ledger.note(conversation_id, seen, report["device_id"]) for seen in entries)
            verdict.differing += [note for note in notes if note]
    acked = acked_seqs(reports)
    for report in reports:
        for conversation_id, entries in report["entries"].items():
            own = {seq for _, seq, _, _ in entries}
            due = ledger.seqs(conversation_id) | acked.get(conversation_id, set())
            start = min(own, default=0)
            verdict.missing += [
                (report["device_id"], conversation_id, seq) for seq in sorted(due - own) if seq >= start
            ]
    return verdict


def acked_seqs(reports: list[Report]) -> dict[str, set[int]]:
    """Return the seqs acked to anybody, by conversation."""
    acked: dict[str, set[int]] = {}
    for report in reports:
        for conversation_id, acks in report["acks"].items():
            acked.setdefault(conversation_id, set()).update(seq for seq, _ in acks)
    return acked
