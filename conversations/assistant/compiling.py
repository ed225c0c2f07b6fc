"""The graph of this node: ours, or the one that CHAT_GRAPH names, with our checkpointer and store."""

from importlib import import_module
from typing import Any

from django.conf import settings
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore

from conversations.errors import StartRefused

from .graph import build_graph
from .models import Models

# `/steps N` has a superstep each.
OUR_SUPERSTEPS = 10_000
# Of another graph that names none: it still ends where it runs in circles, before it has cost much.
OTHER_SUPERSTEPS = 200


def compile_graph(models: Models, saver: BaseCheckpointSaver[Any], memory: BaseStore) -> tuple[Any, bool]:
    """Return the compiled graph, and whether it is ours. Raises StartRefused with the line that says what to set."""
    if not settings.CHAT_GRAPH:
        ours = build_graph(models).compile(checkpointer=saver, store=memory)
        return ours.with_config(recursion_limit=OUR_SUPERSTEPS), True
    found = _call(settings.CHAT_GRAPH)
    if isinstance(found, StateGraph):
        found = found.compile(checkpointer=saver, store=memory)
    if not isinstance(found, Pregel):
        raise _refused(f"returned {type(found).__name__}, not a StateGraph or a compiled graph")
    if "messages" not in found.channels:
        raise _refused("has no `messages` in its state")
    if found.interrupt_before_nodes or found.interrupt_after_nodes:
        # Such a stop asks nothing, so nobody could answer; and whoever takes the turn over would run past it.
        raise _refused("stops before or after a step without a question; let the step ask by interrupt()")
    graph = found.copy({"checkpointer": saver, "store": found.store or memory})
    limit = (graph.config or {}).get("recursion_limit", OTHER_SUPERSTEPS)
    return graph.with_config(recursion_limit=limit), False


def _call(path: str) -> Any:
    module, _, name = path.partition(":")
    if not module or not name:
        raise _refused("is not of the form module:function")
    try:
        made = getattr(import_module(module), name)
        return made() if callable(made) else made
    except StartRefused:
        raise
    except Exception as error:
        raise _refused(
            f"cannot be used: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error


def _refused(why: str) -> StartRefused:
    return StartRefused(f"CHAT_GRAPH is {settings.CHAT_GRAPH!r}, which {why}")
