"""What happened, a JSON object a line: `at` (seconds since the start), `what`, and what belongs to it."""

import json
import time
from pathlib import Path
from typing import Any


class History:
    """Kept in memory, and written to ``path`` line by line where there is one: a run that is killed has its history."""

    def __init__(self, path: Path | None) -> None:
        self._began = time.monotonic()
        self._file = path.open("w") if path else None
        self.lines: list[dict[str, Any]] = []

    @property
    def at(self) -> float:
        return round(time.monotonic() - self._began, 3)

    def note(self, what: str, **facts: Any) -> None:
        line = {"at": self.at, "what": what, **facts}
        self.lines.append(line)
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
