"""Child processes that never outlive us, and ports for them to listen on."""

import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from conversations.errors import StartRefused

PR_SET_PDEATHSIG = 1
LOG_LIMIT_BYTES = 16 * 1024 * 1024
# Below the range from which the kernel takes the ports of outgoing connections: such a connection could
# otherwise sit on the port of a dead child just when it is started again.
SERVICE_PORTS = range(20_000, 32_000)
MAX_OPEN_FILES = 65_536
# Handed out or asked for by this process: the one that shall listen there may not do so yet.
_promised: set[int] = set()

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def start_process(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: dict[str, str] | None = None,
    own_group: bool = False,
    death_signal: signal.Signals = signal.SIGKILL,
    keep_files: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a child whose output is appended to ``log``; the kernel sends it ``death_signal`` when we die.

    Call it from a thread that lives as long as the child shall: the kernel watches the thread that forked.
    ``own_group``: Ctrl-C in the terminal does not reach it. ``env`` is added to ours.
    """
    parent = os.getpid()

    def bind_to_parent() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:  # we died before the kernel began to watch
                os._exit(1)

    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_name(log.name + ".1"))
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | (env or {}),
            process_group=0 if own_group else None,
            pass_fds=keep_files,
            preexec_fn=bind_to_parent,
        )


def stop_processes(children: "Iterable[subprocess.Popen[bytes]]", *, timeout_seconds: float) -> None:
    """Send SIGTERM to all, wait for them together, and SIGKILL what is left at the deadline."""
    running = [child for child in children if child.poll() is None]
    for child in running:
        child.terminate()
    deadline = time.monotonic() + timeout_seconds
    try:
        for child in running:
            child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        for child in running:
            if child.poll() is None:
                child.kill()
                child.wait()


def last_line(log: Path, default: str) -> str:
    """Return the last line that a child wrote, for a message about its end."""
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), default)


def free_port() -> int:
    """Return a port on loopback, each time another, that nobody listens on. Raises StartRefused if there is none."""
    # Not the shared generator: who seeds it, as tests do, would get the ports of everybody else who does.
    for port in random.SystemRandom().sample(SERVICE_PORTS, 200):
        if port not in _promised and is_port_free(port):
            _promised.add(port)
            return port
    raise StartRefused("no free port on 127.0.0.1: stop some programs and try again")


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check_port(port: int, what: str) -> None:
    """Raise StartRefused when ``what`` cannot listen on the port."""
    if not 1 <= port <= 65535:
        raise StartRefused(f"{what} cannot listen on port {port}: choose one from 1 to 65535 with --port")
    if not is_port_free(port):
        raise StartRefused(
            f"{what} cannot listen on 127.0.0.1:{port}: the port is in use; stop the program that has it, "
            "or choose another with --port"
        )
    _promised.add(port)


def raise_file_limit() -> int:
    """Raise our own limit of open files, and so our children's, as far as allowed; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
