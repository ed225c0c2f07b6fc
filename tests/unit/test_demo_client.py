"""The client against a server that plays recorded frames, on a real socket."""

import asyncio
import json

import pytest
from websockets.asyncio.server import serve

from chatproject.demo.client import Answered, Client, Stopped
from chatproject.demo.link import taken
from chatproject.demo.wire import joined

CONVERSATION = "0b0f2c66-1b8e-4d1c-9d4f-3d0a4e2a9c11"
ZERO = {"epoch": 1, "seq": 0, "chain": "0" * 16}
READY = {"type": "system", "event": "ready", "heartbeat_seconds": 0.05, "feed": ZERO}
OPENED = {"type": "opened", "conversation_id": CONVERSATION, "head": ZERO, "turns": []}


def ack(text, duplicate=False):
    named = {"client_id": text["client_id"], "conversation_id": CONVERSATION}
    return {"type": "ack", **named, "message_id": "m1", "seq": 1, "duplicate": duplicate}


class Recorded:
    """Gives each connection, in turn, to one of the ``plays``; keeps all frames that came."""

    def __init__(self, *plays):
        self.plays, self.came = list(plays), []

    async def frames(self, socket):
        async for message in socket:
            parsed = json.loads(message)
            for frame in parsed if isinstance(parsed, list) else [parsed]:
                self.came.append(frame)
                yield frame

    async def __call__(self, socket):
        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        async for frame in self.frames(socket):
            if frame["type"] == "auth":
                await socket.send(json.dumps([READY, OPENED] if frame["open"] else READY))
            await play(socket, frame)

    async def __aenter__(self):
        self.server = await serve(self, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        self.client = Client([f"ws://127.0.0.1:{port}/ws/"], "t", "d1", backoff_seconds=(0.01, 0.02))
        return self

    async def __aexit__(self, *error):
        await self.client.stop()
        self.server.close()
        await self.server.wait_closed()


async def came(recorded, kind, count):
    """Wait until so many frames of the kind reached the server; return them."""
    async with asyncio.timeout(5):
        while len(found := [frame for frame in recorded.came if frame["type"] == kind]) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


async def cut_at_text(socket, frame):
    if frame["type"] == "text":
        socket.transport.abort()


async def answer(socket, frame):
    if frame["type"] == "text":
        await socket.send(json.dumps(ack(frame)))
    elif frame["type"] == "heartbeat":
        await socket.send(json.dumps({"type": "heartbeat", "heads": {}}))


async def test_an_unanswered_text_is_sent_again_as_a_retry_after_a_cut():
    async with Recorded(cut_at_text, answer) as recorded:
        await recorded.client.start({CONVERSATION: {"seq": 0}})
        await recorded.client.text(CONVERSATION, "hello")
    texts = [frame for frame in recorded.came if frame["type"] == "text"]
    assert [(t["client_id"], t.get("retry")) for t in texts] == [
        (texts[0]["client_id"], None),
        (texts[0]["client_id"], True),
    ]
    assert recorded.client.report()["counts"]["resent"] == 1


async def test_a_retryable_error_is_waited_out():
    async def refuse(socket, frame):
        if frame["type"] == "text":
            error = {"type": "error", "code": "RATE_LIMITED", "message": "", "client_id": frame["client_id"]}
            again = ack(frame) if frame.get("retry") else {**error, "retryable": True, "retry_after": 0.01}
            await socket.send(json.dumps(again))

    async with Recorded(refuse) as recorded:
        await recorded.client.start()
        assert (await recorded.client.text(CONVERSATION, "hello"))["seq"] == 1


def test_what_leaves_at_once_fits_one_frame():
    outbox = [{"type": "text", "content": "字" * 32_000} for _ in range(6)]
    sent = []
    while outbox:
        sent.append(taken(outbox))
    assert [len(frames) for frames in sent] == [2, 2, 2]
    assert max(len(joined(frames).encode()) for frames in sent) <= 256 * 1024


async def test_a_final_refusal_is_raised():
    async def refuse(socket, frame):
        if frame["type"] == "command":
            error = {"type": "error", "code": "FORBIDDEN", "message": "no", "id": frame["id"], "retryable": False}
            await socket.send(json.dumps(error))

    async with Recorded(refuse) as recorded:
        await recorded.client.start()
        with pytest.raises(Answered) as refused:
            await recorded.client.command("pin", CONVERSATION)
    assert refused.value.code == "FORBIDDEN"


async def test_a_final_close_stops_the_client_and_one_without_bye_is_a_breach():
    async def close(socket, frame):
        if frame["type"] == "text":
            await socket.close(4401)

    async with Recorded(close) as recorded:
        await recorded.client.start()
        with pytest.raises(Stopped):
            await recorded.client.text(CONVERSATION, "hello")
    assert recorded.client.report()["breaches"] == ["close: 4401 without a bye"]


async def test_beats_tell_the_frames_received():
    async with Recorded(answer) as recorded:
        await recorded.client.start({CONVERSATION: {"seq": 0}})
        beats = await came(recorded, "heartbeat", 2)
    assert [beat["frames"] for beat in beats[:2]] == [1, 2]


async def test_the_client_confirms_before_64_kib():
    async def flood(socket, frame):
        if frame["type"] == "auth":
            for _ in range(10):
                await socket.send(json.dumps({"type": "presence", "pad": "x" * 10_000}))

    async with Recorded(flood) as recorded:
        await recorded.client.start()
        received = await came(recorded, "received", 1)
    assert received[0]["frames"] == 6
