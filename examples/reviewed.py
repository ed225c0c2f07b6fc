"""Another graph in the place of ours: `CHAT_GRAPH=examples.reviewed:make_graph python manage.py cluster`.

One node answers, a second looks at the answer and, once, sends it back to be shortened. docs/assistant.md says what
such a graph is given and what is expected of it.
"""

from typing import Annotated, Any, Literal

from langchain_core.messages import AnyMessage, SystemMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from conversations.assistant.models import make_model
from conversations.assistant.turn_context import TurnContext

LONG_WORDS = 120
SHOWN_MESSAGES = 10


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    was_shortened: bool


def make_graph() -> "StateGraph[State, TurnContext]":
    """Return the graph, not compiled: checkpointer and store are the server's."""
    model = make_model()  # CHAT_MODEL

    async def answer(state: State, runtime: Runtime[TurnContext]) -> dict[str, Any]:
        """Ask the model. What it streams is what people see."""
        wishes = [runtime.context.instructions, runtime.context.own_instructions]
        system = [SystemMessage(wish) for wish in wishes if wish]
        return {"messages": [await model.ainvoke([*system, *state["messages"][-SHOWN_MESSAGES:]])]}

    def review(state: State) -> dict[str, Any]:
        return {"was_shortened": len(str(state["messages"][-1].text).split()) > LONG_WORDS}

    def route(state: State) -> Literal["shorten", "__end__"]:
        return "shorten" if state["was_shortened"] else "__end__"

    def shorten(state: State) -> dict[str, Any]:
        """Put the cut answer in the place of the long one: the same id, so it is the same message."""
        last = state["messages"][-1]
        short = " ".join(str(last.text).split()[:LONG_WORDS])
        return {"messages": [last.model_copy(update={"content": f"{short} …"})]}

    graph = StateGraph(State, TurnContext)
    graph.add_node("answer", answer)
    graph.add_node("review", review)
    graph.add_node("shorten", shorten)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", "review")
    graph.add_conditional_edges("review", route)
    graph.add_edge("shorten", END)
    return graph
