"""What was refused to somebody as not theirs: gathered on each node, and written to the journal now and then.

Nobody's path waits for it, and nobody can flood the journal by it: a round holds at most so many entries a user and in
all, with counts. What is beyond is counted as `other`.
"""

from collections import Counter

from .entry import Action
from .journal import Draft

KINDS_PER_USER = 4
MOST = 100
OTHER = "other"


class Denials:
    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._kinds: Counter[str] = Counter()

    def note(self, user_id: str, what: str) -> None:
        """Count that this was refused to the user. ``what``: a command's or a frame's name. Never waits."""
        key = (user_id, what)
        if key not in self._counts:
            if self._kinds[user_id] >= KINDS_PER_USER:
                key = (user_id, OTHER)
            if key not in self._counts and len(self._counts) >= MOST:
                key = ("", OTHER)
            if key not in self._counts:
                self._kinds[key[0]] += 1
        self._counts[key] += 1

    def take(self, node: str) -> list[Draft]:
        """Return what was gathered and begin anew."""
        counts, self._counts, self._kinds = self._counts, Counter(), Counter()
        return [
            Draft(Action.DENIED, user_id, f"command:{what}", {"count": count, "node": node})
            for (user_id, what), count in counts.items()
        ]
