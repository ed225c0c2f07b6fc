"""A conversation with a server of the comparison, from outside: ours by WebSocket, the others by the Agent Protocol.

``turn`` asks and follows the answer to its end; ``follow`` is another device that comes in the middle.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx
import orjson
from websockets.asyncio.client import connect

from .agent_servers import AgentServer, OwnGraph
from .device import Device, kind_of

WORD = re.compile(r"w(\d+):(\d+):(\d+) ")
REJOIN_SECONDS = 0.25
HTTP_SECONDS = 120


class Word(NamedTuple):
    at: float  # when it was here, of time.monotonic()
    number: int
    said: float  # when the model said it, of the same clock
    pid: int  # of the process that the model ran in


class Answer:
    """What one device got of one answer."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.words: list[Word] = []
        self.ended = 0.0
        self.started = asyncio.Event()
        self.run_id = ""

    def take(self, text: str) -> None:
        at = time.monotonic()
        self.words += [Word(at, int(w[1]), int(w[2]) / 1e6, int(w[3])) for w in WORD.finditer(text)]
        if self.words:
            self.started.set()

    def end(self) -> None:
        self.ended = time.monotonic()

    def missing(self, count: int) -> int:
        return count - len({word.number for word in self.words})

    def check(self, count: int) -> Self:
        """Raise RuntimeError unless each word came once, in order."""
        if [word.number for word in self.words] != list(range(1, count + 1)):
            raise RuntimeError(f"not the answer that was asked for: {[word.number for word in self.words][:20]}")
        return self


class TetherTalk:
    """``number`` of the user, who has one conversation; ``node`` is where it is asked."""

    def __init__(self, server: OwnGraph, number: int, node: int) -> None:
        self._server, self._number, self._node = server, number, node
        self._stack = AsyncExitStack()
        self._sent = 0
        self._conversation_id = ""

    async def __aenter__(self) -> Self:
        self._user = self._server.users(self._number + 1)[self._number]
        self._device, self._conversation_id = await self._join("asks", self._node)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _join(self, device_id: str, node: int, *conversation_ids: str) -> tuple[Device, str]:
        url = self._server.urls[node]
        device = Device(await self._stack.enter_async_context(connect(url, compression=None)))
        return device, await device.join(self._user, device_id, *conversation_ids)

    async def turn(self, content: str, answer: Answer) -> None:
        self._sent += 1
        text = {"client_id": f"t{self._sent}", "conversation_id": self._conversation_id, "content": content}
        answer.begun = time.monotonic()
        await self._device.send(type="text", **text)
        await self._read(self._device, answer)

    async def follow(self, answer: Answer, seen: Answer, node: int) -> None:
        """Come to ``node`` as a new device and show what it is told."""
        device, _ = await self._join(f"d{self._sent}", node, self._conversation_id)
        # `opened` was the last that it read; it brings what was written so far.
        turns = device.last["turns"]
        for turn in turns:
            seen.take(turn["text"])
        if turns:
            await self._read(device, seen, turns[0]["attempt"], turns[0]["n"])
        seen.end()

    async def _read(self, device: Device, answer: Answer, attempt: int = 0, n: int = 0) -> None:
        """Read to the turn's end, as a client does: a piece counts if it is the next one, or of a later attempt."""
        while True:
            frame = await device.next()
            kind = kind_of(frame)
            if kind == "delta":
                n = n if frame["attempt"] == attempt else 0
                attempt = frame["attempt"]
                if frame["n"] == n + 1:
                    n += 1
                    answer.take(frame["text"])
            elif kind == "turn.finished":
                if frame["data"]["status"] != "done":
                    raise RuntimeError(f"the turn ended as {frame['data']['status']}: {frame['data'].get('error')}")
                answer.end()
                return


class AgentTalk:
    """A thread of an Agent Protocol server."""

    def __init__(self, server: AgentServer, number: int, node: int) -> None:
        self._server, self._url = server, server.urls[node]
        # As a new device would: Aegra replays what it has kept to whoever names no event, LangGraph to who names -1.
        self._from_start = {} if server.kind == "aegra" else {"Last-Event-ID": "-1"}

    async def __aenter__(self) -> Self:
        self._client = httpx.AsyncClient(timeout=HTTP_SECONDS, limits=httpx.Limits(max_connections=None))
        made = await self._client.post(f"{self._url}/threads", json={})
        self._path = f"/threads/{made.raise_for_status().json()['thread_id']}/runs"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def turn(self, content: str, answer: Answer) -> None:
        order = {
            "assistant_id": "turn",
            "input": {"messages": [{"role": "user", "content": content}]},
            "stream_mode": ["messages-tuple"],
            "stream_resumable": True,
            "on_disconnect": "continue",
        }
        answer.begun = time.monotonic()
        async with self._client.stream("POST", f"{self._url}{self._path}/stream", json=order) as response:
            answer.run_id = response.headers["Content-Location"].rpartition("/")[2]
            await self._read(response, answer)
        answer.end()

    async def follow(self, answer: Answer, seen: Answer, node: int) -> None:
        """Come to ``node`` as a new device and show what it is told; come again when the connection breaks."""
        url = f"{self._server.urls[node]}{self._path}/{answer.run_id}/stream"
        query = {"stream_mode": "messages-tuple"}
        while not seen.ended:
            try:
                async with self._client.stream("GET", url, params=query, headers=self._from_start) as response:
                    await self._read(response, seen)
                    seen.end()
            except httpx.TransportError:
                await asyncio.sleep(REJOIN_SECONDS)

    async def _read(self, response: httpx.Response, answer: Answer) -> None:
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code}: {(await response.aread())[:300]!r}")
        async for event, data in _events(response):
            if event == "messages":
                message = orjson.loads(data)[0]
                if message["type"] == "AIMessageChunk":
                    answer.take(message["content"])
            elif event == "error":
                raise RuntimeError(f"the run failed: {data[:300]}")


async def _events(response: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    event = ""
    async for line in response.aiter_lines():
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            yield event, line[5:].strip()


Talk = TetherTalk | AgentTalk


def talk_with(server: Any, number: int, node: int) -> Talk:
    return TetherTalk(server, number, node) if server.kind == "tether" else AgentTalk(server, number, node)
