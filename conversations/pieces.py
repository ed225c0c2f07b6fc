"""Streams a turn's answer: the first piece at once, then at most one each 40 ms, durable before it is announced."""

import asyncio
import contextlib
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

import orjson
from django.conf import settings

from . import turns
from .announce import tell_users
from .errors import Unavailable
from .turns import Claim

PIECE_SECONDS = 0.04
PIECE_CHARACTERS = 16_000
RETRY_SECONDS = 0.1


class PieceWriter:
    """The sink of a running graph, and the keeper of its lease.

    ``guard`` runs the graph and ends it as soon as a write is fenced. Pieces wait through an outage of Redis.
    """

    def __init__(self, claimed: Claim) -> None:
        self._claimed = claimed
        self._text: list[str] = []
        self._news = asyncio.Event()
        self._written = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()  # the answer is whole: the rest goes out at once
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._write(), name="pieces")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # seen; guard or flush has raised it

    def piece(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._idle.clear()
            self._news.set()

    def step(self, name: str, status: str) -> None:
        frame = {
            "type": "step",
            "conversation_id": self._claimed.conversation_id,
            "turn_id": self._claimed.turn_id,
            "attempt": self._claimed.attempt,
            "name": name,
            "status": status,
        }
        message = {"type": "hint", "c": self._claimed.conversation_id, "f": orjson.dumps(frame)}
        tell_users(self._claimed.members, message)

    async def guard(self, run: Coroutine[Any, Any, Any]) -> Any:
        """Return what the graph returns; cancel it and raise Fenced when this attempt is over."""
        assert self._task is not None
        graph = asyncio.get_running_loop().create_task(run, name="graph")
        try:
            await asyncio.wait({graph, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not graph.done():
                self._task.result()  # raises Fenced
            return await graph
        finally:
            if not graph.done():
                graph.cancel()
                await asyncio.wait([graph])

    async def flush(self) -> None:
        """Return when every piece is durable and announced. Raises Fenced."""
        assert self._task is not None
        self._hurry.set()
        idle = asyncio.get_running_loop().create_task(self._idle.wait())
        await asyncio.wait({idle, self._task}, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        if self._task.done():
            self._task.result()

    async def _write(self) -> None:
        renew_seconds = settings.LEASE_SECONDS / 3
        while True:
            try:
                await asyncio.wait_for(self._news.wait(), renew_seconds)
            except TimeoutError:
                await self._store([])
                continue
            self._news.clear()
            text = "".join(self._text)
            self._text.clear()
            pieces = [text[i : i + PIECE_CHARACTERS] for i in range(0, len(text), PIECE_CHARACTERS)]
            await self._store(pieces)
            self._written += len(pieces)
            if not self._text:
                self._idle.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), PIECE_SECONDS)

    async def _store(self, pieces: list[str]) -> None:
        """Retry with the same numbers until Redis answers: a repeat is a success. Raises Fenced."""
        while True:
            try:
                return await turns.add_pieces(self._claimed, self._written + 1, pieces)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
