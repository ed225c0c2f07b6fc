"""Strikes: takes the plan's faults one after the other and does them; what lasts is mended in a task of its own."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from .history import History
from .plan import Fault
from .stack import Hung, Node, Stack
from .work import Work

WELL_SECONDS = 60
WENT_ON_SECONDS = 60
POLL_SECONDS = 0.01


class Faults:
    """``counts`` of what was done, ``waits``: seconds from each timed end of a node to the next new piece."""

    def __init__(self, stack: Stack, work: Work, history: History) -> None:
        self.stack, self.work, self.history = stack, work, history
        self.counts: Counter[str] = Counter()
        self.waits: dict[str, list[float]] = {"kill": [], "drain": []}
        self.ends: list[float] = []
        self.hung: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_enough = False

    def stop(self) -> None:
        """No further fault; what was begun is mended."""
        self._is_enough = True

    async def strike_all(self, plan: list[Fault], deadline: float) -> None:
        """Do the plan, as much of it as the time allows, and return when everything is mended."""
        for fault in plan:
            await asyncio.sleep(fault.gap_seconds)
            if self._is_enough or time.monotonic() > deadline:
                self.history.note("stopped", done=sum(self.counts.values()), planned=len(plan))
                break
            await self._strike(fault)
        await self._all_well()

    async def _strike(self, fault: Fault) -> None:
        if fault.kind == "cut":
            device = self.work.devices[fault.target % len(self.work.devices)]
            self._note(fault, device.device_id)
            device.cut()
            return
        if fault.alone:
            await self._all_well()
        if fault.kind == "redis":
            await self._until(lambda: self.stack.redis_is_up)
            self._begin(fault, self._redis(fault))
            return
        # One node stays well: whoever breaks everything at once learns nothing about takeover.
        await self._until(lambda: sum(node.well for node in self.stack.nodes) > 1)
        node = await self._target(fault)
        doing = {"kill": self._kill, "freeze": self._freeze, "partition": self._partition, "drain": self._drain}
        task = self._begin(fault, doing[fault.kind](fault, node), node.name)
        node.well = False
        if fault.alone:
            await asyncio.wait([task])

    async def _target(self, fault: Fault) -> Node:
        """Return the node to hit. What is timed hits where somebody reads, if it is so within a moment."""
        nodes = [node for node in self.stack.nodes if node.well]
        if fault.alone:
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                busy = [node for node in nodes if self.work.running_on(node.name, node.began)]
                if busy:
                    nodes = busy
                    break
                await asyncio.sleep(POLL_SECONDS)
        return nodes[fault.target % len(nodes)]

    def _begin(self, fault: Fault, work: Coroutine[Any, Any, None], target: str = "redis") -> "asyncio.Task[None]":
        self._note(fault, target)
        task = asyncio.get_running_loop().create_task(work, name=f"fault {fault.number}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.hung.append(f"{task.get_name()}: {error!r}")
            self.history.note("not mended", fault=task.get_name(), error=repr(error))

    def _note(self, fault: Fault, target: str) -> None:
        self.counts[fault.kind] += 1
        self.history.note("fault", **fault.as_json() | {"target": target})

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(2 * WELL_SECONDS):
            while not condition():  # noqa: ASYNC110  # facts of several tasks, none with an event
                await asyncio.sleep(POLL_SECONDS)

    async def _all_well(self) -> None:
        """Wait for every mending."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    # -- the kinds

    async def _redis(self, fault: Fault) -> None:
        self.stack.kill_redis()
        await asyncio.sleep(fault.seconds)
        await self.stack.start_redis()
        self.history.note("mended", number=fault.number)

    async def _kill(self, fault: Fault, node: Node) -> None:
        running = self.work.running_on(node.name, node.began)
        node.kill()
        await asyncio.gather(node.restart(), self._time(fault, running, time.monotonic()))
        self.history.note("mended", number=fault.number)

    async def _drain(self, fault: Fault, node: Node) -> None:
        running = self.work.running_on(node.name, node.began)
        timing = asyncio.create_task(self._time(fault, running, time.monotonic()))
        try:
            self.ends.append(await node.drain())
        except Hung as error:
            self.hung.append(str(error))
            self.history.note("hung", node=node.name, error=str(error))
        await asyncio.gather(node.restart(), timing)
        self.history.note("mended", number=fault.number)

    async def _freeze(self, fault: Fault, node: Node) -> None:
        node.freeze()
        await asyncio.sleep(fault.seconds)
        node.thaw()
        await node.until_ready()
        self.history.note("mended", number=fault.number)

    async def _partition(self, fault: Fault, node: Node) -> None:
        node.proxy.cut()
        await asyncio.sleep(fault.seconds)
        node.proxy.mend()
        await node.until_ready()
        self.history.note("mended", number=fault.number)

    async def _time(self, fault: Fault, running: dict[str, int], began: float) -> None:
        """Note how long each of these turns waited for its next new piece, at most WENT_ON_SECONDS, where nothing else
        was broken."""
        if not fault.alone:
            return
        for turn_id, attempt in running.items():
            deadline = began + WENT_ON_SECONDS
            while (at := self.work.went_on(turn_id, attempt)) is None and time.monotonic() < deadline:
                if self.work.is_over(turn_id):
                    break  # its end was under way already
                await asyncio.sleep(POLL_SECONDS)
            if at is None and self.work.is_over(turn_id):
                continue
            # One that never went on counts as well: a p99 of those that did would say nothing.
            waited = WENT_ON_SECONDS if at is None else at - began
            self.waits[fault.kind].append(waited)
            self.history.note(
                "went on" if at else "did not go on", turn=turn_id, after=fault.kind, seconds=round(waited, 3)
            )
