"""One fault run from start to verdict."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .faults import Faults
from .history import History
from .plan import Fault, make_plan
from .stack import Stack
from .verdict import Verdict, make_verdict, table
from .work import Work

NODES = 3
SETTLE_SECONDS = 30
ENVIRONMENT = {
    "RATE_LIMIT_MESSAGES": "off",
    "RATE_LIMIT_COMMANDS": "off",
    # A killed node's connections count for half a minute after it.
    "MAX_CONNECTIONS_PER_USER": "1000",
    "MAX_CONNECTIONS_PER_ADDRESS": "10000",
    "HEARTBEAT_SECONDS": "5",
    "LOG_LEVEL": "INFO",
}
Say = Callable[[str], None]


class Options(NamedTuple):
    """``minutes``: no more faults after that; 0: as long as the plan takes. ``longest``: of one fault, in seconds."""

    seed: int = 1
    faults: int = 100
    conversations: int = 8
    minutes: float = 0
    nodes: int = NODES
    longest: float = 20


def run_chaos(
    options: Options,
    say: Say,
    *,
    history: Path | None = None,
    keep: Path | None = None,
    plan: list[Fault] | None = None,
) -> Verdict:
    """Start a cluster of its own, break it by the plan, print and return what went wrong.

    ``history``: where every line of it goes. ``keep``: the cluster's folder, which then stays, with all logs.
    """
    with tempfile.TemporaryDirectory(prefix="tether-chaos-", ignore_cleanup_errors=True) as folder:
        written = History(history)
        try:
            return asyncio.run(_run(options, say, written, keep or Path(folder), plan))
        finally:
            written.close()


async def _run(options: Options, say: Say, history: History, folder: Path, plan: list[Fault] | None) -> Verdict:
    plan = plan or make_plan(seed=options.seed, faults=options.faults, longest_seconds=options.longest)
    steps = folder / "steps"
    steps.mkdir(parents=True)
    stack = Stack(folder, nodes=options.nodes, SCRIPTED_STEPS_FILE=str(steps), **ENVIRONMENT)
    work = Work(
        urls=[node.url for node in stack.nodes],
        seed=options.seed,
        conversations=options.conversations,
        history=history,
    )
    faults = Faults(stack, work, history)
    history.note("run", **options._asdict(), plan=len(plan))
    say(f"seed {options.seed}: {len(plan)} faults, {options.conversations} conversations, {options.nodes} nodes")
    try:
        await stack.start()
        names = [f"chaos-{user}" for user in range(work.users)]
        await work.start(await asyncio.to_thread(stack.installation.tokens, *names))
        say("everything runs; breaking it")
        _stop_by_ctrl_c(faults, say)
        telling = asyncio.create_task(_tell(faults, len(plan), say))
        try:
            deadline = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
            await faults.strike_all(plan, deadline)
        finally:
            telling.cancel()
        say("everything is mended; waiting for the last answers")
        await work.end()
        await work.settle(SETTLE_SECONDS)
        await work.read_again(SETTLE_SECONDS)
        verdict = make_verdict(work, faults, steps)
        history.note("verdict", **verdict.as_json())
        say(table(verdict))
        return verdict
    finally:
        await work.stop()
        await stack.stop()


def _stop_by_ctrl_c(faults: Faults, say: Say) -> None:
    """What has been found so far is worth its verdict. A second time ends at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        faults.stop()
        loop.remove_signal_handler(signal.SIGINT)
        say("no more faults; Ctrl-C once more ends without a verdict")

    loop.add_signal_handler(signal.SIGINT, stop)


async def _tell(faults: Faults, planned: int, say: Say) -> None:
    while True:
        await asyncio.sleep(30)
        say(f"{sum(faults.counts.values())} of {planned} faults")
