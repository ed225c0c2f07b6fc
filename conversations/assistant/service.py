"""One turn through the graph: run it, go on after another node's death, end it, forget it.

The head checkpoint's metadata says whose turn it is (turn_id); the saver's fence keeps late writers out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot

from conversations.errors import Fenced, Unavailable
from conversations.gist import title_of

from . import context
from .answer import Limit
from .between import read_between
from .compiling import compile_graph
from .containing import contained, prepare_loop
from .given import HeadTurn
from .memory import MemoryStore
from .models import Models, PoisonedState, explain, is_expected, is_suspect
from .outcome import Drained, Job, Outcome, Sink, Source, answer_of, done, ended, failed, used, waiting
from .saver import FencedRedisSaver
from .speakers import spoken
from .tending import Tender
from .turn_context import TurnContext

logger = structlog.get_logger(__name__)

Loader = Callable[[], Awaitable[list[dict[str, Any]]]]


__all__ = ["Assistant", "Drained", "Job", "Loader", "Outcome", "Sink"]


class Assistant:
    """One a process and event loop; start() first."""

    def __init__(self, model_name: str | None = None, models: Models | None = None) -> None:
        self.models = models or Models(model_name)
        self.tender = Tender(self.models)
        self.controls: dict[str, RunControl] = {}

    async def start(self) -> None:
        """Prepare graph and search indexes. Any number of nodes may do so at once.

        Raises StartRefused for a model, tool or CHAT_GRAPH that cannot be used, Unavailable.
        """
        prepare_loop()
        self.models.check()
        self.saver, self.memory = FencedRedisSaver(), MemoryStore()
        self.graph, self.is_ours = compile_graph(self.models, self.saver, self.memory)
        await self.saver.asetup()
        await self.memory.setup()

    async def stop(self) -> None:
        """End what runs beside the turns. Nothing is lost by it: the next turn begins it anew."""
        await self.tender.stop()

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
        try:
            head = job.given.head
            if head is not None and head.turn_id == job.turn_id:
                return await self._take_over(job, sink, answers or {})
            if head is not None:
                before = await self._since(job, head)
                heard = sum(isinstance(message, HumanMessage) for message in before)
            else:
                before, heard = [] if job.seq <= 1 else _rebuilt(await load_transcript()), 0
            return await self._stream(job, sink, {"messages": [*before, _said(job)]}, heard)
        except PoisonedState as error:
            return await self._set_aside(job, error)

    async def _state(self, job: Job) -> StateSnapshot:
        """Return the state as the head checkpoint has it. Raises PoisonedState."""
        snapshot: StateSnapshot = await self.graph.aget_state(_config(job))
        return snapshot

    async def _set_aside(self, job: Job, error: Exception) -> Outcome:
        """Drop a state that cannot be read, under the fence; the next turn rebuilds it from the transcript."""
        _log_failure(job, error)
        await self.saver.adiscard(_config(job))
        return failed(error)

    async def _since(self, job: Job, head: HeadTurn) -> list[BaseMessage]:
        """Return what the state lacks of what came before the turn: calls left open, and what the log alone knows."""
        between = await read_between(job.conversation_id, head, job.seq, has_company=bool(job.username))
        if not between.is_cut:
            return between.said
        snapshot = await self._state(job)
        return [*_open_calls(snapshot), *_unsent_answer(snapshot, head.turn_id), *between.said]

    async def _take_over(self, job: Job, sink: Sink, answers: dict[str, Any]) -> Outcome:
        """Go on with a turn that an earlier attempt began."""
        snapshot = await self._state(job)
        if _metadata(snapshot).get("ended"):
            return ended(snapshot.values)
        # Not `next`: it is empty already when a task's writes are stored but its superstep is not.
        if not snapshot.tasks:
            return done(snapshot.values)
        given = {each.id: answers[each.id] for each in snapshot.interrupts if each.id in answers}
        if snapshot.interrupts and not given:
            return waiting(snapshot.values, snapshot.interrupts)
        return await self._stream(job, sink, Command(resume=given) if given else None)

    async def _stream(self, job: Job, sink: Sink, given: Any, heard: int = 0) -> Outcome:
        control = self.controls[job.turn_id] = RunControl()
        run = _Run(sink)
        try:
            with contained():
                await run.relay(self.graph, job, given, control, _context(job, heard))
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError  # which LangGraph swallows when it comes while it tidies up
            if run.is_interrupted:
                # Tasks that ran beside it are told of in other pieces of the stream; the checkpoint has all of them.
                snapshot = await self._state(job)
                return waiting(snapshot.values, snapshot.interrupts)
            return done(run.values)
        except GraphDrained:
            raise Drained from None
        except (Fenced, Unavailable, PoisonedState):
            raise
        except (Exception, asyncio.CancelledError) as error:
            # A cancellation that nobody asked this task for is the graph's own failure.
            if isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
                raise
            _log_failure(job, error)
            outcome = Outcome("failed", text="".join(run.said), error=explain(error), usage=used(run.values))
            outcome.title = title_of(job.text) if job.seq == 1 else ""
            if self.is_ours and is_suspect(error):
                # The next turn goes on from where this one began, and finds what was said here in the log.
                await self.saver.arewind(_config(job))
                outcome.is_rewound = True
            return outcome
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
        Raises Fenced, Unavailable. A state that cannot take it goes back to where the turn began; one that cannot be
        read is dropped, so that the next turn rebuilds it.
        """
        try:
            with contained():
                await self._end_turn(job, text, status)
        except (Fenced, Unavailable):
            raise
        except PoisonedState as error:
            await self._set_aside(job, error)
        except Exception as error:
            _log_failure(job, error)
            await self.saver.arewind(_config(job))

    async def _end_turn(self, job: Job, text: str, status: str) -> None:
        snapshot = await self._state(job)
        metadata = _metadata(snapshot)
        mine = metadata.get("turn_id") == job.turn_id
        if mine and metadata.get("ended"):
            return
        if not metadata and job.seq > 1:
            return  # no state to add to: the next turn rebuilds it from the transcript, this answer included
        update = _open_calls(snapshot)
        if _said(job).id not in {message.id for message in snapshot.values.get("messages", [])}:
            # It never began, or was stopped before its first step.
            head = job.given.head
            update += await self._since(job, head) if head and head.turn_id != job.turn_id else []
            update.append(_said(job))
        update += _unsent_answer(snapshot, job.turn_id)
        if text:
            update.append(AIMessage(Limit().take(text), id=f"{job.turn_id}-{status}"))
        # As if the graph's last node had said it; what that would start, the next input discards.
        as_node = list(self.graph.nodes)[-1]
        await self.graph.aupdate_state(_config(job, ended=status), {"messages": update}, as_node)

    def tend(self, job: Job, outcome: Outcome) -> None:
        """Begin what is not done on anybody's time: a title, and notes of what will leave the window."""
        if self.is_ours and outcome.status == "done":
            self.tender.tend_soon(job, outcome.values)

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


class _Run:
    """Passes on what a running graph says; keeps it, and the graph's last state."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.said: list[str] = []
        self.values: dict[str, Any] = {}
        self.is_interrupted = False
        self.tools: dict[str, str] = {}  # by the id of the task that runs it

    async def relay(self, graph: Any, job: Job, given: Any, control: RunControl, about: TurnContext) -> None:
        """Run the graph. Raises what it raises."""
        limit = Limit()
        async for mode, data in graph.astream(
            given,
            _config(job),
            context=about,
            stream_mode=["messages", "tasks", "values"],
            durability="sync",
            control=control,
        ):
            if mode == "messages":
                message = data[0]
                if isinstance(message, AIMessage | AIMessageChunk) and (piece := limit.take(str(message.text))):
                    self.said.append(piece)
                    self.sink.piece(piece)
            elif mode == "values":
                self.is_interrupted |= data.pop("__interrupt__", None) is not None
                self.values |= data
            else:
                self._step(data)

    def _step(self, task: dict[str, Any]) -> None:
        """Tell that a task of the graph begins or ends; which tool it runs is known at its beginning only."""
        if "result" in task:
            self.sink.step(task["name"], "ended", self.tools.pop(task["id"], ""))
            return
        given = task.get("input")
        call = given.get("call") if isinstance(given, dict) else None
        tool = str(call.get("name") or "") if isinstance(call, dict) else ""
        self.tools[task["id"]] = tool
        self.sink.step(task["name"], "began", tool)


def _config(job: Job, **more: Any) -> RunnableConfig:
    turn = {"turn_id": job.turn_id, "turn_seq": job.seq, "attempt": job.attempt}
    return {"configurable": {"thread_id": job.conversation_id, **turn, **more}}


def _context(job: Job, heard: int) -> TurnContext:
    given = job.given
    return TurnContext(
        conversation_id=job.conversation_id,
        turn_id=job.turn_id,
        user_id=job.user_id,
        username=job.username,
        seq=job.seq,
        model=given.model,
        topic=given.topic,
        title=given.title,
        instructions=given.instructions,
        own_instructions="" if job.username else given.own_instructions,
        recap=given.recap,
        heard=heard,
    )


def _metadata(snapshot: StateSnapshot) -> dict[str, Any]:
    return dict(snapshot.metadata or {})


def _said(job: Job) -> HumanMessage:
    # Its id is the turn's, so that a message handed in twice is still one.
    return spoken(job.text, message_id=f"{job.turn_id}-said", name=job.username)


def _rebuilt(transcript: list[dict[str, Any]]) -> list[BaseMessage]:
    """Return what people and the assistant have said; notes of the system are not for the model."""
    rebuilt: list[BaseMessage] = []
    for number, each in enumerate(transcript):
        # As the log names it: what was made of an earlier rebuilding (a recap) must not fit another one.
        message_id = str(each.get("message_id") or f"transcript-{number}")
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


def _unsent_answer(snapshot: StateSnapshot, turn_id: str) -> list[BaseMessage]:
    """Return what takes the turn's answer away that came whole just before the end: what was sent of it counts."""
    messages: list[BaseMessage] = list(snapshot.values.get("messages", []))
    answer = answer_of(snapshot.values)
    if answer is None or answer.tool_calls or f"{turn_id}-said" not in {message.id for message in messages}:
        return []
    return [RemoveMessage(str(answer.id))]


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
