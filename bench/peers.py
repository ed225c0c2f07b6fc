"""The same graph on three servers: how soon is the first piece there, how many turns a second, who may join late?"""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

from . import agent_environment
from .agent_servers import MOST_RUNS, SERVERS
from .figures import quantiles
from .processes import busy_seconds
from .talks import Answer, Talk, talk_with

# Turns that each conversation has, at so many conversations at once: the same work for everyone.
TURNS = {1: 10, 10: 8, 50: 4}
QUICK_TURNS = {1: 2, 10: 1}
ROUNDS, QUICK_ROUNDS = 3, 1
WORDS = 20
# A run beside strangers that take more of a core than this is done again, at most so often.
STRANGERS, MORE_RUNS = 0.1, 2
# Others come into the middle of answers that are paced as a model's are.
JOINERS, JOINS, QUICK_JOINS = 10, 8, 1
JOIN_WORDS, JOIN_PACE_MS = 100, 20


def _undisturbed(server: Any, conversations: int, turns: int, firsts: Iterator[int]) -> list[dict[str, Any]]:
    """Return the runs of a level; only the last may have been undisturbed."""
    runs: list[dict[str, Any]] = []
    while not runs or (runs[-1]["cores"]["strangers"] > STRANGERS and len(runs) <= MORE_RUNS):
        runs.append(asyncio.run(_level(server, conversations, turns, next(firsts))))
    return runs


async def _level(server: Any, conversations: int, turns: int, first: int) -> dict[str, Any]:
    """Let so many talk at once, each one turn after the other, a warm one before."""
    async with AsyncExitStack() as stack:
        talks = [talk_with(server, first + number, number % len(server.urls)) for number in range(conversations)]
        for talk in talks:
            await stack.enter_async_context(talk)
        await asyncio.gather(*(_turns(talk, 1) for talk in talks))
        cpu, client_cpu, busy, begun = server.cpu_seconds(), time.process_time(), busy_seconds(), time.monotonic()
        found = await asyncio.gather(*(_turns(talk, turns) for talk in talks))
        seconds = time.monotonic() - begun
        used = {
            "server": server.cpu_seconds() - cpu,
            "client": time.process_time() - client_cpu,
            "all": busy_seconds() - busy,
        }
    answers = [answer for each in found for answer in each]
    return {
        "conversations": conversations,
        "turns": len(answers),
        "turns_per_second": round(len(answers) / seconds, 1),
        "turns_with_words_missing": sum(answer.missing(WORDS) > 0 for answer in answers),
        "first_ms": quantiles([(answer.words[0].at - answer.begun) * 1000 for answer in answers if answer.words]),
        "turn_ms": quantiles([(answer.ended - answer.begun) * 1000 for answer in answers]),
        "server_cpu_ms_per_turn": round(used["server"] * 1000 / len(answers), 1),
        "cores": {
            "server": round(used["server"] / seconds, 2),
            "client": round(used["client"] / seconds, 2),
            "strangers": round(max(0.0, used["all"] - used["server"] - used["client"]) / seconds, 2),
        },
    }


async def _turns(talk: Talk, number: int) -> list[Answer]:
    answers = []
    for _ in range(number):
        answer = Answer()
        await talk.turn(f"/words {WORDS} 0", answer)
        answers.append(answer)
    return answers


async def _joins(server: Any, batches: int, chance: random.Random, first: int) -> dict[str, Any]:
    """Let another device come in the middle of each answer, on the other instance where there is one."""
    async with AsyncExitStack() as stack:
        talks = [talk_with(server, first + number, 0) for number in range(JOINERS)]
        for talk in talks:
            await stack.enter_async_context(talk)
        missing = []
        for _ in range(batches):
            shares = [chance.uniform(0.1, 0.8) for _ in talks]
            joined = [_join(talk, share, len(server.urls) - 1) for talk, share in zip(talks, shares, strict=True)]
            missing += await asyncio.gather(*joined)
    return {"joins": len(missing), "words": JOIN_WORDS, "missing": missing}


async def _join(talk: Talk, share: float, node: int) -> int:
    """Return how many words of the answer the one who came late never got."""
    answer, seen = Answer(), Answer()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk.turn(f"/words {JOIN_WORDS} {JOIN_PACE_MS}", answer))
        await answer.started.wait()
        await asyncio.sleep(share * JOIN_WORDS * JOIN_PACE_MS / 1000)
        await talk.follow(answer, seen, node)
    return seen.missing(JOIN_WORDS)


def available() -> tuple[list[str], dict[str, str]]:
    """Return the servers that this machine can run, and why not the others, which it says aloud."""
    kinds, skipped = ["tether"], {}
    for kind in agent_environment.PACKAGES:
        try:
            agent_environment.prepare(kind)
            kinds.append(kind)
        except agent_environment.Skipped as why:
            print(f"  {kind}: SKIPPED: {why}", flush=True)
            skipped[kind] = str(why)
    return kinds, skipped


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    kinds, skipped = available()
    runs: list[dict[str, Any]] = []
    disturbed: list[dict[str, Any]] = []
    joins: list[dict[str, Any]] = []
    durability = {}
    chance = random.Random(seed)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    for number in range(rounds):
        for kind in kinds if number % 2 == 0 else reversed(kinds):
            with SERVERS[kind]() as server:
                firsts = count(0, MOST_RUNS)  # no conversation has two runs
                for conversations, turns in (QUICK_TURNS if quick else TURNS).items():
                    found = _undisturbed(server, conversations, turns, firsts)
                    run = found[-1]
                    runs.append({"kind": kind, "round": number, **run})
                    disturbed += [{"kind": kind, "round": number, **each} for each in found[:-1]]
                    said = {name: run[name] for name in ("conversations", "turns_per_second", "first_ms", "turn_ms")}
                    print(f"  {kind}: {said}", flush=True)
                if number == rounds - 1:
                    join = asyncio.run(_joins(server, QUICK_JOINS if quick else JOINS, chance, next(firsts)))
                    joins.append({"kind": kind, **join})
                    print(f"  {kind}: words missing after a late join: {join['missing']}", flush=True)
                    durability[kind] = server.durability()
    versions = {kind: agent_environment.versions(kind) for kind in kinds if kind != "tether"}
    order = {"words": WORDS, "durability": durability, "skipped": skipped, "versions_of_others": versions}
    return {**order, "runs": runs, "disturbed": disturbed, "joins": joins}
