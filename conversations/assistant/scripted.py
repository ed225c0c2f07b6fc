"""The scripted model: deterministic, for tests and benchmarks. docs/protocol.md lists what it answers."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.conf import settings
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

APPROVAL_TOOL = "approve"
COMMAND = re.compile(r"/(words|approve|fail|slow|steps)(?:\s+(.*))?", re.DOTALL)
# More words than an answer may hold; `/words` asked for more is cut there.
MAX_WORDS = 40_000


class ScriptedFailure(Exception):
    """What `/fail` raises."""


class ScriptedModel(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "scripted"

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        """Stream the answer word by word, SCRIPTED_DELAY_MS between two words."""
        name, argument = parse_command(asked(messages))
        if name == "fail":
            raise ScriptedFailure
        if name == "slow":
            await asyncio.sleep(float(argument))
        if name == "approve" and not isinstance(messages[-1], ToolMessage):
            yield ChatGenerationChunk(message=_approval_call(messages, argument))
            return
        count = 0
        for word in answer_words(messages):
            if count and settings.SCRIPTED_DELAY_MS:
                await asyncio.sleep(settings.SCRIPTED_DELAY_MS / 1000)
            count += 1
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=_usage(messages, count)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        chunks = [chunk async for chunk in self._astream(messages)]
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        return ChatResult(generations=[ChatGeneration(message=whole.message)])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("the scripted model only runs in an event loop")


def asked(messages: list[BaseMessage]) -> str:
    """Return the text of the newest message of a person."""
    people = [message for message in messages if isinstance(message, HumanMessage)]
    return str(people[-1].text) if people else ""


def parse_command(text: str) -> tuple[str, str]:
    """Return (command, argument); command is '' for any text that is not exactly one."""
    match = COMMAND.fullmatch(text.strip())
    if match is None:
        return "", text
    name, argument = match[1], (match[2] or "").strip()
    numeric = {"words": r"\d{1,9}", "steps": r"\d{1,6}", "slow": r"\d{1,6}(\.\d{1,3})?"}
    fits = re.fullmatch(numeric[name], argument, re.ASCII) if name in numeric else True
    return (name, argument) if fits else ("", text)


def answer_words(messages: list[BaseMessage]) -> Iterator[str]:
    """Yield the answer's words, each with the white space that follows it."""
    text = asked(messages)
    name, argument = parse_command(text)
    if name == "words":
        count = min(int(argument), MAX_WORDS)
        return (f"w{number}" if number == count else f"w{number} " for number in range(1, count + 1))
    answer = {
        "slow": "done",
        "steps": f"steps: {argument}",
        "approve": f"{messages[-1].text}: {argument}",
    }.get(name, f"echo: {text}")
    return iter(re.findall(r"\S+\s*|\s+", answer))


def _approval_call(messages: list[BaseMessage], argument: str) -> AIMessageChunk:
    # Stable, so that the same question asked again after a takeover is the same call.
    call_id = f"call-{messages[-1].id}"
    call = ToolCall(name=APPROVAL_TOOL, args={"subject": argument}, id=call_id, type="tool_call")
    return AIMessageChunk(content="", tool_calls=[call], usage_metadata=_usage(messages, 0))


def _usage(messages: list[BaseMessage], words_out: int) -> UsageMetadata:
    """Count words where a real model counts tokens."""
    words_in = sum(len(str(message.text).split()) for message in messages)
    return UsageMetadata(input_tokens=words_in, output_tokens=words_out, total_tokens=words_in + words_out)
