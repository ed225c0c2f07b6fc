"""Daphne, run from Python, so that the node owns its start and its end."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from daphne.server import Server  # first: it installs the asyncio reactor that everything else runs in
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet import reactor
from twisted.internet.tcp import Connection as TcpConnection

from conversations.errors import StartRefused
from realtime.node import Node, make_node

from .asgi import application


class NodeWebSocket(WebSocketProtocol):  # type: ignore[misc]
    """Daphne's WebSocket with a write that reaches the kernel at once.

    Twisted would wait for the loop to say that the socket is writable: three system calls and a turn of the loop
    for each frame. Only what the kernel does not take is left to it.
    """

    failByDrop = False  # text that is not UTF-8, or too long, gets a close code (1007, 1009), not a broken socket

    def write_text(self, payload: bytes) -> None:
        """Send one unfragmented text frame; nothing on a socket that is not open (any more)."""
        if self.state != self.STATE_OPEN:
            return
        data = frame_head(len(payload)) + payload
        transport = self.transport
        if isinstance(transport, TcpConnection) and not (transport.dataBuffer or transport._tempDataBuffer):
            written = transport.writeSomeData(data)
            if not isinstance(written, int):
                return  # the connection is lost; the reactor finds that by itself
            data = data[written:]
        if data:
            transport.write(data)

    def onConnect(self, request: Any) -> Any:
        # A peer that breaks the protocol of WebSocket itself is told why (1007, 1009), not just cut off.
        self.failByDrop = False
        return super().onConnect(request)

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        # Autobahn's own refuses what only a server may say, 1012 among it.
        self.sendCloseFrame(code=code, isReply=False)


def frame_head(length: int) -> bytes:
    """Return the head of a final, unmasked text frame (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


class NodeServer(Server):  # type: ignore[misc]
    """Daphne that is stopped by our drain, not by its own signal handlers."""

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if isinstance(protocol, NodeWebSocket):
            scope["extensions"] = {"tether.write": protocol.write_text}
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
    loop: asyncio.AbstractEventLoop = reactor._asyncioEventloop  # type: ignore[attr-defined]
    asyncio.set_event_loop(loop)
    node = make_node(name)
    for line in loop.run_until_complete(node.start()):
        say(line)
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
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain.begin)
    say(f"node      {node.name} on http://{host}:{port}")
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

    async def _drain(self) -> None:
        for listener in self._server.listeners:
            listener.addCallback(lambda port: port.stopListening())
        try:
            await self._node.drain()
        finally:
            self._server.stop()
