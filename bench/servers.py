"""The servers that are measured, as real processes: ours, the peer, a mirror that shows the client's ceiling.

Each is a context manager with ``kind``, ``urls``, ``users(count)``, ``children`` and ``durability()``.
"""

import abc
import atexit
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError

from chatproject.services.redis import find_redis

from .node import node_command
from .processes import BENCH_DIR, MANAGE, ROOT, Child, free_port, stop_all, wait_until

TOKEN_TEXT = "bench-token-that-opens-nothing-but-this-run"
USERS = 2_100


def answers(url: str) -> bool:
    with suppress(urllib.error.URLError, OSError):
        return urllib.request.urlopen(url, timeout=2).status == 200
    return False


def pings(port: int) -> bool:
    with suppress(RedisError):
        return bool(Redis(port=port, socket_timeout=2).ping())
    return False


class Server(abc.ABC):
    """Processes in a directory of their own, all gone at the end."""

    kind = ""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="bench-"))
        self.children: list[Child] = []
        self.redis_port = free_port()
        self.urls: list[str] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            stop_all(self.children)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop_all(self.children)
        if error is None:
            shutil.rmtree(self.directory, ignore_errors=True)

    @abc.abstractmethod
    def start(self) -> None:
        """Start its processes, and return once they are ready."""

    def cpu_seconds(self) -> float:
        """Return the processor time of all its processes so far."""
        return sum(child.cpu_seconds() for child in self.children)

    def spawn(self, name: str, command: list[str], env: dict[str, str] | None = None, **options: Any) -> Child:
        child = Child(name, command, env or {}, self.directory, **options)
        self.children.append(child)
        return child

    def users(self, count: int) -> list[dict[str, str]]:
        return [{"user": f"b{number}", "token": f"{TOKEN_TEXT}-{number}"} for number in range(count)]

    def durability(self) -> dict[str, str]:
        """Return what the running Redis says of itself, not what we meant to configure."""
        redis = Redis(port=self.redis_port, decode_responses=True)
        names = ["appendonly", "appendfsync", "save"]
        said = {name: redis.config_get(name)[name] for name in names}
        return {"redis": redis.info("server")["redis_version"], **said}


class Tether(Server):
    """`manage.py redis` and nodes of `manage.py serve`, with the limits off and a copy of one database."""

    kind = "tether"
    template: Path | None = None

    def __init__(self, nodes: int = 2, **env: str) -> None:
        super().__init__()
        self.count = nodes
        self.nodes: dict[str, Child] = {}
        self.ports: dict[str, int] = {}
        self.env = {
            "VAR_DIR": str(self.directory),
            "DATABASE_URL": f"sqlite:///{self.directory / 'db.sqlite3'}",
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "CHANNEL_REDIS_URL": "",
            "SECRET_KEY": TOKEN_TEXT,
            "CHAT_MODEL": "scripted",
            "RATE_LIMIT_MESSAGES": "off",
            "RATE_LIMIT_COMMANDS": "off",
            "MAX_CONNECTIONS_PER_USER": "10000",
            "MAX_CONNECTIONS_PER_ADDRESS": "100000",
            "MAX_MESSAGES_PER_CONVERSATION": "10000000",
            "LOG_LEVEL": "WARNING",
            "ENVIRONMENT": "development",
            **env,
        }

    def start(self) -> None:
        self._copy_database()
        options = ["--port", str(self.redis_port), "--dir", str(self.directory / "redis")]
        redis = self.spawn("redis", [*MANAGE, "redis", *options], self.env)
        wait_until(lambda: pings(self.redis_port), "Redis answers", child=redis)
        for number in range(self.count):
            self.start_node(f"n{number}")
        for name in self.nodes:
            self.wait_ready(name)
        self.urls = [f"ws://127.0.0.1:{port}/ws/" for port in self.ports.values()]

    def _copy_database(self) -> None:
        """Migrations and users take seconds; they are made once for all runs of this process."""
        if Tether.template is None:
            users = [MANAGE[0], "-m", "bench.seed_users", str(USERS), TOKEN_TEXT]
            for command in ([*MANAGE, "migrate", "-v0"], users):
                subprocess.run(command, cwd=ROOT, env={**os.environ, **self.env}, check=True, timeout=120)
            Tether.template = Path(tempfile.mkdtemp(prefix="bench-database-"))
            atexit.register(shutil.rmtree, Tether.template, ignore_errors=True)
            for path in self.directory.glob("db.sqlite3*"):
                shutil.copy(path, Tether.template)
        else:
            for path in Tether.template.iterdir():
                shutil.copy(path, self.directory)

    def start_node(self, name: str) -> Child:
        """Start a node, or start one again on its old port."""
        port = self.ports.setdefault(name, free_port())
        command = [*MANAGE, "serve", "--host", "127.0.0.1", "--port", str(port), "--node", name]
        self.nodes[name] = self.spawn(name, command, self.env)
        return self.nodes[name]

    def wait_ready(self, name: str) -> None:
        url = f"http://127.0.0.1:{self.ports[name]}/readyz"
        wait_until(lambda: answers(url), f"{name} is ready", child=self.nodes[name])


class Peer(Server):
    """Two Socket.IO processes with the Redis streams adapter; the same Redis with its own defaults."""

    kind = "peer"
    nodes_count = 2

    def start(self) -> None:
        binary = str(find_redis().server)
        options = ["--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        redis = self.spawn("redis", [binary, *options])
        wait_until(lambda: pings(self.redis_port), "Redis answers", child=redis)
        for number in range(self.nodes_count):
            self._start_process(f"peer{number}", "server.mjs")

    def _start_process(self, name: str, script: str) -> None:
        port = free_port()
        env = {
            "PORT": str(port),
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}",
            "NODE_ENV": "production",
        }
        child = self.spawn(name, [*node_command(), str(BENCH_DIR / "peer" / script)], env)
        wait_until(lambda: b"ready" in child.log.read_bytes(), f"{name} listens", child=child)
        self.urls.append(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket")


class Mirror(Peer):
    """One process that answers as the peer does, without any work: the client's own ceiling."""

    kind = "mirror"

    def start(self) -> None:
        self._start_process("mirror", "mirror.mjs")

    def durability(self) -> dict[str, Any]:
        return {"redis": "none"}
