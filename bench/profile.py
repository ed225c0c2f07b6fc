"""Where a node's time goes under 20 × 3 × 8: py-spy's samples by function, a flame graph.

Of an interpreted node: py-spy sees nothing of compiled modules, and would blame their callers.
"""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from chatproject.compiled import compiled

from .clients import run
from .fanout import order_for
from .processes import BENCH_DIR
from .servers import Tether

USERS, WINDOW = 20, 8
RATE_PER_SECOND = 100
TOP = 40
# On a full machine a thread that waits for its turn to run looks busy; these only ever wait.
WAITING = {"EpollSelector.select (selectors.py)", "_worker (concurrent/futures/thread.py)"}
PLOTS_DIR = BENCH_DIR / "plots"


def _spy(pid: int, seconds: int, kind: str, path: Path) -> "subprocess.Popen[bytes]":
    beside = Path(sys.executable).with_name("py-spy")
    spy = str(beside) if beside.exists() else shutil.which("py-spy") or "py-spy"
    options = ["--pid", str(pid), "--duration", str(seconds), "--rate", str(RATE_PER_SECOND), "--nonblocking"]
    command = [spy, "record", *options, "--format", kind, "--output", str(path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _place(frame: str) -> str:
    """Return ``function (package/file.py)`` without the line, so that a function is counted once."""
    name, _, rest = frame.rpartition(" (")
    return f"{name} ({rest.rpartition(':')[0] or rest.rstrip(')')})"


def count_samples(folded: str) -> tuple[int, Counter[str], Counter[str]]:
    """Return samples that did not wait: in all, by the function that ran, by each function on the stack."""
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_place(frame) for frame in stack.split(";") if "(" in frame]
        if not frames or frames[-1] in WAITING:
            continue
        own[frames[-1]] += int(count)
        for frame in set(frames):
            within[frame] += int(count)
    return sum(own.values()), own, within


def by_package(own: Counter[str]) -> Counter[str]:
    """Return the samples by the package of the function that ran; single files are Python's own."""
    packages: Counter[str] = Counter()
    for function, count in own.items():
        path = function.rpartition("(")[2]
        packages[path.partition("/")[0] if "/" in path else "python"] += count
    return packages


def _table(counts: Counter[str], total: int) -> list[dict[str, Any]]:
    return [{"name": name, "percent": round(100 * count / total, 1)} for name, count in counts.most_common(TOP)]


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    if compiled():
        raise RuntimeError(
            "py-spy does not see into compiled modules: run `make interpreted` first, `make compile` after"
        )
    seconds = 4 if quick else 20
    with Tether() as server:
        order = order_for(server, USERS, WINDOW, seed=seed, run="profile", quick=quick)
        order |= {"warmup_seconds": 3, "measure_seconds": seconds}
        folded, graph = server.directory / "samples.txt", server.directory / "flame.svg"
        pid = server.nodes["n0"].process.pid
        spies = [_spy(pid, seconds + 2, "raw", folded), _spy(pid, seconds + 2, "flamegraph", graph)]
        try:
            figures = run("fanout", order, seconds=seconds + 60)
            for spy in spies:
                spy.wait(30)
        finally:
            for spy in spies:
                spy.kill()
                spy.wait()
        total, own, within = count_samples(folded.read_text())
        if not quick:
            shutil.copy(graph, PLOTS_DIR / "profile.svg")
    print(
        f"  {total} samples at {figures['deliveries_per_second']} deliveries/s (while being watched)",
        flush=True,
    )
    for line in _table(own, total)[:10]:
        print(f"  {line['percent']:5.1f} % {line['name']}", flush=True)
    return {
        "shape": {"users": USERS, "devices": order["devices"], "window": WINDOW},
        "samples": total,
        "watched": figures,
        "packages": _table(by_package(own), total),
        "self_time": _table(own, total),
        "time_within": _table(within, total),
    }
