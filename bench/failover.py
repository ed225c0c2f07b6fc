"""A node ends in the middle of its answers: how long until another node writes the next piece of each?"""

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

from .device import until
from .servers import Tether

TURNS = 5
KILLS, QUICK_KILLS = 4, 1
WORDS = 300
PIECES_BEFORE = 10
DEADLINE_SECONDS = 30
FINISH_SECONDS = 60


class Watcher:
    """A device that keeps what it is told of one conversation's turn."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames = 0
        self.node = ""  # where the turn runs
        self.pieces: list[tuple[float, int]] = []  # when, attempt
        self.finals: list[str] = []
        self.finished: list[str] = []
        self.conversation = ""

    async def join(self, user: dict[str, str], device_id: str, conversation: str | None = None) -> None:
        auth: dict[str, Any] = {"type": "auth", "device_id": device_id, "token": user["token"]}
        if conversation:
            auth["open"] = {conversation: None}
        await self.socket.send(orjson.dumps(auth).decode())
        while await self._receive() != "opened":
            pass

    async def follow(self) -> None:
        while True:
            await self._receive()

    async def _receive(self) -> str:
        frames = orjson.loads(await self.socket.recv())
        self.frames += 1
        if self.frames % 50 == 0:
            await self.socket.send(orjson.dumps({"type": "received", "frames": self.frames}).decode())
        last = ""
        for frame in frames if isinstance(frames, list) else [frames]:
            self._note(frame)
            last = "opened" if "opened" in (last, frame["type"]) else frame["type"]
        return last

    def _note(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "delta":
                self.pieces.append((time.monotonic(), frame["attempt"]))
            case "opened":
                self.conversation = frame["conversation_id"]
            case "event" if frame["event"] == "message" and frame["data"]["role"] == "assistant":
                self.finals.append(frame["data"]["content"])
            case "event" if frame["event"] == "turn.started":
                self.node = frame["data"]["node"]
            case "event" if frame["event"] == "turn.finished":
                self.finished.append(frame["data"]["status"])
            case "error":
                raise RuntimeError(f"{frame['code']}: {frame['message']}")


async def _one_end(server: Tether, number: int, ending: signal.Signals) -> dict[str, Any]:
    """Let n0 die in the middle of some turns; return the waits of the devices on n1 in seconds."""
    users = server.users((number + 1) * TURNS)[number * TURNS :]
    async with AsyncExitStack() as stack:
        watchers = []
        for user in users:
            watcher = Watcher(await stack.enter_async_context(connect(server.urls[1], compression=None)))
            await watcher.join(user, "watcher")
            sender = Watcher(await stack.enter_async_context(connect(server.urls[0], compression=None)))
            await sender.join(user, "sender", watcher.conversation)
            text = {
                "type": "text",
                "client_id": f"k{number}",
                "conversation_id": watcher.conversation,
                "content": f"/words {WORDS}",
            }
            await sender.socket.send(orjson.dumps(text).decode())
            watchers.append(watcher)
        tasks = [asyncio.create_task(watcher.follow()) for watcher in watchers]
        try:
            await until(
                lambda: all(len(w.pieces) >= PIECES_BEFORE for w in watchers),
                "pieces",
                DEADLINE_SECONDS,
                tasks,
            )
            # A turn that the other node took has nothing to fear.
            watchers = [watcher for watcher in watchers if watcher.node == "n0"]
            if not watchers:
                raise RuntimeError("no turn ran on n0")
            attempts = [watcher.pieces[-1][1] for watcher in watchers]
            killed_at = time.monotonic()
            server.nodes["n0"].signal(ending)
            await until(lambda: all(map(_went_on, watchers, attempts)), "the next piece", DEADLINE_SECONDS, tasks)
            await until(lambda: all(w.finished for w in watchers), "the ends", FINISH_SECONDS, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    whole = " ".join(f"w{count}" for count in range(1, WORDS + 1))
    return {
        "waits_seconds": [round(_went_on(w, a) - killed_at, 3) for w, a in zip(watchers, attempts, strict=True)],
        "turns_with_one_whole_answer": sum(w.finals == [whole] and w.finished == ["done"] for w in watchers),
        "turns": len(watchers),
    }


def _went_on(watcher: Watcher, attempt: int) -> float:
    """Return when the first piece of a later attempt came, 0 if none did."""
    return next((at for at, of in watcher.pieces if of > attempt), 0.0)


def measure(*, seed: int, quick: bool) -> dict[str, Any]:
    runs = []
    with Tether() as server:
        for number in range(2 * (QUICK_KILLS if quick else KILLS)):
            ending = (signal.SIGKILL, signal.SIGTERM)[number % 2]
            run = asyncio.run(_one_end(server, number, ending))
            runs.append({"ending": ending.name, **run})
            print(f"  {ending.name}: {run['waits_seconds']} s", flush=True)
            server.nodes["n0"].stop()
            server.start_node("n0")
            server.wait_ready("n0")
        return {"durability": {"tether": server.durability()}, "runs": runs}
