"""The parent's side of a client in a process of its own."""

import asyncio
import json
import sys
from itertools import count
from typing import Any

from .ledger import Report
from .processes import MANAGE
from .wire import Frame

ORDER_SECONDS = 60
LINE_BYTES = 16 * 1024 * 1024


class DeviceFailed(Exception):
    """An order to a device could not be carried out; its text says why."""


class RemoteDevice:
    """`await device.do("say", conversation_id=…, texts=[…], respond=False)`; orders stand in `device.Device`."""

    def __init__(self, process: asyncio.subprocess.Process, device_id: str) -> None:
        self.device_id, self.pid = device_id, process.pid
        self._process = process
        self._ids = count(1)
        self._answers: dict[int, asyncio.Future[Frame]] = {}
        self._reading = asyncio.create_task(self._read(), name=f"answers of {device_id}")

    @classmethod
    async def launch(cls, *, urls: list[str], token: str, device_id: str, seed: int) -> "RemoteDevice":
        """Start the process. The token goes over the pipe: a command line can be read by others."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chatproject.demo.device"),
            cwd=MANAGE.parent,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
        )
        device = cls(process, device_id)
        backoff_seconds = (0.2, 5)
        first = {"urls": urls, "token": token, "device_id": device_id, "seed": seed}
        device._write({**first, "backoff_seconds": backoff_seconds})
        return device

    async def do(self, order: str, **args: Any) -> Any:
        """Carry out one order and return its result. Raises DeviceFailed, also when it takes too long."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._write({"id": number, "do": order, "args": args})
        try:
            async with asyncio.timeout(ORDER_SECONDS):
                said = await answer
        except TimeoutError:
            raise DeviceFailed(f"{self.device_id}: no answer to {order} in {ORDER_SECONDS} s") from None
        if "failed" in said:
            raise DeviceFailed(f"{self.device_id}: {order}: {said['failed']}")
        return said["result"]

    async def report(self) -> Report:
        report: Report = await self.do("report")
        return report

    async def stop(self) -> None:
        """Close its input, which ends it; kill it if it does not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    def _write(self, line: Frame) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            self._answers.pop(said["id"]).set_result(said)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result({"failed": "the device's process has ended"})
