"""One WebSocket, as the contract says it: text frames of one object or an array, compression off."""

import json
from collections.abc import Iterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]
MAX_FRAME_BYTES = 256 * 1024
PASSING = {1000, 1001, 1005, 1006, 1009, 1011, 1012, 4408, 4409, 4429}
FINAL = {1007, 4400, 4401, 4403, 4426}

_decoder = json.JSONDecoder()


def dial(url: str, *, origin: str | None = None, headers: dict[str, str] | None = None) -> connect:
    """Return the opening of a socket, to be awaited or entered. Frames up to 1 MiB are read, so that one
    that is too large is noticed, not just dropped; a queue of 16 frames, then TCP pushes back."""
    return connect(
        url,
        origin=origin,  # type: ignore[arg-type]
        additional_headers=headers,
        compression=None,
        proxy=None,
        open_timeout=10,
        close_timeout=1,
        ping_interval=None,
        max_size=1024 * 1024,
    )


def split(text: str) -> Iterator[tuple[Frame, str]]:
    """Yield each frame of a WebSocket message, with its own text exactly as it came."""
    if not text.startswith("["):
        yield json.loads(text), text
        return
    at = 1
    while True:
        while text[at] in " \t\r\n,":
            at += 1
        if text[at] == "]":
            return
        frame, end = _decoder.raw_decode(text, at)
        yield frame, text[at:end]
        at = end


def joined(frames: list[Frame]) -> str:
    """Return one WebSocket message with all of them: an object, or an array where there are several."""
    return json.dumps(frames[0] if len(frames) == 1 else frames, ensure_ascii=False)


def close_code(error: ConnectionClosed) -> int:
    return error.rcvd.code if error.rcvd else 1006


class Wire:
    """A socket with nothing automatic: the tests' way to say exactly this, and to see exactly that."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.inbox: list[Frame] = []
        self.frames = 0

    async def send(self, *frames: Frame) -> None:
        await self.socket.send(joined(list(frames)))

    async def receive(self) -> Frame:
        """Return the next frame. Raises ConnectionClosed."""
        while not self.inbox:
            self.inbox = [frame for frame, _ in split(str(await self.socket.recv()))]
            self.frames += 1
        return self.inbox.pop(0)

    async def answer(self) -> Frame:
        """Return the next frame that is not news of other devices, which may come at any time."""
        while (frame := await self.receive())["type"] in ("presence", "feed"):
            pass
        return frame

    async def until(self, **wanted: Any) -> Frame:
        """Return the next frame that has all these fields; the ones before it are dropped."""
        while True:
            frame = await self.receive()
            if all(frame.get(name) == value for name, value in wanted.items()):
                return frame

    async def closing(self) -> tuple[list[Frame], int]:
        """Read to the end; return every frame that came and the close code."""
        frames: list[Frame] = []
        try:
            while True:
                frames.append(await self.receive())
        except ConnectionClosed as error:
            return frames, close_code(error)
