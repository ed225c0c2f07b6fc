"""A turn that runs on one node is cancelled from another: how long until it has ended there and the devices know?

The end comes after the model's task was cancelled, so it is no shorter than the way to the model.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from websockets.asyncio.client import connect

from .device import Device
from .servers import Tether

CONVERSATIONS = 10
ROUNDS, QUICK_ROUNDS = 50, 4
CONTENTS = {"silent": "/slow 60", "streaming": "/words 5000"}


async def _rounds(server: Tether, user: dict[str, str], content: str, rounds: int) -> list[dict[str, float]]:
    """Ask on n0 and cancel on n1, time after time; return the ms to the `result` and to `turn.finished`."""
    async with AsyncExitStack() as stack:
        watcher, sender = [
            Device(await stack.enter_async_context(connect(server.urls[node], compression=None))) for node in (1, 0)
        ]
        await watcher.send(type="auth", device_id="watcher", token=user["token"])
        await watcher.until("opened")
        conversation_id = watcher.last["conversation_id"]
        await sender.send(type="auth", device_id="sender", token=user["token"], open={})
        await sender.until("system")
        found = []
        for number in range(rounds):
            text = {"client_id": f"c{number}", "conversation_id": conversation_id, "content": content}
            await sender.send(type="text", **text)
            await watcher.until("turn.started")
            # Now and then the other node's sweep is first; such a turn is cancelled as well, and not counted.
            is_far = watcher.last["data"]["node"] == "n0"
            if "words" in content:
                await watcher.until("delta")
            else:
                await asyncio.sleep(0.05)  # well into the model's silence; nothing tells of it
            began = time.monotonic()
            command = {"id": f"x{number}", "command": "cancel", "conversation_id": conversation_id, "args": {}}
            await watcher.send(type="command", **command)
            at = await watcher.until("result", "turn.finished")
            if is_far:
                found.append({kind: round((when - began) * 1000, 2) for kind, when in at.items()})
            if watcher.last["type"] == "event" and watcher.last["data"]["status"] != "cancelled":
                raise RuntimeError(f"the turn ended as {watcher.last['data']['status']}")
        return found


async def _all(server: Tether, content: str, first: int, rounds: int) -> list[dict[str, float]]:
    users = server.users(first + CONVERSATIONS)[first:]
    found = await asyncio.gather(*(_rounds(server, user, content, rounds) for user in users))
    return [each for rows in found for each in rows]


def _spread(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    return {f"p{share}": values[min(len(values) - 1, len(values) * share // 100)] for share in (50, 99, 100)}


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    runs = []
    with Tether() as server:
        for number, (model, content) in enumerate(CONTENTS.items()):
            rounds = QUICK_ROUNDS if quick else ROUNDS
            found = asyncio.run(_all(server, content, number * CONVERSATIONS, rounds))
            run = {
                "model": model,
                "conversations": CONVERSATIONS,
                "cancels": len(found),
                "noted_ms": _spread([each["result"] for each in found]),
                "ended_ms": _spread([each["turn.finished"] for each in found]),
            }
            print(f"  {model}: noted {run['noted_ms']}, ended {run['ended_ms']} ms", flush=True)
            runs.append(run)
        return {"durability": {"tether": server.durability()}, "runs": runs}
