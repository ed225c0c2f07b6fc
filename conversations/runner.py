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

from . import control, people, turns
from .announce import tell_due
from .assistant.given import read_given
from .assistant.outcome import Drained, Job, Outcome
from .assistant.service import Assistant
from .contact import Contact
from .errors import Fenced, Forbidden, TurnCancelled, Unavailable
from .events import encode_body
from .failing import REASONS
from .faults import point
from .feed import teller
from .gist import preview_of
from .messages import find_message, load_transcript
from .pieces import PieceWriter
from .turns import Claim, Missed

SWEEP_SECONDS = 0.5
DRAIN_GRACE_SECONDS = 0.3
RETRY_SECONDS = 0.2
READ_AGAIN_SECONDS = 1.0
# A lease that ends without a new checkpoint or piece may be the turn's own doing: after so many it is given up.
MOST_LAPSES = 3
FAULT = REASONS["fault"]
LAPSED = REASONS["lapsed"]

T = TypeVar("T")

logger = structlog.get_logger(__name__)


class TurnRunner:
    """The turns of one node. ``start_soon`` and ``sweep`` find work; at most MAX_TURNS run at once."""

    def __init__(self, node: str, assistant: Assistant) -> None:
        self.node = node
        self._assistant = assistant
        self._running: dict[str, asyncio.Task[None]] = {}  # by conversation
        self._jobs: dict[str, Claim] = {}
        self._cancelled: dict[str, asyncio.Future[str]] = {}  # the device, once one has cancelled
        self._draining = False
        self._contact = Contact()

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
        self._cancelled.pop(conversation_id, None)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, Unavailable):
            logger.warning("turn.not_claimed", conversation_id=conversation_id)  # the sweep finds it again
        else:
            logger.error("turn.crashed", conversation_id=conversation_id, exc_info=error)

    def hear_cancel(self, conversation_id: str, turn_id: str, device_id: str) -> None:
        """A turn was cancelled: stop it if it runs here. One that has just begun is told by its first write."""
        claimed, cancelled = self._jobs.get(conversation_id), self._cancelled.get(conversation_id)
        if claimed and cancelled and claimed.turn_id == turn_id and not cancelled.done():
            cancelled.set_result(device_id)

    async def find_due(self) -> list[str]:
        """Return conversations with a turn to claim that this node does not run already.

        A full node asks all the same: that is how it knows that Redis is there.
        """
        if self._draining:
            return []
        due = await turns.find_due()
        self._contact.heard()
        if self.running >= settings.MAX_TURNS:
            return []
        return [each for each in due if each not in self._running]

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
            claimed = await turns.claim(conversation_id, turn_id, attempts, self.node, patient=self._contact.is_fresh)
            if isinstance(claimed, Missed):
                if claimed.cancelled:
                    await self._end_cancelled(conversation_id, claimed.turn_id)
                    turn_id = ""
                    continue
                if claimed.leased or not claimed.turn_id:
                    return
                if (claimed.turn_id, claimed.attempt) == (turn_id, attempts):
                    return
                turn_id, attempts = claimed.turn_id, claimed.attempt
                continue
            self._jobs[conversation_id] = claimed
            self._cancelled[conversation_id] = asyncio.get_running_loop().create_future()
            await self._run(claimed)
            turn_id = ""

    async def _end_cancelled(self, conversation_id: str, turn_id: str) -> None:
        """Its node is gone. What is left of it in the checkpoints, the next turn finds in the log."""
        await control.end_cancelled(conversation_id, turn_id)
        await self.forget_steps(conversation_id, turn_id)
        logger.info("turn.cancelled", conversation_id=conversation_id, turn_id=turn_id)

    async def forget_steps(self, conversation_id: str, turn_id: str) -> None:
        """Drop what a turn that has ended leaves in the checkpoints. Never raises: the next turn's end catches up."""
        await self._assistant.prune(conversation_id, turn_id)

    async def _run(self, claimed: Claim) -> None:
        logger.info("turn.started", **_ids(claimed), node=self.node)
        try:
            if claimed.lapses >= MOST_LAPSES:
                await self._give_up(claimed)
            else:
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
        except TurnCancelled as cancelled:  # while it was given up
            await self._finish(claimed, Outcome("cancelled", text=claimed.written, cancelled_by=cancelled.device_id))
        except Exception:
            # A fault of ours would come again at each attempt: the turn fails, and the conversation goes on.
            logger.exception("turn.fault", **_ids(claimed))
            await self._fail(claimed)

    async def _fail(self, claimed: Claim) -> None:
        try:
            await self._finish(claimed, Outcome(status="failed", error=FAULT))
        except TurnCancelled as cancelled:
            await self._finish(claimed, Outcome("cancelled", text=claimed.written, cancelled_by=cancelled.device_id))

    async def _hand_back(self, claimed: Claim) -> None:
        """The node stops: the turn is due at once, so that another node goes on now, not when the lease ends."""
        await _persistently(lambda: turns.release(claimed))
        tell_due(claimed.conversation_id, claimed.turn_id, claimed.attempt)
        logger.info("turn.handed_back", **_ids(claimed))

    async def _give_up(self, claimed: Claim) -> None:
        """Fail a turn whose leases lapse again and again, without running any of it."""
        logger.error("turn.given_up", **_ids(claimed), lapses=claimed.lapses)
        # Its state itself may be what kills: it is looked at once, and where that was too much, no more.
        if claimed.lapses == MOST_LAPSES:
            async with PieceWriter(claimed) as writer:
                job = await writer.guard(_patiently(claimed, lambda: _job(claimed)))
                try:
                    await self._assistant.end_turn(job, text="", status="failed")
                except (Fenced, Unavailable):
                    raise
                except Exception:
                    logger.exception("turn.not_ended", **_ids(claimed))
        await self._finish(claimed, Outcome(status="failed", error=LAPSED))
        await self.forget_steps(claimed.conversation_id, claimed.turn_id)

    async def _run_and_finish(self, claimed: Claim) -> None:
        conversation_id, seq = claimed.conversation_id, claimed.seq
        job: Job | None = None
        async with PieceWriter(claimed, self._cancelled[conversation_id]) as writer:
            try:
                job = await writer.guard(_patiently(claimed, lambda: _job(claimed)))
                answers = await self._answers(claimed)
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
            except TurnCancelled as cancelled:
                text = max("".join(writer.said), claimed.written, key=len)
                outcome = Outcome("cancelled", text=text, cancelled_by=cancelled.device_id)
                await self._end(job, claimed, outcome)
        teller.note(conversation_id)
        logger.info("turn.finished", **_ids(claimed), status=outcome.status)

    async def _answers(self, claimed: Claim) -> dict[str, Any]:
        """Return what the turn goes on with. Whoever wrote while it waited has declined what was open: log that."""
        answers = {answer["interrupt_id"]: answer["value"] for answer in claimed.answers}
        if claimed.declined_by:
            for interrupt in claimed.interrupts:
                if interrupt["id"] not in answers:
                    await turns.log_answer(claimed, interrupt_id=interrupt["id"], value=False)
                    answers[interrupt["id"]] = False
        return answers

    async def _end(self, job: Job | None, claimed: Claim, outcome: Outcome) -> None:
        """End the turn, or let it wait. ``job`` is None where not even its message was read. Raises TurnCancelled."""
        if outcome.status == "waiting":
            await _persistently(lambda: turns.release(claimed, interrupts=outcome.interrupts))
            return
        if outcome.status != "done" and job is not None and not outcome.is_rewound:
            await self._assistant.end_turn(job, text=outcome.text, status=outcome.status)
        point("turn.ended")
        await self._finish(claimed, outcome)
        await self.forget_steps(claimed.conversation_id, claimed.turn_id)
        if job is not None:
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
                status=outcome.status,
                language=outcome.language,
            )
        )


async def _job(claimed: Claim) -> Job:
    """Return what is to be answered, and what it goes on from. Raises Fenced, Unavailable."""
    said, given = await asyncio.gather(find_message(claimed.conversation_id, claimed.seq), read_given(claimed))
    return Job(
        conversation_id=claimed.conversation_id,
        turn_id=claimed.turn_id,
        attempt=claimed.attempt,
        user_id=claimed.user_id,
        # Whose words they are: the owner may have another's question answered anew.
        username=await _name_in_company(claimed, said.author or claimed.user_id),
        seq=claimed.seq,
        text=said.content,
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
    if outcome.cancelled_by:
        data["device_id"] = outcome.cancelled_by
    if outcome.usage:
        data["usage"] = outcome.usage
    return encode_body("turn.finished", data)


async def _name_in_company(claimed: Claim, user_id: str) -> str:
    """Return the name of whoever speaks; empty where they are alone with the assistant.

    Whose account is gone has a name too: without one, others would pass for nobody who reads the answer.
    """
    return (await people.name(user_id) or people.GONE) if len(claimed.members) > 1 else ""


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
