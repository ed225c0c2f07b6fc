"""`manage.py token`: a bearer token for programs."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from conversations.models import User
from conversations.tokens import create_token


class Command(BaseCommand):
    help = "Print a new bearer token for a user, alone on its line. Only its digest is kept: nobody can show it again."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--create", action="store_true", help="make the user if there is none, without a password")
        parser.add_argument("--name", default="command line", help="what the token is for, shown to its user")

    def handle(self, *, username: str, create: bool, name: str, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None and not create:
            raise CommandError(f"there is no user {username}: add --create to make one")
        if user is None:
            user = User.objects.create_user(username)
        if not user.is_active:
            raise CommandError(f"{username} is disabled: a token would open nothing")
        self.stdout.write(create_token(user=user, name=name))
