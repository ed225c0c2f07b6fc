"""The cluster that is broken on purpose: Redis, and nodes that reach it through a proxy of their own each."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from chatproject.demo.processes import Installation, Program, readiness, socket_url
from chatproject.services.process import free_port, is_port_free

from .proxy import Proxy

START_SECONDS = 60
# A node that was told to end has ended by then; its own alarm rings before.
END_SECONDS = 20
POLL_SECONDS = 0.05


class Hung(Exception):
    """A node that was told to end did not. The text says where its threads are."""


class PortTaken(Exception):
    """A node cannot be started again: something holds its port. The text says which."""


class Node:
    """One node of a ``stack``. ``well``: up, running, and with a way to Redis, as far as we did it no harm.

    ``began``: when its present process was started, by the monotonic clock.
    """

    def __init__(self, stack: "Stack", name: str) -> None:
        self.stack, self.installation, self.name = stack, stack.installation, name
        self.proxy = Proxy(stack.redis_port, free_port())
        self.port = free_port()
        self.http = f"http://127.0.0.1:{self.port}"
        self.url = socket_url(self.http)
        self.well = False
        self.began = 0.0
        self._program: Program | None = None

    @property
    def program(self) -> Program:
        assert self._program is not None
        return self._program

    def start(self) -> None:
        arguments = ("serve", "--host", "127.0.0.1", "--port", str(self.port), "--node", self.name)
        url = self.proxy.redis_url
        self.began = time.monotonic()
        self._program = self.installation.program(self.name, *arguments, REDIS_URL=url, CHANNEL_REDIS_URL=url)

    async def until_ready(self) -> None:
        """Wait until it answers; start it again where it gave up, for want of Redis.

        Raises TimeoutError after START_SECONDS in which Redis was there: without it no node is ready.
        """
        async with asyncio.timeout(START_SECONDS) as limit:
            while not await asyncio.to_thread(readiness, self.http):
                if not self.stack.redis_is_up:
                    limit.reschedule(asyncio.get_running_loop().time() + START_SECONDS)
                if self.program.process.poll() is not None:
                    await self._until_port_is_free()
                    self.start()
                await asyncio.sleep(POLL_SECONDS)
        self.well = True

    async def restart(self) -> None:
        await self._until_port_is_free()
        self.start()
        await self.until_ready()

    async def _until_port_is_free(self) -> None:
        try:
            async with asyncio.timeout(END_SECONDS):
                while not is_port_free(self.port):  # noqa: ASYNC110  # the kernel tells nobody
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise PortTaken(f"port {self.port} of {self.name} was still in use after {END_SECONDS} s") from None

    def kill(self) -> None:
        self.well = False
        self.program.kill()

    def freeze(self) -> None:
        self.well = False
        os.kill(self.program.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.program.process.pid, signal.SIGCONT)

    async def drain(self) -> float:
        """SIGTERM; return the seconds until it has ended. Raises Hung, and then it has been killed."""
        self.well = False
        began = time.monotonic()
        self.program.terminate()
        try:
            async with asyncio.timeout(END_SECONDS):
                while self.program.process.poll() is None:  # noqa: ASYNC110  # no thread for a look
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            where = await asyncio.to_thread(stacks_of, self.program.process.pid)
            self.program.kill()
            raise Hung(f"{self.name} did not end within {END_SECONDS} s of SIGTERM\n{where}") from None
        return time.monotonic() - began

    def stop(self) -> None:
        if self._program is not None and self._program.process.poll() is None:
            self.thaw()
            self._program.stop()


class Stack:
    """``count`` nodes and their Redis, in a folder of their own."""

    def __init__(self, folder: Path, *, nodes: int, **env: str) -> None:
        self.redis_port = free_port()
        self.installation = Installation(folder, REDIS_URL=f"redis://127.0.0.1:{self.redis_port}/0", **env)
        self.folder = folder
        self.nodes = [Node(self, f"node-{number}") for number in range(1, nodes + 1)]
        self.redis_is_up = False
        self._redis: Program | None = None
        self._redis_starts = 0

    async def start(self) -> None:
        await asyncio.to_thread(self.installation.run, "migrate", "--verbosity", "0")
        await self.start_redis()
        for node in self.nodes:
            await node.proxy.start()
            node.start()
        await asyncio.gather(*(node.until_ready() for node in self.nodes))

    async def start_redis(self) -> None:
        """Start it and return when it answers."""
        async with asyncio.timeout(START_SECONDS):
            while not is_port_free(self.redis_port):  # noqa: ASYNC110  # the kernel tells nobody
                await asyncio.sleep(POLL_SECONDS)
            arguments = ("--port", str(self.redis_port), "--dir", str(self.folder / "redis"))
            self._redis = self.installation.program("redis", "redis", *arguments)
            self._redis_starts += 1
            while self._redis.output.count("redis ready") < self._redis_starts:
                if self._redis.process.poll() is not None:
                    raise RuntimeError(f"Redis ended: {self._redis.output[-500:]}")
                await asyncio.sleep(POLL_SECONDS)
        self.redis_is_up = True

    def kill_redis(self) -> None:
        assert self._redis is not None
        self.redis_is_up = False
        self._redis.kill()

    async def stop(self) -> None:
        for node in self.nodes:
            node.proxy.mend()
        for node in self.nodes:
            if node.well:
                node.program.terminate()
        for node in self.nodes:
            await asyncio.to_thread(node.stop)
            await node.proxy.stop()
        if self._redis is not None:
            await asyncio.to_thread(self._redis.stop)


def stacks_of(pid: int) -> str:
    """Return where the threads of a process are, if py-spy is there to tell."""
    spy = Path(sys.executable).with_name("py-spy")
    try:
        done = subprocess.run([spy, "dump", "--pid", str(pid)], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout
