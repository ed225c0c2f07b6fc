"""What a turn costs beside its model: the whole server, and the bare graph with the stock saver, turn by turn."""

import asyncio
import os
import time
from typing import Any

import orjson
from redis import Redis
from websockets.asyncio.client import ClientConnection, connect

from .processes import MANAGE, free_port, wait_until
from .servers import Tether, pings

TURNS, QUICK_TURNS = 1_000, 60
# As many characters as the figures of other servers were taken with.
MESSAGE_CHARACTERS = 200
WEIGH_EVERY = 100
EARLY = 40
TRIMMED_TO = 1_500
SCAN_COUNT = 1_000


class Device:
    """One device of one conversation: says something, waits for the end of its turn."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames = 0
        self.conversation = ""

    async def begin(self, user: dict[str, str]) -> None:
        await self._send({"type": "auth", "device_id": "bench", "token": user["token"]})
        await self._until("opened")

    async def turn(self, number: int, text: str) -> None:
        await self._send({"type": "text", "client_id": f"c{number}", "content": text})
        finished = await self._until("turn.finished")
        if finished["data"]["status"] != "done":
            raise RuntimeError(f"turn {number} ended as {finished['data']}")

    async def _send(self, frame: dict[str, Any]) -> None:
        await self.socket.send(orjson.dumps(frame).decode())

    async def _until(self, wanted: str) -> dict[str, Any]:
        while True:
            data = await asyncio.wait_for(self.socket.recv(), 30)
            self.frames += 1
            if self.frames % 50 == 0:
                await self._send({"type": "heartbeat", "frames": self.frames})
            frames = orjson.loads(data)
            for frame in frames if isinstance(frames, list) else [frames]:
                self.conversation = self.conversation or frame.get("conversation_id", "")
                if wanted in (frame["type"], frame.get("event")):
                    return frame


class Bare:
    """The same graph and model in this process, checkpointed as LangGraph does it by itself."""

    def __init__(self, url: str) -> None:
        from langchain_core.messages import HumanMessage
        from langgraph.checkpoint.redis.aio import AsyncRedisSaver

        from conversations.assistant.graph import build_graph
        from conversations.assistant.models import Models
        from conversations.assistant.turn_context import TurnContext

        self.message, self.context = HumanMessage, TurnContext()
        self.saver = AsyncRedisSaver(redis_url=url)
        self.graph = build_graph(Models("scripted")).compile(checkpointer=self.saver)

    async def turn(self, text: str) -> None:
        """Run a turn, its words streamed as every chat needs them."""
        config: Any = {"configurable": {"thread_id": "bare"}}
        said = {"messages": [self.message(text)]}
        async for _ in self.graph.astream(said, config, context=self.context, stream_mode="messages"):
            pass


def weigh(redis: Redis) -> dict[str, int]:
    """Return how many keys there are and what they take, as Redis counts it."""
    names = list(redis.scan_iter(count=SCAN_COUNT))
    pipeline = redis.pipeline(transaction=False)
    for name in names:
        pipeline.memory_usage(name, samples=0)
    return {"keys": len(names), "bytes": sum(size or 0 for size in pipeline.execute())}


def message(number: int) -> str:
    text = f"Message {number} " + "of the same length as all others here, said to be echoed " * 4
    return text[:MESSAGE_CHARACTERS].strip()


async def _run(server: Tether, bare_port: int, turns: int) -> dict[str, Any]:
    ours, bare_redis = Redis(port=server.redis_port), Redis(port=bare_port)
    bare = Bare(f"redis://127.0.0.1:{bare_port}/0")
    await bare.saver.asetup()
    ms: dict[str, list[float]] = {"tether": [], "bare": []}
    weights: list[dict[str, Any]] = []
    async with connect(server.urls[0], max_size=None) as socket:
        device = Device(socket)
        await device.begin(server.users(1)[0])
        for number in range(1, turns + 1):
            for kind, turn in (("tether", device.turn(number, message(number))), ("bare", bare.turn(message(number)))):
                begin = time.perf_counter()
                await turn
                ms[kind].append(round((time.perf_counter() - begin) * 1000, 3))
            if number % WEIGH_EVERY == 0 or number == EARLY:
                await asyncio.to_thread(_wait_for_archive, ours, device.conversation)
                weights.append({"turn": number, "tether": weigh(ours), "bare": weigh(bare_redis)})
                print(f"  turn {number}: {weights[-1]}", flush=True)
    return {"ms": ms, "weights": weights}


def _wait_for_archive(redis: Redis, conversation: str) -> None:
    """The archiver trims what it has copied; a log is weighed as it lies in daily life."""
    from conversations import keys

    wait_until(lambda: redis.xlen(keys.log(conversation)) <= TRIMMED_TO, "the log is archived", seconds=60)


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    turns = QUICK_TURNS if quick else TURNS
    with Tether(nodes=1, SCRIPTED_DELAY_MS="0") as server:
        port = free_port()
        options = ["--port", str(port), "--dir", str(server.directory / "bare")]
        child = server.spawn("bare-redis", [*MANAGE, "redis", *options], server.env)
        wait_until(lambda: pings(port), "the other Redis answers", child=child)
        _set_up_django(server)
        result = asyncio.run(_run(server, port, turns))
        return {"turns": turns, "model": "scripted, 0 ms", "durability": {"tether": server.durability()}, **result}


def _set_up_django(server: Tether) -> None:
    """The graph reads its settings from Django: the server's own."""
    os.environ.update(server.env)
    os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
    import django

    django.setup()
