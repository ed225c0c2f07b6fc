"""Names that only this installation can match with a person: keyed hashes, by AUDIT_KEY."""

import hmac
from hashlib import sha256
from typing import Literal

from django.conf import settings

Kind = Literal["user", "device", "address", "name"]
LENGTH = 16


def pseudonym(kind: Kind, value: str) -> str:
    """Return the same 16 hex digits for the same value, always; an empty value stays empty."""
    return keyed("names", f"{kind}:{value}".encode())[:LENGTH] if value else ""


def keyed(purpose: str, data: bytes) -> str:
    """Return the hex digest of the data under a key of its own for each purpose."""
    key = hmac.digest(settings.AUDIT_KEY.encode(), f"tether.audit.{purpose}".encode(), "sha256")
    return hmac.new(key, data, sha256).hexdigest()
