"""Secrets of second factors lie encrypted in the database: Fernet, under a key derived from SECRET_KEY.

Whoever holds a copy of the database alone cannot make codes from it. What was written before this, or under a key that
stands in SECRET_KEY_FALLBACKS now, is still read, and written anew by the next `migrate`.
"""

from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

import structlog
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.translation import gettext as _

# What allauth keeps in `data` as a secret; neither base32 nor hex digits begin as a sealed text does.
SECRETS = ("secret", "seed")
MARK = "fernet:"

logger = structlog.get_logger(__name__)


def seal(text: str) -> str:
    return MARK + _keys().encrypt(text.encode()).decode()


def unseal(kept: str) -> str:
    """Return what was sealed, and unsealed text as it is. Raises ValidationError where no key fits any more."""
    if not kept.startswith(MARK):
        return kept
    try:
        return _keys().decrypt(kept.removeprefix(MARK)).decode()
    except InvalidToken:
        logger.error("factor.unreadable", hint="SECRET_KEY was changed without SECRET_KEY_FALLBACKS")
        raise ValidationError(_("This server can no longer read this secret. Ask whoever runs it.")) from None


def seal_all(**_: Any) -> None:
    """Write anew what is not sealed, or not under the newest key; called after each `migrate`."""
    if Authenticator._meta.db_table not in connection.introspection.table_names():
        return  # not yet, or no longer
    for pk in Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN).values_list("pk", flat=True):
        with transaction.atomic():
            row = Authenticator.objects.select_for_update().filter(pk=pk).first()
            stale = [name for name in SECRETS if row is not None and _is_stale(row.data.get(name))]
            if row is not None and stale:
                row.data |= {name: seal(unseal(row.data[name])) for name in stale}
                row.save(update_fields=["data"])


def _is_stale(kept: Any) -> bool:
    """Whether it can be read, but not by the newest key."""
    if not isinstance(kept, str):
        return False
    token = kept.removeprefix(MARK)
    if not kept.startswith(MARK):
        return True
    return not _opens(_fernet(settings.SECRET_KEY), token) and _opens(_keys(), token)


def _opens(lock: Fernet | MultiFernet, token: str) -> bool:
    try:
        lock.decrypt(token)
    except InvalidToken:
        return False
    return True


def _keys() -> MultiFernet:
    return MultiFernet([_fernet(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


@cache
def _fernet(secret: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"tether.factors").derive(secret.encode())
    return Fernet(urlsafe_b64encode(derived))
