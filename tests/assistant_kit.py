"""What tests of the assistant share: turns that were claimed, and a sink that remembers."""

import asyncio
import re
import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, ToolCall
from langchain_core.outputs import ChatGenerationChunk

from conversations import keys, store
from conversations.assistant.given import read_given
from conversations.assistant.models import Models
from conversations.assistant.service import Assistant, Job


class Heard:
    """A sink that remembers."""

    def __init__(self):
        self.pieces, self.steps = [], []

    def piece(self, text):
        self.pieces.append(text)

    def step(self, name, status, tool=""):
        self.steps.append((name, status, tool) if tool else (name, status))

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
            job = Job(self.conversation_id, str(uuid4()), 0, "1", "", self.seq, text)
            self.seq += 2
        job = replace(job, attempt=job.attempt + 1)
        await store.client().hset(keys.turn(job.conversation_id, job.turn_id), "attempt", job.attempt)
        return await self._given(job)

    async def _given(self, job):
        await store.client().set(keys.wishes(job.user_id), "", nx=True)  # so that nobody asks the database
        return replace(job, given=await read_given(job))

    async def run(self, job, heard=None, answers=None):
        job = await self._given(job)
        return await self.assistant.run(job, heard or Heard(), load_transcript=self.load_transcript, answers=answers)

    async def say(self, text):
        """Run a whole turn, ended and pruned, and return its outcome."""
        job = await self.claim(text)
        outcome = await self.run(job)
        if outcome.status == "failed" and not outcome.is_rewound:
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


class ToldModel(BaseChatModel):
    """A model that says what it was told to, one reply a call, and remembers what it was shown.

    A reply is a text (streamed in words), a list of (tool, arguments), or an error to raise; after a text, its words
    may end in one: ("half an", error).
    """

    replies: list[Any]
    shown: list[Any] = []
    tools: list[str] = []

    @property
    def _llm_type(self):
        return "told"

    def bind_tools(self, tools, **_):
        self.tools[:] = [tool["function"]["name"] for tool in tools]
        return self

    async def _astream(self, messages, stop=None, run_manager=None, **_):
        self.shown.append(messages)
        reply = self.replies.pop(0)
        words, error = reply if isinstance(reply, tuple) else (reply, None)
        if isinstance(words, Exception):
            raise words
        if isinstance(words, list):
            calls = [ToolCall(name=name, args=args, id=f"{name}-{len(self.shown)}") for name, args in words]
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_calls=calls))
            return
        for word in re.findall(r"\S+\s*", words):
            yield ChatGenerationChunk(message=AIMessageChunk(word))
        if error:
            raise error
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=usage))

    def _generate(self, *_, **__):
        raise NotImplementedError

    def prompt(self, call=-1):
        """Return the texts of what it was shown."""
        return [message.text for message in self.shown[call]]


async def told_talk(*replies, **others):
    """Return a talk with a told model as the default; others by name. The model is ``talk.model``."""
    model = ToldModel(replies=list(replies), shown=[], tools=[])
    talk = Talk(Assistant(models=Models("told", {"told": model, **others})))
    talk.model = model
    await talk.assistant.start()
    return talk
