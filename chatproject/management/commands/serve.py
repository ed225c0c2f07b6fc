"""`serve`: one node in the foreground, from its checks to its drain."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Run one node: daphne with everything a node needs. SIGTERM drains it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--node", default="", help="the node's name; default: host and process id")

    def handle(self, *args: Any, host: str, port: int, node: str, **options: Any) -> None:
        if not settings.PRODUCTION and not settings.ORIGINS_GIVEN:
            settings.ALLOWED_ORIGINS[:] = [f"http://{name}:{port}" for name in settings.LOOPBACK_HOSTS]
        # Daphne installs its reactor when it is imported: only a process that serves may do that.
        from chatproject.server import run
        from conversations.errors import StartRefused

        try:
            run(host, port, node or settings.NODE_NAME, self.stdout.write)
        except StartRefused as refusal:
            raise CommandError(refusal.message) from refusal
