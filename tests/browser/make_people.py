"""Run by `manage.py shell`: users who are signed in already, as JSON [[username, [session key, …]], …].

Hashing a password takes half a second of the processor, and every test wants a user of its own.
"""

import json

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction

from conversations.models import User

PASSWORD = make_password("correct-horse-battery")


def signed_in(user):
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session.create()
    return session.session_key


with transaction.atomic():
    users = [User.objects.create(username=f"ada-{number}", password=PASSWORD) for number in range(90)]
    people = [[user.username, [signed_in(user) for _ in range(3)]] for user in users]
print(json.dumps(people))
