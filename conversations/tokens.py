"""Bearer tokens: made once, shown once, kept as a digest."""

import secrets
from datetime import timedelta
from hashlib import sha256

from django.db.models import Q
from django.utils import timezone

from .models import Token, User

# `last_used_at` is for people; writing it at every connection would cost a commit each.
NOTED_EVERY = timedelta(minutes=5)


def new_token_text() -> str:
    """Return 32 random bytes as text that is safe in a header."""
    return secrets.token_urlsafe(32)


def digest_of(text: str) -> str:
    """Return what the database keeps of a token."""
    return sha256(text.encode()).hexdigest()


def create_token(*, user: User, name: str = "") -> str:
    """Make a token for the user and return its text, which nobody can read again."""
    text = new_token_text()
    Token.objects.create(user=user, digest=digest_of(text), name=name)
    return text


def find_token(text: str) -> Token | None:
    """Return the token with its user; None where it is unknown or revoked, or its user disabled."""
    # Lone surrogates can arrive in a frame; no token has them.
    digest = sha256(text.encode(errors="replace")).hexdigest()
    valid = Token.objects.filter(revoked_at=None, user__is_active=True)
    return valid.select_related("user").filter(digest=digest).first()


def note_use(token: Token) -> None:
    """Remember that the token was used just now, within 5 minutes."""
    now = timezone.now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - NOTED_EVERY)
    Token.objects.filter(stale, pk=token.pk).update(last_used_at=now)


def revoke_token(*, token: Token) -> None:
    """Make the token useless and close every connection that came in with it."""
    token.revoked_at = token.revoked_at or timezone.now()
    token.save(update_fields=["revoked_at"])
