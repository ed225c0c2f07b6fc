"""A node's memory for each idle connection and each client that stops reading; what its neighbour feels."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from .clients import start
from .servers import Tether

CONNECTIONS, QUICK_CONNECTIONS = 2_000, 100
# Enough to load what a first connection loads, too few to leave much memory behind for the measured ones.
WARM_UP = 20
STALLED = 20
SETTLE_SECONDS = 3


def _line(client: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert client.stdout is not None
    line = client.stdout.readline()
    if not line:
        raise RuntimeError(f"the client ended with {client.wait(5)}")
    return orjson.loads(line)


@contextmanager
def _client(script: str, order: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    client = start(script, order, stdin=subprocess.PIPE)
    try:
        yield client
    finally:
        client.kill()
        client.wait()


def _settled_kib(server: Tether) -> dict[str, float]:
    """Memory is read some seconds after the last change: late allocations belong to it."""
    time.sleep(SETTLE_SECONDS)
    return {name: child.rss_kib() for name, child in server.nodes.items()}


def measure_idle(server: Tether, count: int) -> dict[str, Any]:
    users = server.users(count)
    with _client("idle", {"urls": server.urls, "users": users[:WARM_UP]}) as client:
        _line(client)
    before = _settled_kib(server)
    with _client("idle", {"urls": server.urls, "users": users}) as client:
        connected = _line(client)["connected"]
        after = _settled_kib(server)
    grown = sum(after.values()) - sum(before.values())
    print(f"  {connected} idle connections: {grown / connected:.1f} KiB each", flush=True)
    return {
        "connections": connected,
        "before_kib": before,
        "after_kib": after,
        "each_kib": round(grown / connected, 1),
    }


def measure_stalled(server: Tether, *, seed: int, quick: bool) -> dict[str, Any]:
    order = {
        "urls": server.urls,
        "user": server.users(count=2_050)[-1],
        "stalled": STALLED,
        "seconds": 3 if quick else 10,
        "per_second": 200,
        "length": 4_000,
        "seed": seed,
    }
    with _client("stalled", order) as client:
        alone, before = _line(client)["alone"], server.nodes["n0"].rss_kib()
        assert client.stdin is not None
        client.stdin.write(b"go\n")
        client.stdin.flush()
        stalled, after = _line(client)["stalled"], server.nodes["n0"].rss_kib()
    each = round((after - before) / STALLED, 1)
    print(f"  each of {STALLED} that stopped reading: {each} KiB", flush=True)
    sizes = {name: order[name] for name in ("stalled", "seconds", "per_second", "length")}
    return {"order": sizes, "alone": alone, "beside_stalled": stalled, "each_kib": each}


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    with Tether() as server:
        idle = measure_idle(server, QUICK_CONNECTIONS if quick else CONNECTIONS)
    with Tether() as server:  # in the memory that the idle left behind the stalled would seem to cost nothing
        stalled = measure_stalled(server, seed=seed, quick=quick)
        return {"durability": {"tether": server.durability()}, "idle": idle, "stalled": stalled}
