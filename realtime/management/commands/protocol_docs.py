from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from realtime.protocol_docs import find_stale, write_documents


class Command(BaseCommand):
    help = "Write docs/protocol.md and docs/protocol.schema.json from the frame models."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if they are stale")
        parser.add_argument("--directory", type=Path, default=settings.BASE_DIR / "docs")

    def handle(self, *args: Any, check: bool, directory: Path, **options: Any) -> None:
        if not check:
            write_documents(directory)
        elif stale := find_stale(directory):
            raise CommandError(f"Stale: {', '.join(stale)}. Run: python manage.py protocol_docs")
