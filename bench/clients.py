"""Runs of the client process (client/*.mjs): an order as JSON goes in, a result as JSON comes out."""

import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

import orjson

from .node import node_command
from .processes import BENCH_DIR


def start(script: str, order: dict[str, Any], **options: Any) -> subprocess.Popen[bytes]:
    # In a file: an order of thousands of users is too long for a command line. The client deletes it.
    with tempfile.NamedTemporaryFile(prefix="tether-order-", suffix=".json", delete=False) as file:
        file.write(orjson.dumps(order))
    command = [*node_command(), str(BENCH_DIR / "client" / f"{script}.mjs"), file.name]
    return subprocess.Popen(command, cwd=BENCH_DIR, stdout=subprocess.PIPE, **options)


def run(script: str, order: dict[str, Any], *, seconds: float) -> Any:
    """Return the client's result. Raises RuntimeError when it fails or takes longer than ``seconds``."""
    client = start(script, order, stderr=subprocess.PIPE)
    try:
        out, problems = client.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"client {script}: no result after {seconds} s") from None
    finally:
        client.kill()
        client.wait()
    if client.returncode != 0:
        raise RuntimeError(f"client {script} failed:\n{problems.decode()[-2000:]}")
    return orjson.loads(out)


def run_measured(
    script: str,
    order: dict[str, Any],
    at_start: Callable[[], Any],
    at_end: Callable[[], Any],
    *,
    seconds: float,
) -> tuple[Any, Any, Any]:
    """As ``run``, calling back when the client says on its stderr that it begins and has ended measuring."""
    client = start(script, order, stderr=subprocess.PIPE)
    assert client.stderr is not None
    deadline = time.monotonic() + seconds
    before = after = None
    try:
        problems = b""
        for line in client.stderr:
            if line == b"measuring\n":
                before = at_start()
            elif line == b"measured\n":
                after = at_end()
            else:
                problems += line
        out, _ = client.communicate(timeout=max(1, deadline - time.monotonic()))
    finally:
        client.kill()
        client.wait()
    if client.returncode != 0:
        raise RuntimeError(f"client {script} failed:\n{problems.decode()[-2000:]}")
    return orjson.loads(out), before, after
