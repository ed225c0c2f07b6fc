"""`manage.py demo`: three demonstrations on a cluster of three nodes, counted, passed or failed."""

import signal
import sys
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand

from chatproject.demo.run import run_demo


class Command(BaseCommand):
    help = (
        "Show on three nodes with five clients that nothing is lost, repeated or reordered: across servers, "
        "over a killed node, and from device to device. Prints the counts; exit code 0 where all passed."
    )
    requires_system_checks = []

    def handle(self, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        if not run_demo(self._say):
            sys.exit(1)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
