"""`manage.py storage`: what the product keeps in Redis."""

from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError, CommandParser

from conversations import storage, store
from conversations.errors import Unavailable
from conversations.storage import KINDS, Storage

SHOWN = 100


class Command(BaseCommand):
    help = "Show keys and bytes in Redis by kind, and keys that nobody will ever delete. Fails where there are any."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("conversation", nargs="?", default="", type=_conversation, help="only of this one, by id")

    def handle(self, *, conversation: str, **options: Any) -> None:
        try:
            found = async_to_sync(_measure)(conversation)
        except Unavailable as error:
            raise CommandError(error.message) from None
        ends = {kind.name: kind.ends for kind in KINDS}
        self.stdout.write(f"{'kind':18}{'keys':>10}{'bytes':>14}{'expiring':>10}  ends")
        for name, usage in found.kinds.items():
            line = (
                f"{name:18}{usage.keys:>10,}{usage.bytes:>14,}{usage.expiring:>10,}  {ends.get(name, 'nobody knows')}"
            )
            self.stdout.write(line)
        total = sum(usage.keys for usage in found.kinds.values())
        self.stdout.write(f"{'all':18}{total:>10,}{found.bytes:>14,}")
        for orphan in found.orphans[:SHOWN]:
            self.stdout.write(f"orphan: {orphan.key} ({orphan.bytes:,} bytes): {orphan.reason}")
        if found.orphans:
            raise CommandError(f"{len(found.orphans):,} keys belong to nobody")


def _conversation(text: str) -> str:
    return str(UUID(text)) if text else ""  # a ValueError is told as the argument's


async def _measure(conversation_id: str) -> Storage:
    try:
        return await storage.measure(conversation_id)
    finally:
        await store.close()
