"""Daphne's WebSocket with short cuts on the path of every message."""

from .event_loop import loop  # before Daphne

# isort: split
import time
from collections.abc import Callable

from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import reactor
from twisted.internet.tcp import Connection as TcpConnection

READ_BYTES = 64 * 1024

Listener = Callable[[str | None], None]


class NodeWebSocket(WebSocketProtocol):  # type: ignore[misc]
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
            reactor._readOrWrite(self.transport, True)  # type: ignore[attr-defined]
        elif rest := self._take_texts(data):
            self.dataReceived(rest)

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

    def _take_texts(self, data: bytes) -> bytes:
        """Hand over the whole plain text frames that the data begins with; return the rest."""
        start = 0
        while self.state == self.STATE_OPEN and (found := plain_text(data, start)) is not None:
            text, start = found
            self.last_ping = time.time()
            self.listener(text)  # type: ignore[misc]
        return data[start:] if start else data

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


def plain_text(data: bytes, start: int) -> tuple[str, int] | None:
    """Return the text of the frame that starts there, and where the next one does.

    None unless the frame is whole, final, masked, shorter than 64 KiB and UTF-8 (RFC 6455, section 5.2).
    """
    begin = start + 6
    if len(data) < begin or data[start] != 0x81:
        return None
    length = data[start + 1] - 0x80
    if length == 126:
        begin += 2
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        if length < 126:
            return None
    end = begin + length
    if length < 0 or length == 127 or len(data) < end:
        return None
    mask = data[begin - 4 : begin] * (length // 4 + 1)
    masked = int.from_bytes(data[begin:end], "little") ^ int.from_bytes(mask[:length], "little")
    try:
        return masked.to_bytes(length, "little").decode(), end
    except UnicodeDecodeError:
        return None


def frame_head(length: int) -> bytes:
    """Return the head of a final, unmasked text frame (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")
