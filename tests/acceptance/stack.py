"""Redis and nodes as real processes, each of which can be killed and started again at its own address."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from chatproject.demo.processes import Installation, Program, readiness, socket_url, wait_for
from chatproject.services.process import free_port, is_port_free

START_SECONDS = 90
DRAIN_SECONDS = 20
GENEROUS = {
    "RATE_LIMIT_MESSAGES": "off",
    "RATE_LIMIT_COMMANDS": "off",
    "MAX_CONNECTIONS_PER_USER": "1000",
    "MAX_CONNECTIONS_PER_ADDRESS": "1000",
    "SCRIPTED_DELAY_MS": "10",
    "ALLOWED_ORIGINS": "http://localhost:8000",
    "LOG_LEVEL": "WARNING",
}


class Node:
    def __init__(self, stack, name, env):
        self.stack, self.name, self.env, self.port = stack, name, env, free_port()
        self.http = f"http://127.0.0.1:{self.port}"
        self.url = socket_url(self.http)
        self.program = None
        self.is_ending = False

    def start(self, **env):
        """Start it; ``env`` holds for this run only."""
        wait_for(lambda: is_port_free(self.port), 10, f"port {self.port} of {self.name}")
        arguments = ("serve", "--host", "127.0.0.1", "--port", str(self.port), "--node", self.name)
        self.is_ending = False
        self.program: Program = self.stack.installation.program(self.name, *arguments, **{**self.env, **env})

    def wait_until_ready(self):
        self.program.wait_for(self.readiness, START_SECONDS, f"{self.name}/readyz")

    def readiness(self):
        return readiness(self.http)

    def kill(self):
        self.program.kill()

    def freeze(self):
        os.kill(self.program.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.program.process.pid, signal.SIGCONT)

    def terminate(self):
        """SIGTERM: it drains and ends."""
        self.is_ending = True
        self.program.terminate()

    def wait_until_ended(self):
        """Wait for the end of a drain; a node that hangs is killed, after saying where."""
        process = self.program.process
        try:
            process.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            spy = [Path(sys.executable).with_name("py-spy"), "dump", "--pid", str(process.pid)]
            stacks = subprocess.run(spy, capture_output=True, text=True, check=False).stdout
            self.kill()
            raise AssertionError(f"{self.name} did not end within {DRAIN_SECONDS} s\n{stacks}") from None

    @property
    def is_down(self):
        """Whether it must be started again; one that drains is waited for."""
        if self.program is not None and self.is_ending:
            self.wait_until_ended()
        return self.program is None or self.program.process.poll() is not None

    def rss_kib(self):
        with open(f"/proc/{self.program.process.pid}/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


class Stack:
    """One Redis, one database, ``count`` nodes. Tokens are made once for each name."""

    def __init__(self, var_dir, count=3, **env):
        self.redis_port = free_port()
        self.redis_url = f"redis://127.0.0.1:{self.redis_port}/0"
        steps = {"SCRIPTED_STEPS_FILE": str(var_dir / "steps.txt")}
        self.installation = Installation(var_dir, REDIS_URL=self.redis_url, **{**GENEROUS, **steps, **env})
        self.nodes = [Node(self, f"node-{number}", {}) for number in range(1, count + 1)]
        self.extra = []
        self.redis = None
        self.redis_starts = 0
        self._tokens = {}

    def start(self, *names):
        """Start all of it, and make these people's tokens meanwhile."""
        self.installation.run("migrate", "--verbosity", "0")
        self.start_what_is_down()
        self.tokens(*names)
        self.wait_until_ready()

    def start_what_is_down(self):
        """Call it from the main thread: children die with the thread that started them."""
        if self.redis is None or self.redis.process.poll() is not None:
            self.start_redis()
            self.wait_for_redis()  # a node without Redis does not start
        for node in self.nodes:
            if node.is_down:
                node.start()

    def wait_until_ready(self):
        for node in self.nodes:
            node.wait_until_ready()

    @property
    def steps_file(self):
        return self.installation.var_dir / "steps.txt"

    def steps(self):
        """Return the numbers of the steps that `/steps` has run, in order, over all turns."""
        return [int(line) for line in self.steps_file.read_text().split()] if self.steps_file.exists() else []

    def start_redis(self):
        wait_for(lambda: is_port_free(self.redis_port), 10, "the port of Redis")
        arguments = ("--port", str(self.redis_port), "--dir", str(self.installation.var_dir / "redis"))
        self.redis = self.installation.program("redis", "redis", *arguments)
        self.redis_starts += 1

    def wait_for_redis(self):
        def started():
            return self.redis.output.count("redis ready") == self.redis_starts

        self.redis.wait_for(started, START_SECONDS, "Redis")

    def prepare_node(self, name, **env):
        """Begin to start one more node with an environment of its own."""
        node = Node(self, name, env)
        self.extra.append(node)
        node.start()
        return node

    def add_node(self, name, **env):
        """Start one more node with an environment of its own."""
        node = self.prepare_node(name, **env)
        node.wait_until_ready()
        return node

    def tokens(self, *names):
        if missing := [name for name in names if name not in self._tokens]:
            self._tokens |= zip(missing, self.installation.tokens(*missing), strict=True)
        return [self._tokens[name] for name in names]

    def session(self, username):
        """Return the key of a login session, the same at each call."""
        program = (
            "from conversations.models import User; from tests.login_kit import signed_in; "
            f"print(signed_in(User.objects.get(username='{username}')))"
        )
        key = f"session of {username}"
        if key not in self._tokens:
            self._tokens[key] = self.installation.run("shell", "--no-imports", "-c", program).split()[-1]
        return self._tokens[key]

    def urls(self, first=0):
        """Return the nodes' addresses, beginning with the one at this index."""
        urls = [node.url for node in self.nodes]
        return urls[first % len(urls) :] + urls[: first % len(urls)]

    def stop(self):
        for node in [*self.nodes, *self.extra]:
            if node.program is not None:
                node.program.terminate()
        for node in [*self.nodes, *self.extra]:
            if node.program is not None:
                node.program.stop()
        if self.redis is not None:
            self.redis.stop()
