"""Seeded fault runs (`manage.py chaos`), two at a time: one waits for leases while the other breaks something."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import orjson

from .processes import ROOT
from .tables import table

RUNS = 2
FAULTS, QUICK_FAULTS = 500, 6
GOAL = 1000
LONGEST_SECONDS, QUICK_LONGEST_SECONDS = 20, 1
MOST_SECONDS = 2 * 3600
DONE = ("cancelled", "edited", "forked")  # by people, beside asking


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    # What a failure is found by stays: the histories, and the nodes' own logs.
    made = ROOT / "var" / "bench"
    made.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=made))
    print(f"histories and logs: {folder}", flush=True)
    histories = [folder / f"{seed + number}.jsonl" for number in range(RUNS)]
    running = [_start(int(history.stem), history, quick) for history in histories]
    for process in running:
        process.wait(MOST_SECONDS)
    return {"runs": [read(history) for history in histories]}


def _start(seed: int, history: Path, quick: bool) -> "subprocess.Popen[bytes]":
    faults, longest = (QUICK_FAULTS, QUICK_LONGEST_SECONDS) if quick else (FAULTS, LONGEST_SECONDS)
    chosen = ["--seed", seed, "--faults", faults, "--longest", longest, "--history", history]
    chosen += ["--keep", history.with_suffix("")]
    return subprocess.Popen([sys.executable, "manage.py", "chaos", *map(str, chosen)], cwd=ROOT)


def read(history: Path) -> dict[str, Any]:
    """Return seed, minutes and verdict of a run that came to its end. Raises RuntimeError for another."""
    notes = [orjson.loads(line) for line in history.read_bytes().splitlines()]
    if not notes or notes[-1]["what"] != "verdict":
        raise RuntimeError(f"the run of {history.name} has no verdict")
    first, last = notes[0], notes[-1]
    names = ("passed", "wrong", "faults", "turns", "attempts", "done", "given_up", "next_piece_seconds", "details")
    return {"seed": first["seed"], "minutes": round(last["at"] / 60, 1), **{name: last[name] for name in names}}


def section(result: dict[str, Any]) -> str:
    runs = result["runs"]
    rows = []
    for run in runs:
        waits = [run["next_piece_seconds"][kind] for kind in ("kill", "drain")]
        shown = [f"{wait['p50']} / {wait['p99']} of {wait['count']}" if wait["count"] else "none" for wait in waits]
        kinds = ", ".join(f"{count} {kind}" for kind, count in run["faults"].items())
        done = [run["done"][name] for name in DONE]
        faults = sum(run["faults"].values())
        rows.append([run["seed"], faults, kinds, run["minutes"], run["turns"], *done, run["given_up"], *shown])
    names = list(runs[0]["wrong"])
    wrong = [[run["seed"], *(run["wrong"][name] for name in names)] for run in runs]
    total = sum(sum(run["faults"].values()) for run in runs)
    head = [
        "seed",
        "faults",
        "of which",
        "minutes",
        "turns",
        *DONE,
        "given up",
        "kill to next piece, s p50 / p99",
        "drain",
    ]
    note = f" Note: {result['note']}." if "note" in result else ""
    return f"""## Faults by a seed

Three nodes and eight conversations in each run; runs of one measurement go side by side.
{total:,} faults (goal: {GOAL:,}).{note}

{table(head, rows)}

What was wrong:

{table(["seed", *names], wrong)}"""
