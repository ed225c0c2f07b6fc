"""What a model writes after a turn, on nobody's time: a title after the first answer, notes before the window is full.

It is kept beside the checkpoints and taken up by the next turn's first step; where it comes late, or never, the window
stays bounded by plain lines. A title is the log's own fact. Both are refused once the history was cleared.
"""

import asyncio
from typing import Any

import orjson
import structlog
from langchain_core.messages import BaseMessage, HumanMessage

from conversations import log
from conversations.batching import batcher
from conversations.feed import teller
from conversations.gist import title_of

from . import keys, prompts
from .asking import ask
from .fence import ttl_ms
from .models import Models
from .outcome import Job
from .scripted import ScriptedModel

MOST_AT_ONCE = 4
# Notes are begun when the window is nearly full, and leave so many messages as they were.
TEND_MESSAGES = 16
LEFT_MESSAGES = 8
RECAP_BYTES = 2048

logger = structlog.get_logger(__name__)


class Tender:
    """The models' work beside the turns of one node: one piece a conversation, a few at once."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._running: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(MOST_AT_ONCE)

    def tend_soon(self, job: Job, state: dict[str, Any]) -> None:
        """Begin what there is to do after this turn. Does nothing for the scripted model, whose digest is at once."""
        name = job.given.model if job.given else ""
        if job.conversation_id in self._running or isinstance(self._models.pick(name)[1], ScriptedModel):
            return
        is_first = (state.get("counts") or {}).get("assistant") == 1
        leaving = _leaving(list(state.get("messages", [])))
        if is_first or leaving:
            work = self._tend(job, name, state, leaving, is_first)
            task = asyncio.get_running_loop().create_task(work, name=f"tend {job.conversation_id}")
            self._running[job.conversation_id] = task
            task.add_done_callback(lambda _: self._running.pop(job.conversation_id, None))

    async def settle(self) -> None:
        """Wait for what runs."""
        await asyncio.gather(*self._running.values())

    async def stop(self) -> None:
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _tend(
        self, job: Job, model: str, state: dict[str, Any], leaving: list[BaseMessage], is_first: bool
    ) -> None:
        async with self._room:
            try:
                if is_first:
                    await self._write_title(job, model, state)
                if leaving:
                    await self._write_recap(job, model, state, leaving)
            except Exception as error:
                # A title stays the first words, the window is digested in lines: nobody waits for this.
                kind = type(error).__name__
                logger.warning("assistant.not_tended", conversation_id=job.conversation_id, kind=kind)

    async def _write_title(self, job: Job, model: str, state: dict[str, Any]) -> None:
        said = prompts.title_prompt(list(state["messages"])[-4:])
        answer = await ask(self._models.chain(model), lambda _: said)
        title = title_of(answer.message.text.strip().strip('"“”«»「」').rstrip("."))
        if title and await self._store("retitle", job, [title]):
            teller.note(job.conversation_id)

    async def _write_recap(self, job: Job, model: str, state: dict[str, Any], leaving: list[BaseMessage]) -> None:
        said = prompts.recap_prompt(state, leaving)
        answer = await ask(self._models.chain(model), lambda _: said)
        text = answer.message.text.strip().encode()[:RECAP_BYTES].decode(errors="ignore")
        if text:
            await self._store("recap_put", job, [orjson.dumps([text, leaving[-1].id]), ttl_ms()])

    async def _store(self, script: str, job: Job, args: list[Any]) -> bool:
        """Store it, unless the conversation was cleared or deleted since the turn began."""
        cleared = job.given.cleared_seq if job.given else 0
        script_keys = log.conversation_keys(job.conversation_id, keys.recap(job.conversation_id))
        return bool(await batcher().submit(script, script_keys, [job.conversation_id, cleared, *args]))


def _leaving(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return what notes should be made of: the oldest whole turns, once the window is nearly full."""
    if len(messages) <= TEND_MESSAGES:
        return []
    for index in range(len(messages) - LEFT_MESSAGES, 0, -1):
        if isinstance(messages[index], HumanMessage):
            return messages[:index]
    return []
