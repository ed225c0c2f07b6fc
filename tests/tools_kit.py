"""Graphs with tools that note what happens to them. A module of its own: CHAT_GRAPH names it."""

import asyncio

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

from conversations.assistant.approval import ask_person, is_marked, needs_person


class Tool:
    """What the graphs below note of their tools."""

    began = asyncio.Event()
    may_end = asyncio.Event()
    noted = []


async def careful(state):
    Tool.began.set()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        Tool.noted.append("cancelled")
        raise


async def stubborn(state):
    Tool.began.set()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        Tool.noted.append("not now")
        await Tool.may_end.wait()


def graph_of(node):
    graph = StateGraph(MessagesState)
    graph.add_node("work", node)
    graph.add_edge(START, "work")
    return graph


careful_graph, stubborn_graph = graph_of(careful), graph_of(stubborn)


@needs_person
@tool
def pay(sum: int) -> str:
    """Pay somebody."""
    Tool.noted.append(sum)
    return f"paid {sum}"


def pays(state):
    assert is_marked(pay)
    calls = [{"name": pay.name, "args": {"sum": 5}, "id": f"call-{number}", "type": "tool_call"} for number in (1, 2)]
    approved = [ask_person(call) for call in calls]
    said = [pay.invoke(call["args"]) for call, ok in zip(calls, approved, strict=True) if ok]
    return {"messages": [AIMessage(", ".join(said) or "paid nothing")]}


paying_graph = graph_of(pays)


big_question = graph_of(lambda state: ask_person({"name": "pay", "args": {"to": "x" * 200_000}, "id": "c"}))
