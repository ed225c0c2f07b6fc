"""Daphne's WebSocket with short cuts on the path of every message."""

from .event_loop import loop  # before Daphne

# isort: split
import time
from typing import cast

from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import reactor
from twisted.internet.tcp import Connection as TcpConnection

from .text_frames import Listener, frame_head, take_texts

READ_BYTES = 64 * 1024


class NodeWebSocket(WebSocketProtocol):
    """Daphne's WebSocket with short cuts for plain text frames; Autobahn does all the rest.

    In: whole text frames go straight to whoever listens, without a queue. Out: one write that reaches the kernel at
    once. Twisted would wait for the loop to say that the socket is writable: three system calls and a turn of the
    loop for each frame. Only what the kernel does not take is left to it.
    """

    listener: Listener | None = None
    failByDrop = False  # text that is not UTF-8, or too long, gets a close code (1007, 1009), not a broken socket

    def onOpen(self) -> None:
        super().onOpen()
        if isinstance(self.transport, TcpConnection):
            # Instead of Twisted's own; `startReading` would put that back, which costs time and nothing else.
            loop.add_reader(self.transport.fileno(), self._read)

    def _read(self) -> None:
        """Take what has arrived. What is not plain text, and the end of the connection, is Twisted's and Autobahn's."""
        try:
            data = self.transport.socket.recv(READ_BYTES) if self._is_plain() else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            reactor._readOrWrite(self.transport, True)
            return
        self.last_ping = time.time()
        if rest := take_texts(data, cast(Listener, self.listener), self._is_open):
            self.dataReceived(rest)

    def _is_open(self) -> bool:
        return bool(self.state == self.STATE_OPEN)

    def _is_plain(self) -> bool:
        """Whether the next byte begins a message, and no ping of ours is open: any traffic is an answer to that."""
        return bool(self.listener) and not (
            self.data or self.current_frame or self.inside_message or self.muted or self.autoPingTimeoutCall
        )

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        # Autobahn's own refuses what only a server may say, 1012 among it.
        self.sendCloseFrame(code=code, isReply=False)

    def listen(self, listener: Listener) -> None:
        """Give each message to the listener, None for one that is not text, instead of putting it into the queue."""
        self.listener = listener

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.listener is None or self.muted:
            super().onMessage(payload, isBinary)
        else:
            self.last_ping = time.time()
            self.listener(None if isBinary else payload.decode())

    def write_text(self, payload: bytes) -> None:
        """Send one unfragmented text frame; nothing on a socket that is not open (any more)."""
        if self.state != self.STATE_OPEN:
            return
        data = frame_head(len(payload)) + payload
        transport = self.transport
        if isinstance(transport, TcpConnection) and not (transport.dataBuffer or transport._tempDataBuffer):
            try:
                data = data[transport.socket.send(data) :]
            except BlockingIOError:
                pass  # the kernel's buffer is full
            except OSError:
                return  # the connection is lost; the reactor finds that by itself
        if data:
            transport.write(data)
