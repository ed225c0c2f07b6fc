"""What waits in the partitions' sorted sets: conversations, by the time from which somebody should see to them."""

from collections.abc import Callable

from . import keys
from .batching import batcher


async def find_marked(name: Callable[[str], str], most: int) -> list[str]:
    """Return up to so many conversations whose time has come, the oldest mark first. Raises Unavailable.

    ``name`` gives a partition's key. Every node asks several times a second, so this goes over the shared wire.
    """
    seconds, micros = await batcher().command("TIME")
    now = int(seconds) * 1000 + int(micros) // 1000
    replies = [
        batcher().command("ZRANGE", name(tag), "-inf", now, "BYSCORE", "LIMIT", 0, most, "WITHSCORES")
        for tag in keys.TAGS
    ]
    marks: list[tuple[float, bytes]] = []
    for reply in replies:
        flat = await reply
        marks += zip(map(float, flat[1::2]), flat[::2], strict=True)
    return [member.decode() for _, member in sorted(marks)[:most]]
