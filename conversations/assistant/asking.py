"""Asking a model: streamed, timed, again after a passing error, and another model where this one cannot.

Only before the first piece: what a person has begun to read is never begun anew behind their back.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, cast

import structlog
from django.conf import settings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message

from .answer import ANSWER_BYTES, Limit
from .models import EmptyAnswer, ModelFailed, is_expected, is_passing
from .scripted import ScriptedModel

# Before the second try; doubled for each after it, and spread, so that a provider's hiccup is not answered in step.
BACKOFF_SECONDS = 0.5
# A provider that wants a longer rest than this is left to the next model, or to the person.
MOST_WAIT_SECONDS = 10.0

logger = structlog.get_logger(__name__)
Named = tuple[str, BaseChatModel]
Prompt = Callable[[BaseChatModel], list[BaseMessage]]
Offer = Callable[[BaseChatModel], Any]


class Asked(NamedTuple):
    """An answer, who gave it, and for how long it was asked (all tries)."""

    message: AIMessage
    model: str
    seconds: float


class _Stream:
    """One try at an answer. ``is_heard``: some of its text is on its way to people."""

    def __init__(self) -> None:
        self.chunks: list[AIMessageChunk] = []
        self.is_heard = False

    async def read(self, stream: AsyncGenerator[AIMessageChunk, None], silence_seconds: float | None) -> None:
        """Read to the end. A model that goes on beyond what an answer may hold is stopped."""
        length, loop = 0, asyncio.get_running_loop()
        async with asyncio.timeout(silence_seconds) as limit, aclosing(stream):
            async for chunk in stream:
                if silence_seconds:
                    limit.reschedule(loop.time() + silence_seconds)
                self.chunks.append(chunk)
                if text := chunk.text:
                    self.is_heard = True
                    length += len(text)
                    if length > ANSWER_BYTES:
                        return

    def whole(self) -> AIMessage:
        """Return the answer. Raises EmptyAnswer."""
        # In one go: adding chunk to chunk would copy the answer for each.
        whole = self.chunks[0] + self.chunks[1:] if self.chunks else None
        if whole is None or not (whole.text.strip() or whole.tool_calls):
            raise EmptyAnswer
        if isinstance(whole.content, str):
            # Cut where the pieces are cut, so that state, pieces and log hold one answer.
            whole.content = Limit().take(whole.content)
        return cast(AIMessage, message_chunk_to_message(whole))


async def ask(models: Sequence[Named], prompt: Prompt, offer: Offer = lambda model: model) -> Asked:
    """Return the answer of the first model that gives one. Raises what the last one raised.

    ``offer`` binds tools to a model that takes them. Cancelled: the request is closed.
    """
    began = time.monotonic()
    for position, (name, model) in enumerate(models):
        stream = _Stream()
        try:
            message = await _ask_one(model, prompt(model), offer(model), stream)
            return Asked(message, name, time.monotonic() - began)
        except Exception as error:
            if stream.is_heard or position == len(models) - 1:
                if is_expected(error):
                    raise
                raise ModelFailed from error
            logger.warning("model.passed_over", model=name, kind=type(error).__name__)
    raise EmptyAnswer


async def _ask_one(model: BaseChatModel, prompt: list[BaseMessage], bound: Any, stream: _Stream) -> AIMessage:
    if isinstance(model, ScriptedModel):
        await stream.read(bound.astream(prompt), None)
        return stream.whole()
    async with asyncio.timeout(settings.CHAT_ANSWER_SECONDS):
        for tries in range(settings.CHAT_RETRIES + 1):
            try:
                stream.chunks.clear()
                await stream.read(bound.astream(prompt), settings.CHAT_SILENCE_SECONDS)
                return stream.whole()
            except Exception as error:
                wait_seconds = _wait_seconds(error, tries)
                is_last = tries == settings.CHAT_RETRIES
                if stream.is_heard or is_last or not is_passing(error) or wait_seconds > MOST_WAIT_SECONDS:
                    raise
                logger.info("model.asked_again", kind=type(error).__name__, wait_seconds=round(wait_seconds, 2))
            await asyncio.sleep(wait_seconds)
    raise AssertionError("unreachable")


def _wait_seconds(error: BaseException, tries: int) -> float:
    """Return what the provider asks for, or a doubled and spread back-off."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return float(headers["retry-after"])
    except (KeyError, ValueError, TypeError):
        return BACKOFF_SECONDS * 2.0**tries * random.uniform(0.75, 1.25)
