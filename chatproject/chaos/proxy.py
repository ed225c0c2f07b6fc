"""A TCP proxy that can cut one process off: what it sends is held, what it is sent too, until the way is mended.

Held bytes are delivered then, also those of connections that their sender has given up: so do late packets arrive.
"""

import asyncio
import contextlib

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Listens on loopback and passes everything on to ``target_port``. ``port`` is known once started."""

    def __init__(self, target_port: int, port: int = 0) -> None:
        self.target_port, self.port = target_port, port
        self.held_bytes = 0
        self._way = asyncio.Event()
        self._way.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    def cut(self) -> None:
        """From now on nothing passes; connections stay, and new ones are taken but lead nowhere."""
        self._way.clear()

    def mend(self) -> None:
        self._way.set()

    def reset(self) -> None:
        """Break every connection, as a firewall that has forgotten them does."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._way.wait()
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            self._tasks.discard(task)
            return
        writers = {writer, onward_writer}
        self._writers |= writers
        pumps = [
            asyncio.create_task(self._pump(reader, onward_writer), name="proxy in"),
            asyncio.create_task(self._pump(onward_reader, writer), name="proxy out"),
        ]
        try:
            # Either end: what the other still has to say, nobody hears.
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # stop(): it ends here
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers -= writers
            self._tasks.discard(task)
            for each in writers:
                each.transport.close() if each is onward_writer else each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                if not self._way.is_set():
                    self.held_bytes += len(data)
                    await self._way.wait()
                writer.write(data)
                await writer.drain()
