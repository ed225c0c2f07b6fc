"""`manage.py cluster`: a whole installation on one machine, in the foreground."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chatproject.services.cluster import Cluster
from conversations.errors import StartRefused


class Command(BaseCommand):
    help = "Run Redis, the nodes and nginx in front of them. A dead node is started again; one Ctrl-C stops all."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--nodes", type=int, default=3, help="how many (default 3)")
        parser.add_argument("--port", type=int, default=8000, help="port of nginx on 127.0.0.1 (default 8000)")

    def handle(self, *, nodes: int, port: int, **options: Any) -> None:
        try:
            Cluster(nodes=nodes, port=port, say=self.say).run()
        except StartRefused as refusal:
            raise CommandError(refusal.message) from None

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
