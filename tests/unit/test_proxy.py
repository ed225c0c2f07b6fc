"""The proxy that cuts a node off holds what is sent, and delivers it late."""

import asyncio
import contextlib

import pytest

from chatproject.chaos.proxy import Proxy


class Echo:
    """A server that remembers what it was sent and sends it back."""

    def __init__(self):
        self.heard = b""
        self.news = asyncio.Event()

    async def serve(self, reader, writer):
        while data := await reader.read(100):
            self.heard += data
            self.news.set()
            writer.write(data)
        writer.close()


@pytest.fixture
async def echo():
    made = Echo()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


@pytest.fixture
async def proxy(echo):
    made = await Proxy(echo.port).start()
    yield made
    await made.stop()


async def test_what_is_sent_passes_both_ways(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()


async def test_what_is_sent_while_it_is_cut_arrives_late_even_after_its_sender_has_gone(echo, proxy):
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"before ")
    await echo.news.wait()
    proxy.cut()
    echo.news.clear()
    writer.write(b"late")
    await writer.drain()
    while not proxy.held_bytes:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    writer.close()
    await writer.wait_closed()
    assert echo.heard == b"before "
    proxy.mend()
    await echo.news.wait()
    assert echo.heard == b"before late"


async def test_a_reset_breaks_every_connection(proxy):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"x")
    await reader.readexactly(1)
    proxy.reset()
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
