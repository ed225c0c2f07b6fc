"""`kill -9` of a process in the middle of its answers, on each server of the comparison: when does each go on?

What was killed is started again at once, as a supervisor would. Where there are two instances, the devices that
watch are on the other one.
"""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from typing import Any

from .agent_servers import SERVERS
from .device import until
from .peers import available
from .talks import Answer, Talk, talk_with

CONVERSATIONS = 6
WORDS, PACE_MS = 1500, 20
# Soon after its beginning and well into it: what keeps its state in memory saves it each ten seconds.
WORDS_BEFORE = [20, 600]
KILLS = {"tether": 4, "aegra": 2, "langgraph-dev": 2}
# A server that has not gone on with an answer by then is said not to.
DEADLINE_SECONDS = 75


async def _kill(server: Any, first: int, words_before: int) -> dict[str, Any]:
    """Ask on n0, watch on the last instance, kill n0; return the seconds to each answer's next new word or None."""
    async with AsyncExitStack() as stack:
        talks = [talk_with(server, first + number, 0) for number in range(CONVERSATIONS)]
        for talk in talks:
            await stack.enter_async_context(talk)
        tasks: list[asyncio.Task[Any]] = []
        try:
            seen = [await _watched(talk, len(server.urls) - 1, tasks) for talk in talks]
            await until(lambda: all(len(each.words) >= words_before for each in seen), "words", DEADLINE_SECONDS, tasks)
            killed = server.process("n0").pids()
            seen = [each for each in seen if each.words[-1].pid in killed]
            if not seen:
                raise RuntimeError("no answer was being written by the process to be killed")
            at = time.monotonic()
            server.process("n0").kill()
            server.restart("n0")
            # Whoever asked on n0 has lost its connection, and who watches may be told that the run is gone.
            with suppress(TimeoutError):
                await until(lambda: all(_next(each, killed) for each in seen), "more", DEADLINE_SECONDS, [])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    waits = [_next(each, killed) for each in seen]
    return {"words_before": words_before, "waits_seconds": [round(wait - at, 3) if wait else None for wait in waits]}


async def _watched(talk: Talk, node: int, tasks: list[asyncio.Task[Any]]) -> Answer:
    answer, seen = Answer(), Answer()
    tasks.append(asyncio.create_task(talk.turn(f"/words {WORDS} {PACE_MS}", answer)))
    await until(answer.started.is_set, "the first word", DEADLINE_SECONDS, tasks)
    tasks.append(asyncio.create_task(talk.follow(answer, seen, node)))
    return seen


def _next(seen: Answer, killed: set[int]) -> float:
    """Return when the first word from another process came, 0 if none did."""
    return next((word.at for word in seen.words if word.pid not in killed), 0.0)


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    kinds, skipped = available()
    runs = []
    for kind in ["tether"] if quick else kinds:
        with SERVERS[kind]() as server:
            for number in range(1 if quick else KILLS[kind]):
                run = asyncio.run(_kill(server, number * CONVERSATIONS, WORDS_BEFORE[number % 2]))
                runs.append({"kind": kind, **run})
                print(f"  {kind}: {run}", flush=True)
                _wait_ready(server)
    return {"deadline_seconds": DEADLINE_SECONDS, "skipped": skipped, "runs": runs}


def _wait_ready(server: Any) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not server.is_ready("n0"):
        if time.monotonic() > deadline:
            raise TimeoutError("n0 did not come back")
        time.sleep(0.05)
