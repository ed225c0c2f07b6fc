"""`manage.py token`: bearer tokens for programs."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from conversations.models import User
from conversations.tokens import create_token


class Command(BaseCommand):
    help = "Print a new bearer token for each user, one a line. Only its digest is kept: nobody can show it again."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("usernames", nargs="+", metavar="username")
        parser.add_argument("--create", action="store_true", help="make the user if there is none, without a password")
        parser.add_argument("--name", default="command line", help="what the token is for, shown to its user")

    def handle(self, *, usernames: list[str], create: bool, name: str, **options: Any) -> None:
        users = [_find(username, create=create) for username in usernames]
        # After whatever the log has to say about it.
        self.stdout.write("\n".join([create_token(user=user, name=name) for user in users]))


def _find(username: str, *, create: bool) -> User:
    user = User.objects.filter(username=username).first()
    if user is None and not create:
        raise CommandError(f"there is no user {username}: add --create to make one")
    if user is None:
        user = User.objects.create_user(username)
    if not user.is_active:
        raise CommandError(f"{username} is disabled: a token would open nothing")
    return user
