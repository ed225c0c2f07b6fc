"""Which faults, in which order, how long: all from the seed. When each strikes also depends on the cluster."""

import random
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

# Of a hundred faults. The order is that of the table.
SHARES = {"cut": 30, "kill": 18, "freeze": 16, "partition": 16, "drain": 12, "redis": 8}
KINDS = tuple(SHARES)
# The least and the most seconds that each lasts; the longest are well above a lease.
SECONDS = {"freeze": (0.5, 12.0), "partition": (0.5, 20.0), "redis": (0.2, 8.0)}
# Until the next fault strikes. Faults that last overlap.
GAP_SECONDS = (0.1, 1.2)


@dataclass(frozen=True, slots=True)
class Fault:
    """``target`` picks one of those that can be hit, by its remainder. ``alone``: once all is well, and what follows
    waits until its turns went on, so that this can be timed."""

    number: int
    kind: str
    target: int
    seconds: float
    gap_seconds: float
    alone: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def make_plan(*, seed: int, faults: int, longest_seconds: float = 20) -> list[Fault]:
    """Return the run's faults. Each kind comes at least once, where there are faults enough."""
    dice = random.Random(seed)
    kinds = [*KINDS[:faults], *dice.choices(KINDS, list(SHARES.values()), k=max(0, faults - len(KINDS)))]
    dice.shuffle(kinds)
    seen: Counter[str] = Counter()
    plan = []
    for number, kind in enumerate(kinds, start=1):
        seen[kind] += 1
        low, high = SECONDS.get(kind, (0.0, 0.0))
        plan.append(
            Fault(
                number,
                kind,
                dice.randrange(1000),
                round(min(dice.uniform(low, high), longest_seconds), 2),
                round(dice.uniform(*GAP_SECONDS), 2),
                # Every other one: the others strike while the cluster is ill already.
                kind in ("kill", "drain") and seen[kind] % 2 == 1,
            )
        )
    return plan
