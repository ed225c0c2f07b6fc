"""What `manage.py cluster` starts: Redis, a model server if need be, nodes, and nginx in front of them."""

import http.client
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from chatproject.mail import CONSOLE
from conversations.errors import StartRefused

from . import model, nginx, redis
from .process import check_port, free_port, raise_file_limit
from .supervisor import Service, Supervisor

DEMO_USERNAME = "demo"
SERVICE_START_SECONDS = 120.0  # Redis may have much to load
NODE_START_SECONDS = 60.0
STOP_SECONDS = 7.0


class Cluster:
    """One installation on this machine. All of it ends when this process does."""

    def __init__(self, *, nodes: int, port: int, say: Callable[[str], None]) -> None:
        """Check what can be checked before anything starts. Raises StartRefused."""
        check_port(port, "nginx")
        if not 1 <= nodes <= 32:
            raise StartRefused(f"--nodes is {nodes}: choose 1 to 32")
        self.port, self.say = port, say
        self.var: Path = settings.VAR_DIR
        self.node_ports = {f"node-{number}": free_port() for number in range(1, nodes + 1)}
        self.supervisor = Supervisor(self.var / "log", on_ready=self._tell_ready, on_death=self._tell_death)
        self.open_files = raise_file_limit()
        self.env = {"PYTHONUNBUFFERED": "1", "TRUSTED_PROXIES": "127.0.0.1"}
        self.env["ALLOWED_ORIGINS"] = ",".join(f"http://{host}:{port}" for host in ("localhost", "127.0.0.1"))
        given = {name: os.environ[name] for name in self.env if os.environ.get(name)}
        self.env |= given
        self.console = os.dup(sys.stdout.fileno())  # for mail, which is of no use in a node's log
        self.env[CONSOLE] = str(self.console)
        self.nodes: list[Service] = []
        self.complete = False

    def run(self) -> None:
        """Start everything, and keep it alive until SIGINT or SIGTERM; then stop it. Raises StartRefused."""
        self.supervisor.catch_signals()
        try:
            if self._start():
                self.supervisor.watch()
        finally:
            self.supervisor.stop(self.nodes, timeout_seconds=STOP_SECONDS)

    def _start(self) -> bool:
        below = [*self._redis(), *self._model()]
        self.supervisor.start(*below)
        call_command("migrate", interactive=False, verbosity=0)  # while Redis loads its file
        if not self.supervisor.wait_until_ready(*below, timeout_seconds=SERVICE_START_SECONDS):
            return False
        self.nodes = [self._node(name, port) for name, port in self.node_ports.items()]
        front = self._nginx()
        self.supervisor.start(*self.nodes, front)
        account = "" if settings.PRODUCTION else make_demo_account(self.var / "demo_password")
        if not self.supervisor.wait_until_ready(*self.nodes, front, timeout_seconds=NODE_START_SECONDS):
            return False
        self._tell_all(account)
        return True

    def _redis(self) -> list[Service]:
        """An embedded one, unless REDIS_URL names another."""
        if url := os.environ.get("REDIS_URL"):
            self.env["REDIS_URL"] = url
            return []
        port, folder = free_port(), (self.var / "redis").resolve()
        self._use_redis(f"redis://127.0.0.1:{port}/0")
        lock = redis.lock_directory(folder)
        command = redis.redis_command(redis.find_redis(), port=port, directory=folder)
        return [Service("redis", command, lambda: redis.is_redis_ready(port), keep_files=(lock,))]

    def _use_redis(self, url: str) -> None:
        # This process too: what a change of an account announces goes there.
        self.env["REDIS_URL"] = settings.REDIS_URL = url
        if not os.environ.get("CHANNEL_REDIS_URL"):
            settings.CHANNEL_REDIS_URL = url
            settings.CHANNEL_LAYERS["default"]["CONFIG"] |= {"hosts": [url]}  # type: ignore[operator]

    def _model(self) -> list[Service]:
        """The local model's server, unless LOCAL_MODEL_URL names another."""
        if settings.CHAT_MODEL != "local" or os.environ.get("LOCAL_MODEL_URL"):
            return []
        if not model.is_installed():
            raise StartRefused("CHAT_MODEL is local, but the model is not installed: run `make setup`")
        port = free_port()
        self.env["LOCAL_MODEL_URL"] = f"http://127.0.0.1:{port}/v1"
        return [Service("model", model.model_command(port), lambda: model.is_model_ready(port))]

    def _node(self, name: str, port: int) -> Service:
        manage = str(settings.BASE_DIR / "manage.py")
        command = [sys.executable, manage, "serve", "--host", "127.0.0.1", "--port", str(port), "--node", name]
        return Service(name, command, lambda: is_node_ready(port), env=self.env, keep_files=(self.console,))

    def _nginx(self) -> Service:
        config = nginx.write_config(
            self.var / "nginx", port=self.port, node_ports=self.node_ports.values(), open_files=self.open_files
        )
        command = nginx.nginx_command(config)
        return Service("nginx", command, lambda: nginx.is_listening(self.port), death_signal=nginx.DEATH_SIGNAL)

    def _tell_all(self, account: str) -> None:
        if account:
            self.say(f"account {DEMO_USERNAME} password {account}")
            self.say("sign-up is open" if settings.SIGNUP_OPEN else "sign-up is closed; SIGNUP_OPEN=true opens it")
            if not settings.EMAIL_URL:
                self.say("mail is written here; EMAIL_URL names a server for it")
        self.say(f"redis {self.env['REDIS_URL']}")
        self.complete = True
        for node in self.nodes:
            self._tell_ready(node)
        self.say(f"logs {self.supervisor.log_folder}")
        self.say(f"ready http://localhost:{self.port}  (Ctrl-C stops everything)")

    def _tell_ready(self, service: Service) -> None:
        if not self.complete or service.process is None:
            return
        if service.name in self.node_ports:
            url = f"http://127.0.0.1:{self.node_ports[service.name]}"
            self.say(f"node {service.name} pid {service.process.pid} {url}")
        else:
            self.say(f"{service.name} pid {service.process.pid} is back")

    def _tell_death(self, service: Service) -> None:
        code = service.process.returncode if service.process else 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self.say(f"{service.name} ended ({how}); starting it again")


def is_node_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def make_demo_account(kept: Path) -> str:
    """Make the account if there is none, and return its password, which is kept in the file ``kept``.

    An account that a person gave another password gets the kept one again.
    """
    from conversations.models import User  # not before Django's apps are loaded

    if not kept.exists():
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_urlsafe(9))
    password = kept.read_text().strip()
    user, _ = User.objects.get_or_create(username=DEMO_USERNAME)
    if not user.check_password(password):
        user.set_password(password)
        user.save()
    return password
