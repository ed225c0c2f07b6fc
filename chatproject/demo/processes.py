"""Our own commands as child processes, to be killed on purpose: `redis`, `serve`, `cluster`, `token`."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from chatproject.services.process import start_process, stop_processes

from .wire import Frame

MANAGE = Path(__file__).resolve().parent.parent.parent / "manage.py"
# What our own environment says about another installation must not reach the children.
FOREIGN = ("REDIS_URL", "CHANNEL_REDIS_URL", "DATABASE_URL", "NODE_NAME", "ALLOWED_ORIGINS", "TETHER_LAYER_DROP")
NODE_LINE = re.compile(r"^node (\S+) pid (\d+) (http://\S+)", re.MULTILINE)
STOP_SECONDS = 15
T = TypeVar("T")


def wait_for(condition: Callable[[], T], seconds: float, what: str) -> T:
    """Ask until the answer is true and return it. Raises TimeoutError that names ``what``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return found


def readiness(url: str) -> Frame | None:
    """Return what the node says on /readyz, None while it is not ready."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=2)
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        answer = connection.getresponse()
        told: Frame = json.loads(answer.read() or b"{}")
        return told if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def socket_url(url: str) -> str:
    return url.replace("http", "ws", 1).rstrip("/") + "/ws/"


class Installation:
    """One VAR_DIR and the environment that all commands of it share."""

    def __init__(self, var_dir: Path, **env: str) -> None:
        self.var_dir = var_dir
        self.env = {"VAR_DIR": str(var_dir), "CHAT_MODEL": "scripted", "PYTHONUNBUFFERED": "1", **env}

    def command(self, *args: str) -> list[str]:
        cleared = [part for name in FOREIGN for part in ("-u", name)]
        return ["env", *cleared, *(f"{k}={v}" for k, v in self.env.items()), sys.executable, str(MANAGE), *args]

    def run(self, *args: str) -> str:
        """Run a command to its end and return what it printed. Raises CalledProcessError."""
        done = subprocess.run(self.command(*args), capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise RuntimeError(f"manage.py {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    def tokens(self, *usernames: str) -> list[str]:
        """Return a bearer token of each of these users, who are made if need be."""
        return self.run("token", *usernames, "--create").split()

    def token(self, username: str) -> str:
        return self.tokens(username)[0]

    def program(self, name: str, *args: str, **env: str) -> "Program":
        return Program(self.command(*args), self.var_dir / f"{name}.out", env)


class Program:
    """A command in the background, leading a process group of its own; its output goes to ``log``."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str]) -> None:
        self.log = log
        assigned = [f"{name}={value}" for name, value in env.items()]
        at = command.index(sys.executable)
        self.process = start_process([*command[:at], *assigned, *command[at:]], log=log, own_group=True)

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for(self, condition: Callable[[], T], seconds: float, what: str) -> T:
        """As `wait_for`; a program that has ended meanwhile raises at once, with its last lines."""

        def alive() -> T:
            if self.process.poll() is not None:
                last = "\n".join(self.output.splitlines()[-15:])
                raise RuntimeError(f"{what}: ended with {self.process.returncode}\n{last}")
            return condition()

        return wait_for(alive, seconds, what)

    def kill(self) -> None:
        """kill -9, with everything in its process group."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> None:
        self.process.terminate()

    def stop(self) -> None:
        stop_processes([self.process], timeout_seconds=STOP_SECONDS)


class Cluster:
    """`manage.py cluster` and what it says about its nodes."""

    def __init__(self, installation: Installation, *, nodes: int, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        arguments = ("--nodes", str(nodes), "--port", str(port))
        self.program = installation.program("cluster", "cluster", *arguments)
        self._count = nodes

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Return when every node answers, and so does nginx. Raises TimeoutError, RuntimeError."""
        self.program.wait_for(lambda: len(self.nodes()) == self._count, seconds, "the nodes' lines")
        for url in [*(url for _, url in self.nodes().values()), self.address]:
            self.program.wait_for(lambda at=url: readiness(at), seconds, f"{url}/readyz")  # type: ignore[misc]

    def nodes(self) -> dict[str, tuple[int, str]]:
        """Return (process id, address) by name, as last printed."""
        return {name: (int(pid), url) for name, pid, url in NODE_LINE.findall(self.program.output)}

    def urls(self) -> list[str]:
        return [socket_url(url) for _, (_, url) in sorted(self.nodes().items())]

    def kill_node(self, name: str) -> int:
        """kill -9 this node and return the process id it had."""
        pid = self.nodes()[name][0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> None:
        self.program.stop()
