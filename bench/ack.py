"""From `text` to `ack` of a lone message, with an fsync between them."""

from typing import Any

from .clients import run
from .servers import Tether

ROUNDS = 3


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    runs = []
    with Tether() as server:
        for number in range(1 if quick else ROUNDS):
            order = {
                "urls": server.urls,
                "user": server.users(number + 1)[number],
                "messages": 100 if quick else 1000,
                "pause_ms": 5,
                "seed": seed,
            }
            runs.append(run("ack", order, seconds=60))
            print(
                f"  text to ack: p50 {runs[-1]['ack_ms']['p50']} ms, p99 {runs[-1]['ack_ms']['p99']} ms",
                flush=True,
            )
        durability = server.durability()
    return {"durability": {"tether": durability}, "runs": runs}
