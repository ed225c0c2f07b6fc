"""Everything at once: many conversations, cut sockets, a deaf channel layer, killed nodes, a killed Redis.

SOAK=1 runs the whole length; without it a short form with the same faults. SOAK_SEED repeats a run.
"""

import asyncio
import os
import random
import time
from collections import Counter

import pytest

from .conftest import caught_up, eventually

WHOLE = bool(os.environ.get("SOAK"))
MESSAGES, TURNS = (5000, 500) if WHOLE else (300, 30)
CONVERSATIONS, DEVICES = 20, 3
SEED = int(os.environ.get("SOAK_SEED", "20261102"))
SETTLE_SECONDS = 120 if WHOLE else 30
CUT_EVERY_SECONDS = 1.0
DEAF = {"TETHER_LAYER_DROP": "1"}


class Soak:
    def __init__(self, people, stack):
        self.people, self.stack, self.random = people, stack, random.Random(SEED)
        self.acked = 0
        self.highest = Counter()
        self.dropped = 0

    async def prepare(self):
        self.devices = [
            await self.people.device("alice", node=node, seed=node, backoff_seconds=(0.05, 1))
            for node in range(DEVICES)
        ]
        self.conversations = [await self.devices[0].new_conversation() for _ in range(CONVERSATIONS)]
        for device in self.devices[1:]:
            for conversation_id in self.conversations:
                await device.open(conversation_id)

    async def speak(self, device, orders):
        """Send the device's share, a few at a time; every message is sent until it is acked."""
        window = asyncio.Semaphore(8)

        async def one(conversation_id, content, respond):
            async with window:
                ack = await device.text(conversation_id, content, respond=respond)
            self.highest[conversation_id] = max(self.highest[conversation_id], ack["seq"])
            self.acked += 1

        await asyncio.gather(*(one(*order) for order in orders))

    def orders(self):
        """Return all messages, dealt to the devices: (conversation, content, respond)."""
        respond = [True] * TURNS + [False] * (MESSAGES - TURNS)
        self.random.shuffle(respond)
        all_orders = [
            (self.random.choice(self.conversations), f"/words {number % 30 + 1}" if asks else f"message {number}", asks)
            for number, asks in enumerate(respond)
        ]
        return [all_orders[at::DEVICES] for at in range(DEVICES)]

    async def cut_now_and_then(self):
        while True:
            await asyncio.sleep(self.random.uniform(0, 2 * CUT_EVERY_SECONDS))
            self.random.choice(self.devices).cut()

    async def restart(self, node, *, drain=False, **env):
        """Kill the node, or let it drain, and start it again."""
        self.dropped += (node.readiness() or {}).get("layer_dropped", 0)
        node.terminate() if drain else node.kill()
        await asyncio.to_thread(node.wait_until_ended)
        node.start(**env)
        await asyncio.to_thread(node.wait_until_ready)

    async def progress(self, share):
        await eventually(lambda: self.acked >= share * MESSAGES, SETTLE_SECONDS * 4)

    async def faults(self):
        """Each fault waits for its share of the messages, so that it falls into the middle of the work."""
        nodes = self.stack.nodes
        await self.progress(0.1)
        await asyncio.gather(*(self.restart(node, drain=True, **DEAF) for node in nodes[1:]))
        await self.progress(0.35)
        await self.restart(nodes[0], **DEAF)
        await self.progress(0.5)
        self.stack.redis.kill()
        await asyncio.sleep(0.5)
        self.stack.start_redis()
        await asyncio.to_thread(self.stack.wait_for_redis)
        await self.progress(0.7)
        for node in nodes:
            await self.restart(node, drain=node is not nodes[1])

    async def settle(self):
        """Wait until no turn is left and every device stands at the same head."""
        for conversation_id in self.conversations:
            await caught_up(
                *self.devices,
                conversation_id=conversation_id,
                seq=self.highest[conversation_id],
                seconds=SETTLE_SECONDS,
            )
        await eventually(lambda: self.unfinished() == 0 and len(self.heads()) == CONVERSATIONS, SETTLE_SECONDS)

    def unfinished(self):
        """How many of the asked turns some device has not seen finished."""
        finished = [
            sum(bool(turn.status) for mirror in device.mirrors.values() for turn in mirror.turns.values())
            for device in self.devices
        ]
        return TURNS - min(finished)

    def heads(self):
        return {mirror.cursor for device in self.devices for mirror in device.mirrors.values()}


@pytest.mark.timeout(1800 if WHOLE else 150)
async def test_nothing_is_lost_repeated_or_reordered_whatever_breaks(people, stack):
    soak = Soak(people, stack)
    await soak.prepare()
    began = time.monotonic()
    cutting = asyncio.create_task(soak.cut_now_and_then())
    breaking = asyncio.create_task(soak.faults())
    shares = zip(soak.devices, soak.orders(), strict=True)
    await asyncio.gather(*(soak.speak(device, orders) for device, orders in shares))
    await breaking
    cutting.cancel()
    await soak.settle()
    verdict = people.judge()
    counts = Counter()
    for device in soak.devices:
        counts.update(device.report()["counts"])
    print(f"seed {SEED}, {time.monotonic() - began:.0f} s, layer dropped {soak.dropped}, {dict(counts)}")
    assert verdict.clean, verdict
    assert (counts["sent"], counts["acked"]) == (MESSAGES, MESSAGES)
    assert soak.dropped > 0
    assert counts["cuts"] > 0
    snapshots = [frame for device in soak.devices for m in device.mirrors.values() for frame in m.snapshots]
    assert snapshots == []
