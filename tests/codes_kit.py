"""The code that an authenticator app shows."""

from allauth.mfa.totp.internal.auth import hotp_value, yield_hotp_counters_from_time


def code_of(secret: str) -> str:
    """Return the code of this very half minute: it counts for the next one, too."""
    _, now, _ = yield_hotp_counters_from_time()
    return f"{hotp_value(secret, now):06}"
