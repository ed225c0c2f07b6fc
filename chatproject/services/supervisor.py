"""Starts services, watches them, starts dead ones again, and stops all. One thread: children die with it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from conversations.errors import StartRefused

from .process import last_line, start_process, stop_processes

LOOK_EVERY_SECONDS = 0.1
FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 5.0
# A service that lived so long did not fail at its start; its next death is a first one.
STEADY_SECONDS = 10.0


@dataclass
class Service:
    """One child. ``death_signal`` is what it gets when we are killed ourselves."""

    name: str
    command: list[str]
    is_ready: Callable[[], bool]
    env: dict[str, str] = field(default_factory=dict)
    death_signal: signal.Signals = signal.SIGKILL
    keep_files: tuple[int, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    ready: bool = False
    lives: int = 0
    backoff_seconds: float = FIRST_BACKOFF_SECONDS
    start_at: float = 0.0
    started_at: float = 0.0


class Supervisor:
    """``on_ready`` and ``on_death`` hear of every life of every service."""

    def __init__(
        self, log_folder: Path, *, on_ready: Callable[[Service], None], on_death: Callable[[Service], None]
    ) -> None:
        self.log_folder = log_folder
        self.services: list[Service] = []
        self.signals = 0
        self._on_ready, self._on_death = on_ready, on_death

    def catch_signals(self) -> None:
        """From now on SIGINT and SIGTERM are counted, not raised: the loops below see them."""

        def count(number: int, frame: FrameType | None) -> None:
            self.signals += 1

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, count)

    def log_of(self, service: Service) -> Path:
        return self.log_folder / f"{service.name}.log"

    def start(self, *services: Service) -> None:
        for service in services:
            self.services.append(service)
            self._start(service)

    def wait_until_ready(self, *services: Service, timeout_seconds: float) -> bool:
        """Return True when all are ready, False when a signal came first.

        Raises StartRefused, with the last line that it wrote, when one ends or is late.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self.signals:
            self._look(give_up=True)
            late = [service.name for service in services if not service.ready]
            if not late:
                return True
            if time.monotonic() > deadline:
                raise StartRefused(f"not ready after {timeout_seconds:g} s: {', '.join(late)}; see {self.log_folder}")
            time.sleep(LOOK_EVERY_SECONDS)
        return False

    def watch(self) -> None:
        """Start again whatever dies, until a signal comes."""
        while not self.signals:
            self._look(give_up=False)
            time.sleep(LOOK_EVERY_SECONDS)

    def stop(self, first: Iterable[Service], *, timeout_seconds: float) -> None:
        """Stop ``first``, then the rest, each by force at the deadline."""
        early = list(first)
        late = [service for service in self.services if service not in early]
        for group in (early, late):
            processes = [service.process for service in group if service.process is not None]
            stop_processes(processes, timeout_seconds=timeout_seconds)
            for service in group:
                _kill_leftovers(service)

    def _start(self, service: Service) -> None:
        service.process = start_process(
            service.command,
            log=self.log_of(service),
            env=service.env,
            own_group=True,  # Ctrl-C is for us: we stop the nodes before what they stand on
            death_signal=service.death_signal,
            keep_files=service.keep_files,
        )
        service.lives += 1
        service.started_at = time.monotonic()

    def _look(self, *, give_up: bool) -> None:
        for service in self.services:
            if service.process is None:
                if time.monotonic() >= service.start_at:
                    self._start(service)
            elif service.process.poll() is not None:
                if give_up and not service.ready:
                    raise StartRefused(f"{service.name} did not start: {self._last_word(service)}")
                self._bury(service)
            elif not service.ready and service.is_ready():
                service.ready = True
                self._on_ready(service)

    def _last_word(self, service: Service) -> str:
        said = last_line(self.log_of(service), "it said nothing")
        return said.removeprefix("CommandError: ")

    def _bury(self, service: Service) -> None:
        self._on_death(service)
        _kill_leftovers(service)
        if time.monotonic() - service.started_at > STEADY_SECONDS:
            service.backoff_seconds = FIRST_BACKOFF_SECONDS
        service.start_at = time.monotonic() + service.backoff_seconds
        service.backoff_seconds = min(2 * service.backoff_seconds, LONGEST_BACKOFF_SECONDS)
        service.process, service.ready = None, False


def _kill_leftovers(service: Service) -> None:
    # Workers of a killed nginx live on and keep its port.
    if service.process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(service.process.pid, signal.SIGKILL)
