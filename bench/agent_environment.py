"""Environments of their own for the agent servers of the comparison: another Python, another set of packages."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import orjson

from .processes import ROOT

PACKAGES = {
    "aegra": ["aegra-cli==0.11.0", "aegra-api==0.11.0"],
    "langgraph-dev": ["langgraph-cli[inmem]==0.4.40"],
}
TOLD = {"aegra-api", "langgraph", "langgraph-cli", "langgraph-api", "langgraph-runtime-inmem"}
# Those that all packages have wheels for.
PYTHONS = ["3.12", "3.13"]
INSTALL_SECONDS = 240


class Skipped(RuntimeError):
    """This machine cannot run that server; the message says why."""


def find_python() -> Path:
    """Return a Python ≥ 3.12 of the PATH or of pyenv. Raises Skipped where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for version in PYTHONS:
        found = [*pyenv.glob(f"versions/{version}*/bin/python{version}")]
        if on_path := shutil.which(f"python{version}"):
            found.append(Path(on_path))
        for python in found:
            if _runs(python):
                return python
    raise Skipped(f"no Python {' or '.join(PYTHONS)} on the PATH or in pyenv")


def _runs(python: Path) -> bool:
    # A shim of pyenv is there for versions that are not chosen.
    return subprocess.run([python, "--version"], capture_output=True, timeout=30).returncode == 0


def prepare(kind: str) -> Path:
    """Return the folder of its commands; install what is missing, kept in var/bench. Raises Skipped."""
    folder = ROOT / "var" / "bench" / "-".join([kind, *(re.sub(r"\W+", "-", line) for line in PACKAGES[kind])])
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _uv("venv", "--quiet", "--python", str(find_python()), str(folder))
        _uv("pip", "install", "--quiet", "--python", str(python), *PACKAGES[kind])
        done.touch()
    return folder / "bin"


def versions(kind: str) -> dict[str, str]:
    """Return Python's version and those of the packages that matter."""
    python = prepare(kind) / "python"
    listed = orjson.loads(_uv("pip", "list", "--quiet", "--format", "json", "--python", str(python)))
    said = subprocess.run([python, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    return {"Python": said.split()[1], **{one["name"]: one["version"] for one in listed if one["name"] in TOLD}}


def _uv(*arguments: str) -> str:
    command = [sys.executable, "-m", "uv", *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise Skipped(f"uv {arguments[0]}: not done within {INSTALL_SECONDS} s") from None
    if ended.returncode:
        raise Skipped(f"uv {arguments[0]} failed: {ended.stderr.strip()[-300:]}")
    return ended.stdout
