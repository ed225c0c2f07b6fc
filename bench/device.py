"""A device of ours: a socket whose frames are read in order and confirmed as they come."""

import asyncio
import time
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection

DEADLINE_SECONDS = 30


class Device:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames = 0
        self.last: dict[str, Any] = {}
        self._read: list[dict[str, Any]] = []

    async def send(self, **frame: Any) -> None:
        await self.socket.send(orjson.dumps(frame).decode())

    async def join(self, user: dict[str, str], device_id: str, *conversation_ids: str) -> str:
        """Open these conversations, or the one that the server names; return the id of the last that is open."""
        given = {"open": dict.fromkeys(conversation_ids)} if conversation_ids else {}
        await self.send(type="auth", device_id=device_id, token=user["token"], **given)
        for _ in conversation_ids or [""]:
            await self.until("opened")
        return str(self.last["conversation_id"])

    async def until(self, *kinds: str) -> dict[str, float]:
        """Return when each of these came, of frames by type and of entries by kind."""
        at: dict[str, float] = {}
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(at) < len(kinds):
                frame = await self.next()
                kind = kind_of(frame)
                if kind in kinds:
                    at.setdefault(kind, time.monotonic())
                    self.last = frame
        return at

    async def next(self) -> dict[str, Any]:
        """Return the next frame. Raises RuntimeError for an `error`."""
        while not self._read:
            frames = orjson.loads(await self.socket.recv())
            self._read = frames if isinstance(frames, list) else [frames]
            self.frames += 1
            if self.frames % 50 == 0:
                await self.send(type="received", frames=self.frames)
        frame = self._read.pop(0)
        if frame["type"] == "error":
            raise RuntimeError(f"{frame['code']}: {frame['message']}")
        return frame


def kind_of(frame: dict[str, Any]) -> str:
    return str(frame["event"] if frame["type"] == "event" else frame["type"])


async def until(condition: Any, what: str, seconds: float, tasks: list[asyncio.Task[Any]]) -> None:
    """Wait for a condition while the tasks follow what comes; raise what a task raised, or TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        for task in tasks:
            if task.done():
                task.result()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        await asyncio.sleep(0.005)
