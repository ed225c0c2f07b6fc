"""Child processes of the harness: each in a group of its own, their use of CPU and memory."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

BENCH_DIR = Path(__file__).resolve().parent
ROOT = BENCH_DIR.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]
PR_SET_PDEATHSIG = 1
KIB = 1024


def free_port() -> int:
    """Return a port of 127.0.0.1 that the kernel just gave and took back."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_until(
    condition: Callable[[], object], what: str, *, seconds: float = 60, child: "Child | None" = None
) -> None:
    """Wait for a condition; raise TimeoutError when it takes longer, RuntimeError when the child is gone."""
    deadline = time.monotonic() + seconds
    while not condition():
        if child is not None and child.process.poll() is not None:
            raise RuntimeError(f"{what}: {child.name} ended with {child.process.returncode}; see {child.log}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Child:
    """One process in a group of its own; its output goes to ``<directory>/<name>.log``."""

    def __init__(
        self, name: str, command: list[str], env: dict[str, str], directory: Path, *, cwd: Path = ROOT
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **env},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, seconds: float = 8) -> None:
        """End the process and whatever it started: SIGTERM, then SIGKILL to its group."""
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(5)

    def kill(self) -> None:
        """End it and whatever it started at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(5)

    def pids(self) -> set[int]:
        return {one.pid for one in family(self.process.pid)}

    def cpu_seconds(self) -> float:
        """Return user and system time of the process and its living children."""
        return family_cpu_seconds(self.process.pid)

    def rss_kib(self) -> float:
        return psutil.Process(self.process.pid).memory_info().rss / KIB


def family(pid: int) -> list[psutil.Process]:
    own = psutil.Process(pid)
    return [own, *own.children(recursive=True)]


def family_cpu_seconds(pid: int) -> float:
    return sum(times.user + times.system for times in (one.cpu_times() for one in family(pid)))


def busy_seconds() -> float:
    """Return for how long the machine's cores were busy since it started, added up."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


def stop_all(children: list[Child]) -> None:
    """Stop the children, the last started first."""
    for child in reversed(children):
        child.stop()
    children.clear()
