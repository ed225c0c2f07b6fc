"""One turn through the graph: run it, go on after another node's death, end it, forget it.

The head checkpoint's metadata says whose turn it is (turn_id); the saver's fence keeps late writers out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from django.conf import settings
from django.utils.module_loading import import_string
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot

from conversations.errors import Fenced, StartRefused, Unavailable

from . import context
from .answer import Limit
from .between import read_between
from .graph import build_graph
from .models import explain, is_expected, make_model
from .outcome import Drained, Job, Outcome, Sink, Source, answer_of, done, ended, waiting
from .saver import FencedRedisSaver, HeadTurn
from .speakers import spoken

logger = structlog.get_logger(__name__)

# `/steps N` has a superstep each; a graph that runs in circles still ends.
MAX_SUPERSTEPS = 10_000
# Nodes of our own graph whose work is no news to a person.
QUIET_NODES = {"take_input", "respond", "update_context"}
Loader = Callable[[], Awaitable[list[dict[str, Any]]]]


__all__ = ["Assistant", "Drained", "Job", "Loader", "Outcome", "Sink"]


class Assistant:
    """One a process and event loop; start() first."""

    def __init__(self, model_name: str | None = None) -> None:
        self.model_name = model_name
        self.controls: dict[str, RunControl] = {}

    async def start(self) -> None:
        """Prepare graph and search index. Any number of nodes may do so at once.

        Raises StartRefused for an unusable CHAT_MODEL or ASSISTANT_GRAPH, Unavailable.
        """
        self.saver = FencedRedisSaver()
        self.graph = _compile(self.saver, self.model_name)
        await self.saver.asetup()

    async def run(
        self,
        job: Job,
        sink: Sink,
        *,
        load_transcript: Loader,
        answers: dict[str, Any] | None = None,
    ) -> Outcome:
        """Run the turn, or what is left of it, and return how it ended.

        ``answers``: interrupt id -> value, for a turn that waited. ``load_transcript`` gives
        [{"role", "content"}], oldest first, before this turn's message; it is asked only when the
        checkpoints are gone. Raises Drained, Fenced, Unavailable; cancelled, it stops at once and
        finished supersteps are kept.
        """
        head = await self.saver.abase_turn(_config(job))
        if head is not None and head.turn_id == job.turn_id:
            return await self._take_over(job, sink, answers or {})
        if head is not None:
            messages = await self._since(job, head)
        else:
            messages = [] if job.seq <= 1 else _rebuilt(await load_transcript())
        return await self._stream(job, sink, {"messages": [*messages, _said(job)]})

    async def _since(self, job: Job, head: HeadTurn) -> list[BaseMessage]:
        """Return what the state lacks of what came before the turn: calls left open, and what the log alone knows."""
        between = await read_between(job.conversation_id, head, job.seq, has_company=bool(job.username))
        calls = _open_calls(await self.graph.aget_state(_config(job))) if between.is_cut else []
        return [*calls, *between.said]

    async def _take_over(self, job: Job, sink: Sink, answers: dict[str, Any]) -> Outcome:
        """Go on with a turn that an earlier attempt began."""
        snapshot = await self.graph.aget_state(_config(job))
        if _metadata(snapshot).get("ended"):
            return ended(snapshot.values)
        # Not `next`: it is empty already when a task's writes are stored but its superstep is not.
        if not snapshot.tasks:
            return done(snapshot.values)
        given = {each.id: answers[each.id] for each in snapshot.interrupts if each.id in answers}
        if snapshot.interrupts and not given:
            return waiting(snapshot.values, snapshot.interrupts)
        return await self._stream(job, sink, Command(resume=given) if given else None)

    async def _stream(self, job: Job, sink: Sink, given: Any) -> Outcome:
        control = self.controls[job.turn_id] = RunControl()
        said: list[str] = []
        try:
            values = await _relay(self.graph, job, given, control, sink, said)
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError  # which LangGraph swallows when it comes while it tidies up
            interrupts = values.get("__interrupt__", ())
            return waiting(values, interrupts) if interrupts else done(values)
        except GraphDrained:
            raise Drained from None
        except (Fenced, Unavailable):
            raise
        except (Exception, asyncio.CancelledError) as error:
            # A cancellation that nobody asked this task for is the graph's own failure.
            if isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
                raise
            _log_failure(job, error)
            title = context.title_of(job.text) if job.seq == 1 else ""
            return Outcome("failed", text="".join(said), error=explain(error), title=title)
        finally:
            if self.controls.get(job.turn_id) is control:
                del self.controls[job.turn_id]

    def drain(self, turn_id: str) -> None:
        """Ask the turn's run to stop after its current superstep; its run() then raises Drained."""
        if control := self.controls.get(turn_id):
            control.request_drain()

    async def end_turn(self, job: Job, *, text: str, status: str) -> None:
        """Write the turn-end checkpoint of a turn that failed or was cancelled: open calls answered, ``text`` added.

        Call it before the turn's finish, which gives up the fence. A second call changes nothing.
        Raises Fenced, Unavailable.
        """
        head = await self.saver.abase_turn(_config(job))
        snapshot = await self.graph.aget_state(_config(job))
        metadata = _metadata(snapshot)
        mine = metadata.get("turn_id") == job.turn_id
        if mine and metadata.get("ended"):
            return
        if not metadata and job.seq > 1:
            return  # no state to add to: the next turn rebuilds it from the transcript, this answer included
        if mine:
            update = _open_calls(snapshot)
        else:
            update = [*(await self._since(job, head) if head else []), _said(job)]
        # An answer that came whole just before the end gives way to what was sent of it.
        answer = answer_of(snapshot.values) if mine and not snapshot.tasks else None
        answer_id = answer.id if answer else f"{job.turn_id}-{status}"
        if text:
            update.append(AIMessage(Limit().take(text), id=answer_id))
        elif answer:
            update.append(RemoveMessage(str(answer_id)))
        # As if the graph's last node had said it; what that would start, the next input discards.
        as_node = list(self.graph.nodes)[-1]
        await self.graph.aupdate_state(_config(job, ended=status), {"messages": update}, as_node)

    async def prune(self, conversation_id: str, turn_id: str) -> None:
        """Drop what the finished turn no longer needs. Never raises: the next turn's prune catches up."""
        try:
            await self.saver.aprune_turn(conversation_id, turn_id)
        except Unavailable:
            logger.warning("assistant.prune_missed", conversation_id=conversation_id, turn_id=turn_id)

    async def fork(self, source: Source, conversation_id: str, seq: int) -> bool:
        """Let another conversation go on from a turn's end, if that is kept; else its transcript will do.

        Raises Unavailable.
        """
        return await self.saver.acopy_turn_end(source, conversation_id, seq)

    async def forget(self, conversation_id: str) -> None:
        """Drop every checkpoint of the conversation. Raises Unavailable."""
        await self.saver.adelete_thread(conversation_id)


def _compile(saver: FencedRedisSaver, model_name: str | None) -> Any:
    """Compile our graph, or the one that ASSISTANT_GRAPH names: a StateGraph with a ``messages`` channel."""
    path = getattr(settings, "ASSISTANT_GRAPH", "")
    if not path:
        return build_graph(make_model(model_name)).compile(checkpointer=saver)
    try:
        return import_string(path).compile(checkpointer=saver)
    except (ImportError, AttributeError) as error:
        raise StartRefused(f"ASSISTANT_GRAPH is {path!r}, which is no StateGraph: {error}") from None


async def _relay(graph: Any, job: Job, given: Any, control: RunControl, sink: Sink, said: list[str]) -> dict[str, Any]:
    """Run the graph, pass its pieces and steps on, keep the pieces in ``said``, and return its last state."""
    limit = Limit()
    values: dict[str, Any] = {}
    async for mode, data in graph.astream(
        given, _config(job), stream_mode=["messages", "tasks", "values"], durability="sync", control=control
    ):
        if mode == "messages":
            message = data[0]
            if isinstance(message, AIMessage | AIMessageChunk) and (piece := limit.take(str(message.text))):
                said.append(piece)
                sink.piece(piece)
        elif mode == "values":
            values.pop("__interrupt__", None)
            values |= data
        elif data["name"] not in QUIET_NODES:
            sink.step(data["name"], "ended" if "result" in data else "began")
    return values


def _config(job: Job, **more: Any) -> RunnableConfig:
    turn = {"turn_id": job.turn_id, "turn_seq": job.seq, "attempt": job.attempt}
    return {"configurable": {"thread_id": job.conversation_id, **turn, **more}, "recursion_limit": MAX_SUPERSTEPS}


def _metadata(snapshot: StateSnapshot) -> dict[str, Any]:
    return dict(snapshot.metadata or {})


def _said(job: Job) -> HumanMessage:
    # Its id is the turn's, so that a message handed in twice is still one.
    return spoken(job.text, message_id=f"{job.turn_id}-said", name=job.username)


def _rebuilt(transcript: list[dict[str, Any]]) -> list[BaseMessage]:
    """Return what people and the assistant have said; notes of the system are not for the model."""
    rebuilt: list[BaseMessage] = []
    for number, each in enumerate(transcript):
        message_id = f"transcript-{number}"
        if each["role"] == "assistant" and each["content"]:
            rebuilt.append(AIMessage(each["content"], id=message_id))
        elif each["role"] == "user" and each["content"]:
            name, overheard = each.get("name", ""), not each.get("addressed", True)
            rebuilt.append(spoken(each["content"], message_id=message_id, name=name, overheard=overheard))
    return rebuilt


def _open_calls(snapshot: StateSnapshot) -> list[BaseMessage]:
    """Return the answers that the state's open tool calls lack."""
    messages: list[BaseMessage] = list(snapshot.values.get("messages", []))
    known = {id(message) for message in messages}
    return [message for message in context.answer_open_calls(messages) if id(message) not in known]


def _log_failure(job: Job, error: BaseException) -> None:
    """Log the kind of the failure and, if unexpected, where it was; never its text, which may hold content."""
    place = None
    if not is_expected(error) and error.__traceback__ is not None:
        frames = []
        frame = error.__traceback__
        while frame is not None:
            frames.append(f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}")
            frame = frame.tb_next  # type: ignore[assignment]
        place = frames[-6:]
    logger.warning(
        "assistant.turn_failed",
        conversation_id=job.conversation_id,
        turn_id=job.turn_id,
        attempt=job.attempt,
        kind=type(error).__name__,
        place=place,
    )
