"""How many answers does one node stream at once, each to three devices, before what they see lags behind the model?"""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from typing import Any

from websockets.asyncio.client import connect

from .agent_servers import OwnGraph
from .device import Device, kind_of
from .figures import quantiles
from .processes import busy_seconds
from .talks import Answer

COUNTS, QUICK_COUNTS = [10, 25, 50, 75, 100, 150, 200, 250, 300], [5]
DEVICES = 3
WORDS, PACE_MS = 200, 20
LAG_BOUND_MS = 250
# The answers do not begin at once, but within one of the model's answers.
SPREAD_SECONDS = WORDS * PACE_MS / 1000
DEADLINE_SECONDS = 60


async def _stream(server: OwnGraph, count: int, first: int, chance: random.Random) -> dict[str, Any]:
    """Let so many conversations have two answers each, one after the other; return how late the words were."""
    users = server.users(first + count)[first:]
    async with AsyncExitStack() as stack:
        talks = []
        for user in users:
            devices = [
                Device(await stack.enter_async_context(connect(server.urls[0], compression=None)))
                for _ in range(DEVICES)
            ]
            conversation_id = await devices[0].join(user, "d0")
            for number, device in enumerate(devices[1:], 1):
                await device.join(user, f"d{number}", conversation_id)
            talks.append((conversation_id, devices, chance.uniform(0, SPREAD_SECONDS)))
        before, begun = _used(server), time.monotonic()
        async with asyncio.timeout(DEADLINE_SECONDS):
            found = await asyncio.gather(*(_two_answers(*talk) for talk in talks))
        seconds = time.monotonic() - begun
        used = {name: seen - before[name] for name, seen in _used(server).items()}
    answers = [answer for each in found for answer in each]
    # Only while all of them stream: neither how it fills nor how it ends.
    begin = max(each[0].words[0].said for each in found)
    end = min(each[-1].words[-1].said for each in found)
    words = [word for answer in answers for word in answer.words if begin <= word.said <= end]
    return {
        "conversations": count,
        "lag_ms": quantiles((word.at - word.said) * 1000 for word in words),
        "first_ms": quantiles((answer.words[0].at - answer.words[0].said) * 1000 for answer in answers),
        "answer_seconds": quantiles(answer.words[-1].said - answer.words[0].said for answer in answers),
        "cores": {name: round(max(0.0, each) / seconds, 2) for name, each in used.items()},
    }


def _used(server: OwnGraph) -> dict[str, float]:
    """Return processor seconds so far; `strangers` is whatever else ran on the machine."""
    node, all_ours, client = server.nodes["n0"].cpu_seconds(), server.cpu_seconds(), time.process_time()
    return {
        "node": node,
        "redis": all_ours - node,
        "client": client,
        "strangers": busy_seconds() - all_ours - client,
    }


async def _two_answers(conversation_id: str, devices: list[Device], wait_seconds: float) -> list[Answer]:
    await asyncio.sleep(wait_seconds)
    answers = []
    for number in range(2):
        text = {"client_id": f"s{number}", "conversation_id": conversation_id, "content": f"/words {WORDS} {PACE_MS}"}
        await devices[0].send(type="text", **text)
        answers += await asyncio.gather(*(_read(device) for device in devices))
    return answers


async def _read(device: Device) -> Answer:
    answer = Answer()
    while (kind := kind_of(frame := await device.next())) != "turn.finished":
        if kind == "delta":
            answer.take(frame["text"])
    return answer.check(WORDS)


def holds(run: dict[str, Any]) -> bool:
    return bool(run["lag_ms"]["p99"] <= LAG_BOUND_MS)


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    """Go up until the bound is passed. A node is started anew for each count."""
    runs = []
    for count in QUICK_COUNTS if quick else COUNTS:
        with OwnGraph(1, MAX_TURNS=str(COUNTS[-1])) as server:
            try:
                run = asyncio.run(_stream(server, count, 0, random.Random(seed)))
            except TimeoutError:
                print(f"  {count}: not done within {DEADLINE_SECONDS} s", flush=True)
                break
            durability = server.durability()
        runs.append(run)
        print(f"  {run}", flush=True)
        if not holds(run):
            break
    shape = {"devices": DEVICES, "words": WORDS, "pace_ms": PACE_MS, "lag_bound_ms": LAG_BOUND_MS}
    return {"shape": shape, "durability": {"tether": durability}, "runs": runs}
