"""`manage.py redis`: the embedded Redis in the foreground."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chatproject.services.redis import EmbeddedRedis
from conversations.errors import StartRefused


class Command(BaseCommand):
    help = "Run the embedded Redis in the foreground: fsync before every reply."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        port = urlsplit(settings.REDIS_URL).port or 6379
        parser.add_argument("--port", type=int, default=port, help=f"port on 127.0.0.1 (default {port})")
        parser.add_argument("--dir", type=Path, default=settings.VAR_DIR / "redis", help="where its data lies")

    def handle(self, *, port: int, dir: Path, **options: Any) -> None:
        try:
            redis = EmbeddedRedis(port=port, directory=dir)
        except StartRefused as refusal:
            raise CommandError(refusal.message) from None
        try:
            _interrupt_on_signals()
            redis.wait_until_ready()
            self.stdout.write(f"redis ready {redis.url} pid {redis.process.pid} data {redis.directory}")
            self.stdout.flush()
            code = redis.process.wait()
            raise CommandError(f"redis-server ended by itself (exit code {code}): see {redis.log}")
        except StartRefused as refusal:
            raise CommandError(refusal.message) from None
        except KeyboardInterrupt:
            self.stdout.write("redis stopped")
        finally:
            redis.stop()


def _interrupt_on_signals() -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # SIGINT too: a shell that starts us in the background lets us inherit that it is ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)
