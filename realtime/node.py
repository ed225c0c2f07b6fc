"""One node: everything a process shares among its sockets, from its start to its end.

`serve` starts it before it listens and drains it on SIGTERM; under plain daphne the first connection starts it.
"""

import asyncio
import contextlib
import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from channels.layers import get_channel_layer
from django.conf import settings

from conversations import feed, keys, log, revocations, store
from conversations.announce import ALL_NODES, node_group, tell_users
from conversations.archive import Archiver
from conversations.assistant.service import Assistant
from conversations.audit import journal
from conversations.audit.denials import Denials
from conversations.errors import TetherError
from conversations.feed import teller
from conversations.runner import SWEEP_SECONDS, TurnRunner
from conversations.threads import in_database

from . import outgoing, preflight
from .codes import CloseCode
from .outbox import Outbox
from .recheck import find_ended
from .registry import Registry

if TYPE_CHECKING:  # sockets belong to a node, and know it
    from .consumers import SocketConsumer

TICK_SECONDS = 1.0
REVOCATION_SECONDS = 2.0
RENEW_SECONDS = 10.0
RECHECK_SECONDS = 60.0
RECORD_SECONDS = 2.0
RECORD_TTL_SECONDS = 6
# A node that has said nothing for so long is not listed any more.
FORGET_SECONDS = 24 * 3600
DENIALS_SECONDS = 10.0
# Clients of a draining node come back spread over this time, not all at once.
RETURN_SECONDS = 2.0
HEADS_AT_ONCE = 500
# For the tasks, and once more for the connections.
STOP_SECONDS = 3.0

logger = structlog.get_logger(__name__)


def tether_version() -> str:
    try:
        return version("tether")
    except PackageNotFoundError:
        return "0.1.0"


class Node:
    """Sockets, turns and the periodic work of this process."""

    def __init__(self, name: str = "") -> None:
        self.name = name or f"{socket.gethostname()}-{os.getpid()}"
        self.sockets: set[SocketConsumer] = set()
        self.heads: dict[str, log.Head] = {}
        self.outbox = Outbox()
        self.draining = False
        self.ready = False
        self.registry = Registry(self.name)
        self.assistant = Assistant()
        self.runner = TurnRunner(self.name, self.assistant)
        self.archiver = Archiver(self.name)
        self.denials = Denials()
        # What an operator's `drain` does: `serve` puts its own end here.
        self.on_drain: Callable[[], None] = self._cannot_drain
        self._started_at = time.time()
        self._lag_ms = 0.0
        self._due: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    # -- start and end

    async def start(self) -> list[str]:
        """Check what the node stands on, start its tasks, and return a line about each thing it runs on.

        Raises StartRefused with the one line to print.
        """
        lines = await preflight.check()
        await store.load_scripts()
        await self.assistant.start()
        # Whatever may fail comes before the tasks: a start that failed is tried again.
        self._last_revocation, _ = await revocations.read_since("")
        from .consumers import TurnConsumer  # a consumer needs the node; only here does the node need a consumer

        await self._listen()
        turn_consumer = TurnConsumer()
        scope = {"type": "channel", "runner": self.runner}
        for name, work in {
            "ticks": self._every(TICK_SECONDS, self._tick),
            "revocations": self._every(REVOCATION_SECONDS, self._poll_revocations),
            "rechecks": self._every(RECHECK_SECONDS, self._recheck),
            "renewals": self._every(RENEW_SECONDS, self.registry.renew),
            "record": self._every(RECORD_SECONDS, self._record),
            "denials": self._every(DENIALS_SECONDS, self._write_denials),
            "sweep": self._every(SWEEP_SECONDS, self._sweep),
            "turns": turn_consumer(scope, self._due.get, None),
            "archiver": self.archiver.run(),
            "feeds": teller.run(),
        }.items():
            self._tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        self.ready = True
        logger.info("node.started", node=self.name)
        return lines

    async def _listen(self) -> None:
        """Join the groups of this node's name and of all nodes: what others tell it goes to its turn consumer."""
        layer = get_channel_layer()
        channel = await layer.new_channel()
        layer.listen(channel, self._told)
        await layer.group_add(node_group(self.name), channel)
        await layer.group_add(ALL_NODES, channel)

    def _told(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "doubt":
                pass  # what was lost comes with the turns' next writes
            case "node.drain":
                self.on_drain()
            case "node.notice":
                for consumer in list(self.sockets):
                    if consumer.connection is not None:
                        consumer.connection.hear({"type": "direct", "f": message["f"]})
            case _:
                self._due.put_nowait(message)

    def _cannot_drain(self) -> None:
        logger.warning("node.cannot_drain", node=self.name)  # under plain daphne it ends with its process

    async def drain(self) -> None:
        """Take no more, hand the turns back, say goodbye to every socket, and stop. The listener is closed before."""
        self.draining = True
        self.ready = False
        logger.info("node.draining", node=self.name, connections=len(self.sockets), turns=self.runner.running)
        handing_back = asyncio.get_running_loop().create_task(self.runner.drain())
        for consumer in list(self.sockets):
            consumer.close_soon(CloseCode.RESTART, "This node is being restarted.", self.spread_seconds())
        await handing_back
        await self._all_left(timeout_seconds=3)
        with contextlib.suppress(TetherError):
            await self._write_denials()
        await self.stop()

    async def _all_left(self, *, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while self.sockets and time.monotonic() < deadline:  # noqa: ASYNC110  # no event for "the last one left"
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End the tasks and the connections. Whatever does not end in time is named in the log and left behind."""
        await self._end_tasks()
        await self.assistant.stop()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                with store.mapped_errors():
                    await store.client().delete(keys.node(self.name))
                    await store.client().zrem(keys.NODES, self.name)
                await get_channel_layer().flush()
                await store.close()
        except (TetherError, TimeoutError) as error:
            logger.warning("node.stops_anyway", error=repr(error))  # the record expires by itself
        logger.info("node.stopped", node=self.name)

    async def _end_tasks(self) -> None:
        """Cancel them until they end: one may take a cancellation for the end of something that it waits for."""
        late = set(self._tasks)
        deadline = time.monotonic() + STOP_SECONDS
        while late and time.monotonic() < deadline:
            for task in late:
                task.cancel()
            ended, late = await asyncio.wait(late, timeout=0.5)
            await asyncio.gather(*ended, return_exceptions=True)  # what they ended with has been logged where it was
        for task in late:
            logger.error("node.task_hangs", task=task.get_name(), stack=[str(frame) for frame in task.get_stack()])

    def spread_seconds(self) -> float:
        return round(random.uniform(0.1, RETURN_SECONDS), 2)

    # -- periodic work

    async def _every(self, seconds: float, work: Any) -> None:
        """Repeat the work. An outage of Redis or the database is logged once it ends one round, and waited out."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except TetherError as error:
                logger.warning("node.waits", work=work.__name__, error=str(error) or error.code)
            except Exception:
                logger.exception("node.fault", work=work.__name__, fault=secrets.token_hex(8))

    async def _tick(self) -> None:
        before = time.monotonic()
        await asyncio.sleep(0)
        now = time.monotonic()
        self._lag_ms = (now - before) * 1000
        for consumer in list(self.sockets):
            consumer.tick(
                now,
                auth_seconds=settings.AUTH_TIMEOUT_SECONDS,
                heartbeat_seconds=settings.HEARTBEAT_SECONDS,
                flow_seconds=settings.FLOW_TIMEOUT_SECONDS,
            )
        await self._poll_heads()

    async def _poll_heads(self) -> None:
        """Compare every open conversation with its log: a lost last announcement heals here."""
        open_here: dict[str, list[Any]] = {}
        for consumer in self.sockets:
            if consumer.connection is not None:
                for conversation_id in consumer.connection.session.conversations:
                    open_here.setdefault(conversation_id, []).append(consumer.connection)
        wanted = list(open_here)
        found: dict[str, log.Head] = {}
        for start in range(0, len(wanted), HEADS_AT_ONCE):
            found |= await log.heads(wanted[start : start + HEADS_AT_ONCE])
        self.heads = found
        for conversation_id, connections in open_here.items():
            for connection in connections:
                connection.session.head(conversation_id, found.get(conversation_id))
                connection.wake()
        here = [consumer.connection for consumer in self.sockets if consumer.connection is not None]
        feeds = await feed.heads(list({connection.user_id for connection in here}))
        for connection in here:
            if connection.user_id in feeds:
                connection.session.feed_head(feeds[connection.user_id])
                connection.wake()

    async def _poll_revocations(self) -> None:
        self._last_revocation, revoked = await revocations.read_since(self._last_revocation)
        for each in revoked:
            for consumer in list(self.sockets):
                consumer.revoke(each)

    async def _recheck(self) -> None:
        """Close the sockets of logins and tokens that ended without a word: expired, or changed behind our back."""
        ended = await find_ended({consumer.identity for consumer in self.sockets if consumer.identity})
        for consumer in list(self.sockets):
            if consumer.identity in ended:
                consumer.close_soon(CloseCode.UNAUTHENTICATED, "Your login has ended.")

    async def _sweep(self) -> None:
        for conversation_id in await self.runner.find_due():
            self._due.put_nowait({"type": "turn.due", "conversation_id": conversation_id})

    async def _record(self) -> None:
        with store.mapped_errors():
            async with store.client().pipeline(transaction=False) as pipe:
                pipe.set(keys.node(self.name), orjson.dumps(self.facts()), ex=RECORD_TTL_SECONDS)
                pipe.zadd(keys.NODES, {self.name: int(time.time() * 1000)})
                pipe.zremrangebyscore(keys.NODES, 0, int((time.time() - FORGET_SECONDS) * 1000))
                await pipe.execute()

    async def _write_denials(self) -> None:
        if drafts := self.denials.take(self.name):
            await in_database(journal.record_many, drafts)

    def facts(self) -> dict[str, Any]:
        """Return what the node says of itself: in its record, and on /readyz."""
        return {
            "ready": self.ready,
            "node": self.name,
            "version": tether_version(),
            "pid": os.getpid(),
            "started": self._started_at,
            "connections": len(self.sockets),
            "turns": self.runner.running,
            "lag_ms": round(self._lag_ms, 1),
            "draining": self.draining,
            "layer_dropped": get_channel_layer().dropped,
        }

    async def tell_presence(self, user_id: str) -> None:
        """Tell a user's sockets which of the user's devices are here now."""
        try:
            devices = await self.registry.devices(user_id)
        except TetherError:
            return  # presence is a hint
        frame = outgoing.encode({"type": "presence", "user_id": user_id, "devices": devices})
        tell_users([user_id], {"type": "direct", "f": frame})


_node: Node | None = None
_starting: asyncio.Task[list[str]] | None = None


def make_node(name: str) -> Node:
    """Make this process' node; `start` it before it is needed."""
    global _node
    _node = Node(name)
    return _node


async def running_node() -> Node:
    """Return this process' node, started. Under plain daphne the first connection starts it."""
    global _starting
    node = _node or make_node(settings.NODE_NAME)
    if not node.ready and not node.draining:
        if _starting is None or _starting.done():  # also one that failed: Redis may have been down
            _starting = asyncio.get_running_loop().create_task(node.start(), name="node start")
        await asyncio.shield(_starting)
    return node
