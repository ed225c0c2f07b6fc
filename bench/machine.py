"""What a result was measured on: commit, machine, versions."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import psutil

from .node import node_command
from .processes import BENCH_DIR, ROOT

PACKAGES = [
    "django",
    "channels",
    "channels-redis",
    "daphne",
    "twisted",
    "redis",
    "hiredis",
    "orjson",
    "langgraph",
]
PEER_PACKAGES = ["socket.io", "@socket.io/redis-streams-adapter", "redis", "ws"]


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _peer_versions() -> dict[str, str]:
    lock = orjson.loads((BENCH_DIR / "package-lock.json").read_bytes())
    return {name: lock["packages"][f"node_modules/{name}"]["version"] for name in PEER_PACKAGES}


def facts() -> dict[str, Any]:
    """Return commit, machine and versions; ``changed`` lists files that differ from the commit."""
    status = _output("git", "status", "--porcelain", "--untracked-files=no").splitlines()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _output("git", "rev-parse", "--short=12", "HEAD"),
        "changed": [line[3:] for line in status if not line[3:].startswith("bench/results")],
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "system": f"{platform.system()} {platform.release()}",
            "load_before": [round(load, 2) for load in os.getloadavg()],
        },
        "versions": {
            "python": platform.python_version(),
            "node": _output(*node_command(), "--version"),
            "ours": {name: version(name) for name in PACKAGES},
            "peer": _peer_versions(),
        },
    }
