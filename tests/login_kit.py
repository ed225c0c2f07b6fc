"""People who are signed in already: hashing a password takes half a second of the processor.

Imported by programs that `manage.py shell` runs; the tests' own process has another database.
"""

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from conversations.models import User


def signed_in(user: User) -> str:
    """Return the key of a login session, as the sign-in page makes it."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session.create()
    assert session.session_key
    return session.session_key
