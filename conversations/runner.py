"""Runs turns on this node: claims, streams pieces under the fence, finishes, hands back when the node drains.

Each turn is one task that nobody's socket owns. Whatever kills it here, the lease ends and another node goes on.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import uuid4

import structlog
from django.conf import settings

from . import turns
from .assistant.given import read_given
from .assistant.outcome import Drained, Job, Outcome
from .assistant.service import Assistant
from .errors import Fenced, Forbidden, Unavailable
from .events import encode_body, preview_of
from .feed import teller
from .messages import load_transcript
from .pieces import PieceWriter
from .turns import Claim, Missed

SWEEP_SECONDS = 0.5
DRAIN_GRACE_SECONDS = 0.3
RETRY_SECONDS = 0.2
READ_AGAIN_SECONDS = 1.0
FAULT = "Something went wrong on the server. Please ask again; the operators find the reason in the log."

T = TypeVar("T")

logger = structlog.get_logger(__name__)


class TurnRunner:
    """The turns of one node. ``start_soon`` and ``sweep`` find work; at most MAX_TURNS run at once."""

    def __init__(self, node: str, assistant: Assistant) -> None:
        self.node = node
        self._assistant = assistant
        self._running: dict[str, asyncio.Task[None]] = {}  # by conversation
        self._jobs: dict[str, Claim] = {}
        self._draining = False

    @property
    def running(self) -> int:
        return len(self._running)

    def start_soon(self, conversation_id: str, turn_id: str = "", attempts: int = 0) -> None:
        """Try to claim and run the conversation's next turn, in a task of its own.

        Naming the turn saves a look-up. Does nothing when the conversation's turn runs here, or the node is full.
        """
        if self._draining or conversation_id in self._running or self.running >= settings.MAX_TURNS:
            return
        task = asyncio.get_running_loop().create_task(
            self._take(conversation_id, turn_id, attempts), name=f"turn {conversation_id}"
        )
        self._running[conversation_id] = task
        task.add_done_callback(lambda done: self._ended(conversation_id, done))

    def _ended(self, conversation_id: str, task: "asyncio.Task[None]") -> None:
        self._running.pop(conversation_id, None)
        self._jobs.pop(conversation_id, None)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Unavailable):
            logger.warning("turn.not_claimed", conversation_id=conversation_id)  # the sweep finds it again
        else:
            logger.error("turn.crashed", conversation_id=conversation_id, exc_info=error)

    async def find_due(self) -> list[str]:
        """Return conversations with a turn to claim that this node does not run already."""
        if self._draining or self.running >= settings.MAX_TURNS:
            return []
        return [each for each in await turns.find_due() if each not in self._running]

    async def drain(self) -> None:
        """Stop claiming, ask the graphs to stop at their next step, cancel them soon after, hand the leases back."""
        self._draining = True
        for claimed in list(self._jobs.values()):
            self._assistant.drain(claimed.turn_id)
        tasks = list(self._running.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_GRACE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.wait(tasks, timeout=5)

    async def _take(self, conversation_id: str, turn_id: str, attempts: int) -> None:
        """Claim and run turns of the conversation until none is due."""
        while not self._draining:
            if not turn_id:
                head = await turns.head_turn(conversation_id)
                if head is None:
                    return
                turn_id, attempts = head
            claimed = await turns.claim(conversation_id, turn_id, attempts, self.node)
            if isinstance(claimed, Missed):
                if claimed.leased or not claimed.turn_id:
                    return
                if (claimed.turn_id, claimed.attempt) == (turn_id, attempts):
                    return
                turn_id, attempts = claimed.turn_id, claimed.attempt
                continue
            self._jobs[conversation_id] = claimed
            await self._run(claimed)
            turn_id = ""

    async def _run(self, claimed: Claim) -> None:
        logger.info("turn.started", **_ids(claimed), node=self.node)
        try:
            await self._run_and_finish(claimed)
        except asyncio.CancelledError:
            await self._hand_back(claimed)
            raise
        except Drained:
            await self._hand_back(claimed)
        except Unavailable:
            await _persistently(lambda: turns.release(claimed))
            logger.warning("turn.interrupted", **_ids(claimed))
        except (Fenced, Forbidden):
            logger.info("turn.lost", **_ids(claimed))
        except Exception:
            # A fault of ours would come again at each attempt: the turn fails, and the conversation goes on.
            logger.exception("turn.fault", **_ids(claimed))
            await self._finish(claimed, Outcome(status="failed", error=FAULT))

    async def _hand_back(self, claimed: Claim) -> None:
        """The node stops: the turn is due at once, so that another node goes on now, not when the lease ends."""
        await _persistently(lambda: turns.release(claimed))
        logger.info("turn.handed_back", **_ids(claimed))

    async def _run_and_finish(self, claimed: Claim) -> None:
        conversation_id, seq = claimed.conversation_id, claimed.seq
        async with PieceWriter(claimed) as writer:
            job = await writer.guard(_patiently(claimed, lambda: _job(claimed)))
            answers = await self._declined(claimed)
            outcome: Outcome = await writer.guard(
                self._assistant.run(
                    job,
                    writer,
                    load_transcript=lambda: _patiently(claimed, lambda: load_transcript(conversation_id, seq)),
                    answers=answers,
                )
            )
            await writer.flush()
            await self._end(job, claimed, outcome)
        teller.note(claimed.conversation_id)
        logger.info("turn.finished", **_ids(claimed), status=outcome.status)

    async def _declined(self, claimed: Claim) -> dict[str, Any] | None:
        """Whoever wrote while the turn waited has declined it: log that, and answer the graph with it."""
        if not claimed.declined_by or not claimed.interrupts:
            return None
        for interrupt in claimed.interrupts:
            await turns.log_answer(claimed, interrupt_id=interrupt["id"], value=False)
        return {interrupt["id"]: False for interrupt in claimed.interrupts}

    async def _end(self, job: Job, claimed: Claim, outcome: Outcome) -> None:
        if outcome.status == "waiting":
            await _persistently(lambda: turns.release(claimed, interrupts=outcome.interrupts))
            return
        if outcome.status != "done":
            await self._assistant.end_turn(job, text=outcome.text, status=outcome.status)
        await self._finish(claimed, outcome)
        await self._assistant.prune(claimed.conversation_id, claimed.turn_id)
        self._assistant.tend(job, outcome)

    async def _finish(self, claimed: Claim, outcome: Outcome) -> None:
        message_id = str(uuid4()) if outcome.text else ""
        await _persistently(
            lambda: turns.finish(
                claimed,
                message_id=message_id,
                message=_message(claimed, message_id, outcome) if outcome.text else b"",
                finished=_finished(claimed, message_id, outcome),
                preview=preview_of(outcome.text),
                usage=outcome.usage,
                language=outcome.language,
            )
        )


async def _job(claimed: Claim) -> Job:
    given = await read_given(claimed.conversation_id, claimed.seq, claimed.user_id)
    return Job(
        conversation_id=claimed.conversation_id,
        turn_id=claimed.turn_id,
        attempt=claimed.attempt,
        user_id=claimed.user_id,
        username=given.username,
        seq=claimed.seq,
        text=given.text,
        given=given,
    )


def _message(claimed: Claim, message_id: str, outcome: Outcome) -> bytes:
    data = {
        "message_id": message_id,
        "role": "assistant",
        "author": "assistant",
        "content": outcome.text,
        "turn_id": claimed.turn_id,
        "status": "complete" if outcome.status == "done" else outcome.status,
    }
    return encode_body("message", data)


def _finished(claimed: Claim, message_id: str, outcome: Outcome) -> bytes:
    data: dict[str, Any] = {"turn_id": claimed.turn_id, "status": outcome.status}
    if message_id:
        data["message_id"] = message_id
    if outcome.error:
        data["error"] = outcome.error
    if outcome.usage:
        data["usage"] = outcome.usage
    return encode_body("turn.finished", data)


async def _patiently(claimed: Claim, read: Callable[[], Awaitable[T]]) -> T:
    """Repeat a read until Redis and the database have answered it. Only under a `guard`, which keeps the lease.

    Giving the turn back instead would log a new attempt each time, for as long as the outage lasts.
    """
    while True:
        try:
            return await read()
        except Unavailable:
            logger.warning("turn.waits", **_ids(claimed))
            await asyncio.sleep(READ_AGAIN_SECONDS)


async def _persistently(write: Callable[[], Awaitable[None]]) -> None:
    """Repeat a fenced, repeatable write until Redis has answered it. Fenced or Forbidden: it is not ours any more."""
    while True:
        with contextlib.suppress(Unavailable):
            try:
                await write()
            except (Fenced, Forbidden):
                return
            return
        await asyncio.sleep(RETRY_SECONDS)


def _ids(claimed: Claim) -> dict[str, Any]:
    return {
        "conversation_id": claimed.conversation_id,
        "turn_id": claimed.turn_id,
        "attempt": claimed.attempt,
    }
