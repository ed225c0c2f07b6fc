"""The one graph that every server of the comparison runs; it imports LangGraph and LangChain alone.

Its model answers `/words N MS` with N words, MS milliseconds apart. Each word says which it is, when it was said
(CLOCK_MONOTONIC, microseconds: one clock for all processes of a machine), and by which process: `w3:81726354:4711 `.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, AnyMessage, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    title: str
    answers: int


class StampingModel(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "stamping"

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        _, count, pace_ms = str(messages[-1].text).split()
        for number in range(1, int(count) + 1):
            if number > 1 and pace_ms != "0":
                await asyncio.sleep(float(pace_ms) / 1000)
            word = f"w{number}:{time.monotonic_ns() // 1000}:{os.getpid()} "
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("it only streams")


def take_input(state: State) -> dict[str, Any]:
    return {"title": state.get("title") or str(state["messages"][-1].text)[:60]}


async def respond(state: State) -> dict[str, Any]:
    chunks = [chunk async for chunk in StampingModel().astream(state["messages"])]
    return {"messages": [message_chunk_to_message(chunks[0] + chunks[1:])]}


def update_context(state: State) -> dict[str, Any]:
    return {"answers": state.get("answers", 0) + 1}


def make_graph() -> "StateGraph[State]":
    """Return the graph, not compiled: each server brings its own checkpointer. Three steps, as our assistant's."""
    built = StateGraph(State)
    built.add_node("take_input", take_input)
    built.add_node("respond", respond)
    built.add_node("update_context", update_context)
    built.add_edge(START, "take_input")
    built.add_edge("take_input", "respond")
    built.add_edge("respond", "update_context")
    built.add_edge("update_context", END)
    return built


graph = make_graph()
