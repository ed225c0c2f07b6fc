"""Streams a turn's answer: the first piece at once, then at most one each 40 ms, durable before it is announced."""

import asyncio
import contextlib
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

import orjson
import structlog
from django.conf import settings

from . import turns
from .announce import tell_users
from .errors import TurnCancelled, Unavailable
from .lease import Lease, clock_seconds
from .turns import Claim

PIECE_SECONDS = 0.04
PIECE_CHARACTERS = 16_000
RETRY_SECONDS = 0.1
# What a cancelled graph and its tools may take to tidy up; then the turn ends without them.
TIDY_SECONDS = 5.0

logger = structlog.get_logger(__name__)


class PieceWriter:
    """The sink of a running graph, and the keeper of its lease.

    ``guard`` runs the graph and ends it as soon as a write is fenced, or the turn cancelled: by a write that says so,
    or by ``cancelled``, which gets the device. Pieces wait through an outage of Redis.
    """

    def __init__(self, claimed: Claim, cancelled: "asyncio.Future[str] | None" = None) -> None:
        self.said: list[str] = []
        self._claimed = claimed
        self._cancelled = cancelled or asyncio.get_running_loop().create_future()
        self._lease = Lease(claimed.asked_at)
        self._text: list[str] = []
        self._news = asyncio.Event()
        self._written = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()  # the answer is whole: the rest goes out at once
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._lease.enter()  # the graph runs in a copy of this context
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
        if text and not self._cancelled.done():
            self.said.append(text)
            self._text.append(text)
            self._idle.clear()
            self._news.set()

    def step(self, name: str, status: str, tool: str = "") -> None:
        frame: dict[str, Any] = {
            "type": "step",
            "conversation_id": self._claimed.conversation_id,
            "turn_id": self._claimed.turn_id,
            "attempt": self._claimed.attempt,
            "name": name,
            "status": status,
        }
        if tool:
            frame["tool"] = tool
        message = {"type": "hint", "c": self._claimed.conversation_id, "f": orjson.dumps(frame)}
        tell_users(self._claimed.members, message)

    async def guard(self, run: Coroutine[Any, Any, Any]) -> Any:
        """Return what the graph returns; cancel it and raise Fenced, or TurnCancelled, when its time is over."""
        assert self._task is not None
        graph = asyncio.get_running_loop().create_task(run, name="graph")
        graph.add_done_callback(_seen)
        try:
            await asyncio.wait({graph, self._task, self._cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if self._cancelled.done():
                raise TurnCancelled(self._cancelled.result())
            if not graph.done():
                self._task.result()  # raises Fenced
            return await graph
        finally:
            if not graph.done():
                graph.cancel()
                await asyncio.wait([graph], timeout=TIDY_SECONDS)
                if not graph.done():
                    logger.warning("turn.does_not_stop", turn_id=self._claimed.turn_id)

    async def flush(self) -> None:
        """Return when every piece is durable and announced. Raises Fenced."""
        assert self._task is not None
        self._hurry.set()
        idle = asyncio.get_running_loop().create_task(self._idle.wait(), name="pieces idle")
        try:
            await asyncio.wait({idle, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            idle.cancel()
        if self._task.done():
            self._task.result()

    async def _write(self) -> None:
        renew_seconds = settings.LEASE_SECONDS / 3
        while True:
            try:
                # Not wait_for: in Python 3.11 it may swallow the cancellation that ends this task.
                async with asyncio.timeout(renew_seconds):
                    await self._news.wait()
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
                async with asyncio.timeout(PIECE_SECONDS):
                    await self._hurry.wait()

    async def _store(self, pieces: list[str]) -> None:
        """Retry with the same numbers until Redis answers: a repeat is a success. Raises Fenced."""
        while True:
            asked_at = clock_seconds()
            try:
                await turns.add_pieces(self._claimed, self._written + 1, pieces)
                self._lease.renewed(asked_at)
                return
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
            except TurnCancelled as cancelled:
                if not self._cancelled.done():
                    self._cancelled.set_result(cancelled.device_id)
                return


def _seen(graph: asyncio.Task[Any]) -> None:
    """What ended the turn may have come before what ends its graph: then nobody asks for that any more."""
    if not graph.cancelled():
        graph.exception()
