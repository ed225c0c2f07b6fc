"""Resume after 1,000 missed entries: in a conversation of 100,000 as in one of 2,000?"""

from typing import Any

from redis import Redis

from conversations import keys

from .clients import run
from .processes import wait_until
from .servers import Tether

MISSED = 1_000
LENGTHS = [2_000, 100_000]
QUICK_LENGTHS = [1_500, 4_000]
# The archive keeps the newest 1,000 in the stream; some more are left between two of its rounds.
TRIMMED_TO = 1_500
TRIM_SECONDS = 180


def _wait_for_archive(redis: Redis, conversations: list[dict[str, Any]]) -> list[int]:
    """Wait until the streams are trimmed, so that both lie as in daily life; return their lengths."""
    names = [keys.log(one["conversation"]) for one in conversations]
    try:
        wait_until(lambda: all(redis.xlen(name) <= TRIMMED_TO for name in names), "archived", seconds=TRIM_SECONDS)
    except TimeoutError:
        print("  the streams were not trimmed in time; measured as they are", flush=True)
    return [redis.xlen(name) for name in names]


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    with Tether() as server:
        common = {"urls": server.urls, "user": server.users(1)[0], "missed": MISSED}
        order = {**common, "lengths": QUICK_LENGTHS if quick else LENGTHS, "seed": seed}
        conversations = run("seed", order, seconds=400)
        print(f"  seeded {[one['length'] for one in conversations]}", flush=True)
        streams = _wait_for_archive(Redis(port=server.redis_port), conversations)
        order = {**common, "conversations": conversations, "rounds": 5 if quick else 40}
        runs = run("resume", order, seconds=300)
        for one, length in zip(runs, streams, strict=True):
            one["in_stream"] = length
            print(f"  of {one['length']}: open p50 {one['open_ms']['p50']} ms", flush=True)
        return {"durability": {"tether": server.durability()}, "runs": runs}
