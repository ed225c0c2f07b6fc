"""The demonstration's counts, its table, and what decides between pass and fail."""

from collections import Counter
from dataclasses import dataclass, field

from .ledger import Report, judge

COLUMNS = ("sent", "acked", "delivered", "lost", "repeated", "reordered", "before kill", "after kill")


@dataclass(slots=True)
class Scene:
    """One demonstration. ``needed``: what must not be zero; ``failures``: what went wrong, in words."""

    name: str
    needed: tuple[str, ...] = ("sent", "acked", "delivered")
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.failures.append(otherwise)

    def take(self, reports: list[Report]) -> None:
        """Fill in the counts from what the devices saw, and judge it."""
        verdict = judge(reports)
        for name in ("sent", "acked", "delivered", "repeated", "reordered"):
            self.counts[name] = sum(report["counts"].get(name, 0) for report in reports)
        self.counts["lost"] = len(verdict.missing)
        self.check(verdict.clean, str(verdict))
        self.check(self.counts["sent"] == self.counts["acked"], "not everything sent was acked")
        for name in ("lost", "repeated", "reordered"):
            self.check(not self.counts[name], f"{self.counts[name]} {name}")
        for name in self.needed:
            self.check(bool(self.counts.get(name)), f"the count of {name} is zero, so nothing was shown")


def since(report: Report, earlier: list[Report]) -> Report:
    """Return what the device adds to its earlier report; conversations of before are left out."""
    known = next((other for other in earlier if other["device_id"] == report["device_id"]), None)
    if known is None:
        return report
    entries = {key: seen for key, seen in report["entries"].items() if key not in known["entries"]}
    return {
        "device_id": report["device_id"],
        "counts": {name: n - known["counts"].get(name, 0) for name, n in report["counts"].items()},
        "breaches": list((Counter(report["breaches"]) - Counter(known["breaches"])).elements()),
        "entries": entries,
        "acks": {key: acks for key, acks in report["acks"].items() if key in entries},
    }


def table(scenes: list[Scene]) -> str:
    """Return the counts of all scenes and pass or fail of each."""
    head = ["", *COLUMNS, ""]
    rows = [
        [scene.name, *(str(scene.counts.get(column, "-")) for column in COLUMNS), verdict(scene)] for scene in scenes
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    ]
    return "\n".join(line.rstrip() for line in [lines[0], "-" * len(lines[1]), *lines[1:]])


def verdict(scene: Scene) -> str:
    return "FAIL" if scene.failures else "PASS"
