"""Daphne, run from Python, so that the node owns its start and its end."""

from . import compiled
from .event_loop import loop  # before Daphne

# isort: split
import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from typing import Any

from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory

from conversations.errors import StartRefused
from realtime.node import Node, make_node

from .asgi import application
from .websocket import NodeWebSocket

# Between the loop and the archiver's thread: a message waits no longer than this for the other to let go.
SWITCH_SECONDS = 0.0005
DRAIN_SECONDS = 15
# Most of what a busy node makes dies young; the defaults would look at all of it hundreds of times a second. But a
# socket that has left is a circle of objects, an old one: with rare full collections a node would keep them all.
GARBAGE_THRESHOLDS = (20_000, 5, 2)


class NodeServer(Server):
    """Daphne that is stopped by our drain, not by its own signal handlers."""

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if isinstance(protocol, NodeWebSocket):
            scope["extensions"] = {"tether.write": protocol.write_text, "tether.listen": protocol.listen}
        return super().create_application(protocol, scope)

    def kill_all_applications(self) -> Any:
        # Daphne's own loop fails on a connection that has no application yet.
        for protocol in [p for p, details in self.connections.items() if "application_instance" not in details]:
            del self.connections[protocol]
        return super().kill_all_applications()

    def listen_error(self, failure: Any) -> None:
        self.refusal = failure.getErrorMessage()
        super().listen_error(failure)


def run(host: str, port: int, name: str, say: Callable[[str], Any]) -> None:
    """Start the node, listen, and serve until SIGTERM or SIGINT has drained it.

    Raises StartRefused before it listens if something it stands on is missing or the port is taken.
    """
    asyncio.set_event_loop(loop)
    node = make_node(name)
    for line in loop.run_until_complete(node.start()):
        say(line)
    say(f"code      {compiled.describe()}")
    quoted = host.replace(":", r"\:")
    server = NodeServer(
        application,
        endpoints=[f"tcp:port={port}:interface={quoted}"],
        signal_handlers=False,
        websocket_timeout=-1,
        verbosity=0,
        server_name="tether",
    )
    WebSocketFactory.protocol = NodeWebSocket
    drain = _Drain(node, server)
    node.on_drain = drain.begin_once
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain.begin)
    say(f"node      {node.name} on http://{host}:{port}")
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
    server.run()
    if refusal := getattr(server, "refusal", ""):
        raise StartRefused(f"Cannot listen on {host}:{port}: {refusal}")


class _Drain:
    """Drains once; a second signal stops at once."""

    def __init__(self, node: Node, server: NodeServer) -> None:
        self._node = node
        self._server = server
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        if self._task is None:
            self._task = asyncio.get_event_loop().create_task(self._drain(), name="drain")
        else:
            self._server.stop()

    def begin_once(self) -> None:
        """As the first signal; a second call changes nothing."""
        if self._task is None:
            self.begin()

    async def _drain(self) -> None:
        # Whatever hangs, a node that was told to end ends: the kernel's own alarm needs nobody's help.
        signal.alarm(DRAIN_SECONDS)
        for listener in self._server.listeners:
            listener.addCallback(lambda port: port.stopListening())
        try:
            await self._node.drain()
        finally:
            self._server.stop()
