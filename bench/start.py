"""From `manage.py cluster` in an empty folder to a page that a newcomer can use."""

import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from .processes import MANAGE, Child, free_port, wait_until

ROUNDS = 3
NODES = 3


def _is_page(url: str) -> bool:
    with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status == 200 and b"<form" in answer.read()
    return False


def _one_start(directory: Path) -> float:
    port = free_port()
    env = {"VAR_DIR": str(directory / "var"), "CHAT_MODEL": "scripted", "REDIS_URL": "", "DATABASE_URL": ""}
    begin = time.monotonic()
    child = Child("cluster", [*MANAGE, "cluster", "--nodes", str(NODES), "--port", str(port)], env, directory)
    try:
        wait_until(lambda: _is_page(f"http://127.0.0.1:{port}/"), "a page", seconds=60, child=child)
        return round(time.monotonic() - begin, 2)
    finally:
        child.stop(seconds=20)


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    seconds = []
    for _ in range(1 if quick else ROUNDS):
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            seconds.append(_one_start(Path(directory)))
            print(f"  a usable page after {seconds[-1]} s", flush=True)
    return {"nodes": NODES, "model": "scripted", "seconds": seconds}
