"""Run by `manage.py shell`: an operator who is signed in already, as a session key."""

from conversations.models import User
from tests.login_kit import signed_in

user, _ = User.objects.get_or_create(username="operator", defaults={"is_staff": True, "is_superuser": True})
print(signed_in(user))
