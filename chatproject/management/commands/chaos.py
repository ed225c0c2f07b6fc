"""`manage.py chaos`: break a cluster by a seed while conversations go on, and count what went wrong."""

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from chatproject.chaos.run import Options, run_chaos


class Command(BaseCommand):
    help = (
        "Start a small cluster and break it: cut sockets, killed, frozen, cut-off and drained nodes, restarts of "
        "Redis, in an order that the seed decides, while people ask, cancel, edit and fork. Prints what was lost, "
        "repeated, reordered, answered twice, run again or left hanging; exit code 0 where nothing was, and every "
        "kind of fault happened. Ctrl-C ends the faults and gives a verdict of those so far."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=1, help="which faults, and in which order (default 1)")
        parser.add_argument("--faults", type=int, default=100, help="how many (default 100)")
        parser.add_argument("--conversations", type=int, default=8, help="how many at the same time (default 8)")
        parser.add_argument("--minutes", type=float, default=0, help="no more faults after that (default: no limit)")
        parser.add_argument("--nodes", type=int, default=3, help="how many (default 3)")
        parser.add_argument("--longest", type=float, default=20, help="seconds that a fault lasts at most (default 20)")
        parser.add_argument("--history", type=Path, help="a file for everything that happened, as JSON lines")
        parser.add_argument("--keep", type=Path, help="a new folder for the cluster's data and logs, which stays")

    def handle(self, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _interrupt)
        chosen = Options(**{name: options[name] for name in Options._fields})
        verdict = run_chaos(chosen, self._say, history=options["history"], keep=options["keep"])
        if not verdict.passed:
            sys.exit(1)

    def _say(self, text: str) -> None:
        self.stdout.write(f"[{time.strftime('%H:%M:%S')}] {text}")
        self.stdout.flush()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
