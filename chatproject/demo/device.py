"""A client in a process of its own: `python -m chatproject.demo.device` takes its orders from standard input.

A line each way, JSON. First line in: {urls, token, device_id, seed}. Then orders {id, do, …}, answered by
{id, result} or {id, failed}, not necessarily in order. The end of the input is the end of the device.
"""

import asyncio
import json
import sys
from typing import Any

from .client import START, Client
from .mirror import TurnView
from .wire import Frame


class Device:
    """What may be ordered: each public coroutine is an order, its arguments by name."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(self, conversations: list[str]) -> str:
        ready = await self._client.start(dict.fromkeys(conversations, START))
        node: str = ready["node"]
        return node

    async def new_conversation(self) -> str:
        return await self._client.new_conversation()

    async def open(self, conversation_id: str) -> int:
        """Return the number of entries that came."""
        return len((await self._client.open(conversation_id)).entries)

    async def say(self, conversation_id: str, texts: list[str], respond: bool) -> int:
        """Send all, as fast as they are acked; return the highest seq acked."""
        sending = [self._client.text(conversation_id, text, respond=respond) for text in texts]
        return max(int(ack["seq"]) for ack in await asyncio.gather(*sending))

    async def command(self, name: str, conversation_id: str | None, args: Frame) -> Frame:
        return await self._client.command(name, conversation_id, **args)

    async def reach(self, conversation_id: str, seq: int, seconds: float) -> int:
        """Wait until this entry has come; return the cursor's seq."""
        mirror = self._client.mirrors[conversation_id]
        await self._client.until(lambda: mirror.cursor and mirror.cursor.seq >= seq, seconds)
        return mirror.cursor.seq if mirror.cursor else 0

    async def watch(self, conversation_id: str, attempt: int, n: int, seconds: float) -> Frame:
        """Wait for piece ``n`` of this attempt (or a later one) of the newest turn, or for the turn's end."""
        turns = self._client.mirrors[conversation_id].turns

        def seen() -> bool:
            turn = _newest(turns)
            return bool(turn.status) or (turn.attempt, turn.n) >= (attempt, n)

        await self._client.until(seen, seconds)
        return _told(_newest(turns))

    async def finish(self, conversation_id: str, seconds: float) -> Frame:
        """Wait for the end of the newest turn."""
        turns = self._client.mirrors[conversation_id].turns
        await self._client.until(lambda: _newest(turns).status, seconds)
        return _told(_newest(turns))

    async def fed(self, event: str, conversation_id: str, seconds: float) -> Frame:
        """Wait until the user's feed has told such an entry; return its data."""

        def found() -> list[Frame]:
            feed = self._client.feed_entries
            return [
                entry["data"]
                for entry in feed
                if entry["event"] == event and entry["data"].get("conversation_id") == conversation_id
            ]

        await self._client.until(found, seconds)
        return found()[-1]

    async def cut(self) -> None:
        self._client.cut()

    async def go_home(self, seconds: float) -> str:
        """Go back to its own node, when that one lives again; return the node's name."""
        connections = self._client.link.counts["connections"]
        self._client.link.go_home()
        await self._client.until(lambda: self._client.link.counts["connections"] > connections, seconds)
        node: str = self._client.link.ready["node"]
        return node

    async def report(self) -> Any:
        return self._client.report()


def _newest(turns: dict[str, TurnView]) -> TurnView:
    return next(reversed(turns.values()), TurnView())


def _told(turn: TurnView) -> Frame:
    return {
        "attempt": turn.attempt,
        "n": turn.n,
        "pieces": turn.pieces,
        "nodes": turn.nodes,
        "status": turn.status,
        "finals": [final["content"] for final in turn.finals],
        "message_ids": [final["message_id"] for final in turn.finals],
    }


async def _obey(device: Device, order: Frame) -> None:
    do = getattr(device, order["do"])
    try:
        said = {"id": order["id"], "result": await do(**order["args"])}
    except Exception as error:
        said = {"id": order["id"], "failed": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


async def main() -> None:
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    client = Client(**json.loads(await reader.readline()))
    device = Device(client)
    async with asyncio.TaskGroup() as orders:
        while line := await reader.readline():
            orders.create_task(_obey(device, json.loads(line)))
    await client.stop()


if __name__ == "__main__":
    asyncio.run(main())
