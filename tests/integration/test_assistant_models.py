"""Models over HTTP: the real small one, and servers that fail in each way that a person must be told about."""

import asyncio
import http.client
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from conversations.assistant import asking, models
from conversations.assistant.service import Assistant
from tests.assistant_kit import Heard, Talk


def is_ready(port):
    # It listens before it has read its model, and answers 503 until then.
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(asking, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def model_server(unused_tcp_port):
    script = Path(__file__).with_name("model_server.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(unused_tcp_port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not is_ready(unused_tcp_port):
        assert process.poll() is None, "the model server has ended"
        assert time.monotonic() < deadline, "the model server is not ready in time"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{unused_tcp_port}/v1"
    process.terminate()
    process.wait(10)


async def local_talk(settings, url):
    settings.LOCAL_MODEL_URL = url
    talk = Talk(Assistant("local"))
    await talk.assistant.start()
    return talk


async def test_the_real_small_model_streams_its_answer_and_is_shown_the_conversation(
    settings, monkeypatch, model_server
):
    monkeypatch.setattr(models, "LOCAL_ANSWER_TOKENS", 24)
    talk = await local_talk(settings, model_server)
    heard = Heard()
    outcome = await talk.run(await talk.claim("Name three rivers."), heard)
    assert (outcome.status, outcome.error, outcome.text) == ("done", "", heard.text)
    assert len(heard.pieces) > 3
    again = await talk.say("Name another one.")
    assert again.usage["input_tokens"] > outcome.usage["input_tokens"] + outcome.usage["output_tokens"]
    too_long = await talk.say("Tell me about rivers. " * 1000)
    assert "too long for the model" in too_long.error


async def test_a_model_that_cannot_be_reached_is_said_to_be(settings, unused_tcp_port):
    talk = await local_talk(settings, f"http://127.0.0.1:{unused_tcp_port}/v1")
    outcome = await talk.say("hello")
    assert (outcome.status, "cannot be reached" in outcome.error) == ("failed", True)
    assert "hello" in await talk.said()


@pytest.fixture
async def failing_server():
    """Return a function that starts a server which answers everything with one status."""
    servers = []

    async def start(status, body):
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            text = orjson.dumps(body)
            head = f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
            writer.write(head.encode() + b"Retry-After: 0\r\nConnection: close\r\n\r\n" + text)
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(answer, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/v1"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "refused the API key"),
        (404, "does not know this model"),
        (429, "too many requests"),
        (503, "trouble of its own"),
    ],
)
async def test_a_providers_refusal_is_told_in_words_without_the_key(settings, failing_server, status, says):
    body = {"error": {"message": "Incorrect API key provided: sk-secret", "code": "x"}}
    talk = await local_talk(settings, await failing_server(status, body))
    outcome = await talk.say("hello")
    assert (outcome.status, says in outcome.error, "sk-" in outcome.error) == ("failed", True, False)


async def test_a_prompt_too_long_for_the_provider_is_told_so(settings, failing_server):
    body = {"error": {"message": "too long", "code": "context_length_exceeded"}}
    talk = await local_talk(settings, await failing_server(400, body))
    assert "too long for the model" in (await talk.say("hello")).error


@pytest.fixture
async def breaking_server():
    """A server that streams two pieces of an answer and hangs up."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for text in ("half ", "an answer"):
            choice = {"index": 0, "delta": {"role": "assistant", "content": text}}
            event = b"data: " + orjson.dumps({"id": "1", "object": "chat.completion.chunk", "choices": [choice]})
            writer.write(f"{len(event) + 2:x}\r\n".encode() + event + b"\n\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()
    await server.wait_closed()


async def test_an_answer_that_breaks_off_keeps_what_was_said(settings, breaking_server):
    talk = await local_talk(settings, breaking_server)
    job, heard = await talk.claim("hello"), Heard()
    outcome = await talk.run(job, heard)
    assert (outcome.status, outcome.text, heard.text) == ("failed", "half an answer", "half an answer")
    assert "broke off" in outcome.error
    await talk.assistant.end_turn(job, text=outcome.text, status=outcome.status)
    assert await talk.said() == ["hello", "half an answer"]
