"""Looks once more at the credentials of those who are connected, for what no revocation told.

A login that expired says nothing; nor does a change by `QuerySet.update()` or in the database itself, nor a
process that died between its commit and its announcement. Each node asks about once a minute.
"""

from collections.abc import Collection

from conversations.models import Token
from conversations.threads import in_database

from .auth import Identity, session_user

# A batch is one hop to Django's database thread; others get their turn in between.
ASKED_AT_ONCE = 50


async def find_ended(identities: Collection[Identity]) -> set[Identity]:
    """Return those whose login or token is no longer good. Raises Unavailable."""
    ended: set[Identity] = set()
    asked = list(identities)
    for start in range(0, len(asked), ASKED_AT_ONCE):
        ended |= await in_database(_find_ended, asked[start : start + ASKED_AT_ONCE])
    return ended


def _find_ended(identities: list[Identity]) -> set[Identity]:
    wanted = [identity.token_id for identity in identities if identity.token_id is not None]
    valid = Token.objects.filter(pk__in=wanted, revoked_at=None, user__is_active=True)
    good_tokens = set(valid.values_list("pk", flat=True))

    def has_ended(identity: Identity) -> bool:
        if identity.token_id is not None:
            return identity.token_id not in good_tokens
        return session_user(identity.session_key) is None

    return {identity for identity in identities if has_ended(identity)}
