"""Checkpoints in Redis: one script a write, refused unless the writer's attempt is the turn's current one.

`config["configurable"]` names thread_id (the conversation), turn_id, attempt, and turn_seq (of the message that the
turn answers). A write without a turn_id is not fenced: forks, tools and tests. Times to live are set in the same
scripts. A saver serves one event loop.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import orjson
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.redis.aio import AsyncRedisSaver
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT
from redis.exceptions import ResponseError
from redisvl.query import FilterQuery
from redisvl.query.filter import FilterExpression, Num, Tag

from conversations import store
from conversations.faults import point

from . import keys
from .fence import run, run_fenced, ttl_ms
from .models import PoisonedState, StateNotPlain, StateTooBig
from .outcome import Source
from .privacy import shown_to
from .serializer import SafeSerializer

INDEX = "tether_checkpoints"
KEEP_TURN_ENDS = 20
LIST_LIMIT = 1000
# Ours keeps a window of messages; another graph's state must not hold Redis up either.
MOST_BYTES = 8 * 1024 * 1024

# What a checkpoint's metadata says of the attempt that wrote it.
OF_ITS_TURN = {"turn_id", "attempt", "turn_seq", "ended", "thread_id", "checkpoint_id"}

Name = tuple[str, str, str]  # thread, namespace, checkpoint id


class FencedRedisSaver(AsyncRedisSaver):
    def __init__(self) -> None:
        super().__init__(redis_client=store.client())
        self.serde = SafeSerializer()

    @property
    def checkpoints_schema(self) -> dict[str, Any]:
        tags = ("thread_id", "run_id", "turn_id", "checkpoint_ns", "checkpoint_id", "source")
        numbers = ("checkpoint_ts", "step")
        return {
            "index": {"name": INDEX, "prefix": keys.PREFIXES, "storage_type": "json"},
            "fields": [
                *({"name": name, "type": "tag"} for name in tags),
                *({"name": name, "type": "numeric", "attrs": {"sortable": True}} for name in numbers),
            ],
        }

    async def asetup(self) -> None:
        """Create the search index, if no other node has. Raises Unavailable."""
        self.loop = asyncio.get_running_loop()
        self.create_indexes()
        with store.mapped_errors():
            try:
                await self.checkpoints_index.create(overwrite=False)
            except Exception as error:
                # Between its look and its creation another node was faster.
                if "already exists" not in f"{error} {error.__cause__}".lower():
                    raise

    def get_next_version(self, current: Any, channel: Any) -> int:  # type: ignore[override]
        """Count: values lie within their checkpoint, so a version needs no random part."""
        return int(current or 0) + 1

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        stream_mode: str = "values",
    ) -> RunnableConfig:
        """Store a checkpoint and make it the head. Raises Fenced, Unavailable, StateTooBig, StateNotPlain."""
        settled = config["configurable"]
        thread_id, ns, id_ = settled["thread_id"], settled.get("checkpoint_ns", ""), checkpoint["id"]
        parent_id = settled.get("checkpoint_id") or ""
        document = self._document(config, checkpoint, metadata, parent_id)
        prefix, writes = keys.prefix(thread_id), keys.writes_prefix(thread_id)
        parent = f"{ns}:{parent_id or id_}"
        await run_fenced(
            "checkpoint_put",
            config,
            [f"{prefix}{ns}:{id_}", writes + parent, prefix + parent],
            [ns, id_, settled.get("turn_id") or "", document],
        )
        point("checkpoint.stored")
        return _config(thread_id, ns, id_)

    def _document(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, parent_id: str
    ) -> bytes:
        """Return the stored JSON: fields to search by, and the two bodies as strings of their own."""
        settled = config["configurable"]
        meta = cast(dict[str, Any], get_checkpoint_metadata(config, metadata))
        document = orjson.dumps(
            {
                "thread_id": settled["thread_id"],
                "run_id": str(meta.get("run_id", "")),
                "turn_id": settled.get("turn_id") or "",
                "turn_seq": settled.get("turn_seq") or 0,
                "ended": settled.get("ended") or "",
                "checkpoint_ns": settled.get("checkpoint_ns", ""),
                "checkpoint_id": checkpoint["id"],
                "parent_checkpoint_id": parent_id,
                "source": meta.get("source", ""),
                "step": meta.get("step", 0),
                "metadata": self._dump(meta),
                "checkpoint": self._dump(checkpoint),
            }
        )
        if len(document) > MOST_BYTES:
            raise StateTooBig
        return document

    def _dump(self, value: Any) -> str:
        try:
            return self.serde.dumps_typed(value)[1].decode()
        except TypeError as error:
            raise StateNotPlain from error

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what one task has written, to be applied with its superstep. Raises Fenced, Unavailable."""
        if any(channel == ERROR for channel, _ in writes):
            # A task that was cancelled or failed while it wrote: half of its writes without its way on
            # would pass for a finished task when the run is resumed.
            writes = [write for write in writes if write[0] in WRITES_IDX_MAP]
        if not writes:
            return
        settled = config["configurable"]
        thread_id = settled["thread_id"]
        name = f"{settled.get('checkpoint_ns', '')}:{settled['checkpoint_id']}"
        fields: list[str | bytes] = []
        for position, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, position)
            body = [task_path, task_id, index, channel, self._dump(value)]
            fields += [f"{task_id},{index}", orjson.dumps(body)]
        if sum(len(each) for each in fields) > MOST_BYTES:
            raise StateTooBig
        # As LangGraph's own savers do: interrupts, errors and answers replace, results stay the first.
        replace = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        waits = any(channel == INTERRUPT for channel, _ in writes)
        await run_fenced(
            "checkpoint_writes",
            config,
            [keys.prefix(thread_id) + name, keys.writes_prefix(thread_id) + name],
            [int(replace), int(waits), *fields],
        )
        point("checkpoint.task_stored")

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return one checkpoint, the newest without a checkpoint_id; refreshes its time to live.

        Raises PoisonedState for one that cannot be read, or, where a turn goes on from it, has no messages.
        """
        settled = config["configurable"]
        ns, id_ = settled.get("checkpoint_ns", ""), get_checkpoint_id(config) or ""
        found = await self._get(settled["thread_id"], ns, id_)
        if found and settled.get("turn_id") and not _has_messages(found):
            raise PoisonedState
        return found

    async def acopy_turn_end(self, source: Source, target_id: str, seq: int) -> bool:
        """Make the turn's end, if it is kept, the head of another thread, as of ``seq`` there. Raises Unavailable.

        A turn that was cut short where nobody ran it has no end, only a last step: what it said is not in there.
        One that cannot be read is as good as none. What tools told one person alone stays behind.
        """
        names = await self._in_thread({"thread_id": source.conversation_id, "checkpoint_ns": ""}, None, source.turn_id)
        try:
            saved = await self._get(*names[0]) if names else None
        except PoisonedState:
            return False
        if (
            saved is None
            or not _has_messages(saved)
            or not (source.is_whole or cast(dict[str, Any], saved.metadata).get("ended"))
        ):
            return False
        config = _config(target_id, "", "")
        config["configurable"]["turn_seq"] = seq
        metadata = {name: value for name, value in saved.metadata.items() if name not in OF_ITS_TURN}
        values = saved.checkpoint["channel_values"]
        values["messages"] = shown_to("", values["messages"])
        await self.aput(config, saved.checkpoint, cast(CheckpointMetadata, metadata), {})
        return True

    async def _get(self, thread_id: str, ns: str, id_: str) -> CheckpointTuple | None:
        try:
            found = await run(
                "checkpoint_get",
                [keys.heads(thread_id), keys.order(thread_id)],
                [ttl_ms(), ns, id_, keys.prefix(thread_id), keys.writes_prefix(thread_id)],
            )
            return self._tuple(thread_id, ns, found) if found else None
        except (ResponseError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            # Whatever it is, it is not what was written here; its text may hold what was said.
            raise PoisonedState from error

    def _tuple(self, thread_id: str, ns: str, found: Any) -> CheckpointTuple:
        document = orjson.loads(found[0])
        parent_id = document["parent_checkpoint_id"]
        return CheckpointTuple(
            config=_config(thread_id, ns, document["checkpoint_id"]),
            checkpoint=_checked(self._load(document["checkpoint"])),
            metadata=self._load(document["metadata"]),
            parent_config=_config(thread_id, ns, parent_id) if parent_id else None,
            pending_writes=[
                (task_id, channel, self._load(value))
                for _, task_id, _, channel, value in sorted(orjson.loads(row) for row in found[1])
            ],
        )

    def _load(self, body: str) -> Any:
        return self.serde.loads_typed(("json", body.encode()))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield checkpoints, newest first, whose metadata has what ``filter`` names: of one thread, or of all.

        Over all threads the search index looks, so only for what is indexed. Raises ValueError for anything else.
        """
        settled: dict[str, Any] = dict(config["configurable"]) if config else {}
        wanted = filter or {}
        below = await self._place(before) if before is not None and get_checkpoint_id(before) else None
        if settled.get("thread_id"):
            names = await self._in_thread(settled, below)
        else:
            names = await self._in_index(settled, wanted, below)
        left = LIST_LIMIT if limit is None else limit
        for thread_id, ns, id_ in names:
            if left <= 0:
                return
            # Expired or pruned since it was found: then it is not there.
            saved = await self._get(thread_id, ns, id_)
            if saved is not None and _has(saved, wanted):
                left -= 1
                yield saved

    async def _in_thread(self, settled: dict[str, Any], below: int | None, turn_id: str | None = None) -> list[Name]:
        thread_id, ns, id_ = settled["thread_id"], settled.get("checkpoint_ns"), settled.get("checkpoint_id")
        with store.mapped_errors():
            highest = "+inf" if below is None else f"({below}"
            found = await store.client().zrevrangebyscore(keys.order(thread_id), highest, "-inf")
        turns = [member.decode().partition("|") for member in found]
        names = [name.rpartition(":") for turn, _, name in turns if turn_id in (None, turn)]
        return [
            (thread_id, name, checkpoint_id)
            for name, _, checkpoint_id in names
            if ns in (None, name) and id_ in (None, "", checkpoint_id)
        ]

    async def _in_index(self, settled: dict[str, Any], wanted: dict[str, Any], below: int | None) -> list[Name]:
        conditions = _conditions(settled, wanted)
        if below is not None:
            conditions.append(Num("checkpoint_ts") < below)
        expression = conditions[0] if conditions else FilterExpression("*")
        for condition in conditions[1:]:
            expression &= condition
        query = FilterQuery(expression, ["thread_id", "checkpoint_ns", "checkpoint_id"], num_results=LIST_LIMIT)
        query.sort_by("checkpoint_ts", asc=False)
        with store.mapped_errors():
            found = await self.checkpoints_index.search(query)
        return [(row.thread_id, getattr(row, "checkpoint_ns", ""), row.checkpoint_id) for row in found.docs]

    async def _place(self, before: RunnableConfig) -> int:
        settled = before["configurable"]
        name = f"{settled.get('checkpoint_ns', '')}:{get_checkpoint_id(before)}"
        with store.mapped_errors():
            found = await store.client().execute_command(
                "JSON.GET", keys.prefix(settled["thread_id"]) + name, "checkpoint_ts"
            )
        return int(found or 0)

    async def aprune_turn(self, conversation_id: str, turn_id: str) -> int:
        """Drop the finished turn's intermediate checkpoints, keep the newest 20 turn-ends; return how many went.

        Safe at any time: a turn that has begun since then is left alone. Raises Unavailable.
        """
        return int(
            await run(
                "checkpoint_prune",
                [keys.heads(conversation_id), keys.order(conversation_id)],
                [
                    ttl_ms(),
                    turn_id,
                    KEEP_TURN_ENDS,
                    keys.prefix(conversation_id),
                    keys.writes_prefix(conversation_id),
                ],
            )
        )

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest", **_: Any) -> None:
        """Keep each namespace's newest checkpoint (``keep_latest``), or nothing (``delete``). Raises Unavailable.

        For tools; `aprune_turn` is for a finished turn. The package's own way, by order of ids, can drop the head.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"checkpoints cannot be pruned by {strategy!r}")
        for thread_id in thread_ids:
            name = "checkpoint_latest" if strategy == "keep_latest" else "checkpoint_delete"
            await run(
                name,
                [keys.heads(thread_id), keys.order(thread_id)],
                [keys.prefix(thread_id), keys.writes_prefix(thread_id)],
            )

    async def adiscard(self, config: RunnableConfig) -> None:
        """Drop every checkpoint of the turn's thread, under the fence. Raises Fenced, Unavailable."""
        thread_id = config["configurable"]["thread_id"]
        await run_fenced("checkpoint_discard", config, [], [keys.prefix(thread_id), keys.writes_prefix(thread_id)])

    async def arewind(self, config: RunnableConfig) -> None:
        """Drop the turn's checkpoints; what it began from is the head again, marked as suspect.

        Where another turn had marked that before, every checkpoint of the thread goes. Raises Fenced, Unavailable.
        """
        settled = config["configurable"]
        thread_id = settled["thread_id"]
        more = [settled["turn_id"], keys.prefix(thread_id), keys.writes_prefix(thread_id)]
        await run_fenced("checkpoint_rewind", config, [], more)

    async def adelete_thread(self, thread_id: str) -> None:
        """Drop every checkpoint of the thread, and the notes of its beginning. Raises Unavailable."""
        await run(
            "checkpoint_delete",
            [keys.heads(thread_id), keys.order(thread_id), keys.recap(thread_id)],
            [keys.prefix(thread_id), keys.writes_prefix(thread_id)],
        )


def _checked(checkpoint: Any) -> Checkpoint:
    """Return the checkpoint if it is the shape of one. Raises ValueError, KeyError, TypeError."""
    values = checkpoint["channel_values"]
    if not isinstance(values, dict) or not isinstance(checkpoint["channel_versions"], dict):
        raise ValueError("a checkpoint has no channels")
    return cast(Checkpoint, checkpoint)


def _has_messages(found: CheckpointTuple) -> bool:
    messages = found.checkpoint["channel_values"].get("messages", [])
    return isinstance(messages, list) and all(isinstance(each, BaseMessage) for each in messages)


def _config(thread_id: str, ns: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}}


def _has(saved: CheckpointTuple, wanted: dict[str, Any]) -> bool:
    metadata: Any = saved.metadata
    return all(metadata.get(name) == value for name, value in wanted.items())


def _conditions(settled: dict[str, Any], wanted: dict[str, Any]) -> list[Any]:
    """Return the search's conditions. Raises ValueError for a field that is not indexed."""
    names = ("run_id", "checkpoint_ns", "checkpoint_id")
    asked = {name: settled[name] for name in names if settled.get(name)} | wanted
    unknown = set(asked) - {*names, "turn_id", "source", "step"}
    if unknown:
        raise ValueError(f"checkpoints cannot be searched by {', '.join(sorted(unknown))}")
    return [Num(name) == value if name == "step" else Tag(name) == value for name, value in asked.items()]
