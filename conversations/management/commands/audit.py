"""`manage.py audit verify`: whether the audit journal is whole; `manage.py audit who NAME`: a user's pseudonym."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from conversations.audit import heads
from conversations.audit.pseudonyms import pseudonym
from conversations.audit.verifying import verify
from conversations.models import User

SHOWN = 20


class Command(BaseCommand):
    help = "Verify the audit journal, or find out under which pseudonym it knows a user."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verifying = verbs.add_parser("verify", help="find anything that was changed, removed, inserted or cut off")
        verifying.add_argument("--head", default="", help="SEQ:HASH as an earlier run printed it")
        verbs.add_parser("who", help="print a user's pseudonym").add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "who":
            self._tell_who(options["username"])
        else:
            self._verify(options["head"])

    def _tell_who(self, username: str) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"there is no user {username!r}")
        self.stdout.write(pseudonym("user", str(user.pk)))

    def _verify(self, head: str) -> None:
        remembered = []
        try:
            remembered = heads.kept()
        except (RedisError, OSError):
            self.stderr.write("Redis does not answer: what was cut off the end is found only by --head")
        if head:
            remembered.append(_parsed(head))
        found = verify(remembered)
        for fault in found.faults[:SHOWN]:
            self.stdout.write(f"{fault.seq}: {fault.problem}")
        if found.faults:
            raise CommandError(f"the audit journal was changed: {len(found.faults)} faults")
        self.stdout.write(f"{found.seq} entries, whole; head {found.seq}:{found.hash}")
        if not remembered:
            self.stdout.write("Nobody remembers a head: entries may have been cut off the end.")


def _parsed(head: str) -> tuple[int, str]:
    seq, _, hash_ = head.partition(":")
    if not seq.isdigit() or len(hash_) != 64:
        raise CommandError("--head is SEQ:HASH, as an earlier run printed it")
    return int(seq), hash_
