"""What tests of the assistant share: turns that were claimed, and a sink that remembers."""

import asyncio
import time
from dataclasses import replace
from uuid import uuid4

import pytest

from conversations import keys, store
from conversations.assistant.service import Assistant, Job


class Heard:
    """A sink that remembers."""

    def __init__(self):
        self.pieces, self.steps = [], []

    def piece(self, text):
        self.pieces.append(text)

    def step(self, name, status):
        self.steps.append((name, status))

    @property
    def text(self):
        return "".join(self.pieces)


class Talk:
    """A conversation whose turns are claimed as the turns' own scripts would, without them."""

    def __init__(self, assistant):
        self.assistant = assistant
        self.conversation_id = str(uuid4())
        self.seq = 1
        self.transcript = []

    async def load_transcript(self):
        return self.transcript

    async def claim(self, text="", job=None):
        """Return a new turn's job, or the next attempt at ``job``."""
        if job is None:
            job = Job(self.conversation_id, str(uuid4()), 0, "1", "ada", self.seq, text)
            self.seq += 2
        job = replace(job, attempt=job.attempt + 1)
        await store.client().hset(keys.turn(job.conversation_id, job.turn_id), "attempt", job.attempt)
        return job

    async def run(self, job, heard=None, answers=None):
        return await self.assistant.run(job, heard or Heard(), load_transcript=self.load_transcript, answers=answers)

    async def say(self, text):
        """Run a whole turn, ended and pruned, and return its outcome."""
        job = await self.claim(text)
        outcome = await self.run(job)
        if outcome.status == "failed":
            await self.assistant.end_turn(job, text="", status="failed")
        await self.assistant.prune(self.conversation_id, job.turn_id)
        return outcome

    async def state(self):
        snapshot = await self.assistant.graph.aget_state(self.config())
        return snapshot.values

    def config(self):
        return {"configurable": {"thread_id": self.conversation_id}}

    async def said(self):
        return [message.text for message in (await self.state()).get("messages", [])]

    async def keys(self):
        found = await store.client().keys(f"*checkpoint*:{self.conversation_id}*")
        return sorted(key.decode() for key in found)


@pytest.fixture
async def talk(settings):
    settings.SCRIPTED_DELAY_MS = 0
    assistant = Assistant("scripted")
    await assistant.start()
    talk = Talk(assistant)
    yield talk
    await assistant.forget(talk.conversation_id)
    await store.close()


async def until(condition, seconds=5.0):
    """Wait until ``condition()`` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.002)
