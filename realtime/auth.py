"""Who is at the door: a bearer token from anywhere, or a login cookie from a page of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, load_backend
from django.db import IntegrityError
from django.http import parse_cookie
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from conversations.devices import session_store
from conversations.errors import Forbidden, Unauthenticated
from conversations.models import Device, Token, User
from conversations.threads import in_database
from conversations.tokens import find_token, note_use

from .origins import is_allowed_origin, is_trusted_proxy, parse_address

Scope = Mapping[str, Any]

SEEN_EVERY = timedelta(minutes=1)
NAME_LENGTH = 100
DEVICES_KEPT = 200


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, and what proved it: a login session or a token."""

    user_id: str
    username: str
    session_key: str = ""
    token_id: int | None = None


async def identify(scope: Scope, token: str | None) -> Identity:
    """Return who opened this connection; ``token`` is the one of the `auth` frame.

    A bearer token counts first (header, then frame), then the login cookie, for which the Origin
    must be one of ALLOWED_ORIGINS. Raises Unauthenticated, Forbidden for a foreign Origin, Unavailable.
    """
    authorization = _headers(scope, b"authorization")
    if authorization:
        token = _bearer(authorization)
    if token is not None:
        return await in_database(_identify_by_token, token)
    session_key = parse_cookie("; ".join(_headers(scope, b"cookie"))).get(settings.SESSION_COOKIE_NAME, "")
    if not session_key:
        raise Unauthenticated("Sign in first, or give a token.")
    check_origin(scope)
    return await in_database(_identify_by_session, session_key)


def check_origin(scope: Scope) -> None:
    """Refuse a login cookie that comes from a page which is not ours, before anything is sent.

    Raises Forbidden. A connection with an Authorization header, or without a login cookie, may come from anywhere.
    """
    cookies = parse_cookie("; ".join(_headers(scope, b"cookie")))
    if settings.SESSION_COOKIE_NAME not in cookies or _headers(scope, b"authorization"):
        return
    origins = _headers(scope, b"origin")
    if len(origins) != 1 or not is_allowed_origin(origins[0]):
        raise Forbidden("Pages of this origin may not connect.")


async def admit_device(identity: Identity, *, device_id: str, name: str) -> None:
    """Note that the identity's device is here, and make it known if it is new.

    Call it when the socket already hears revocations: the credential is looked at once more, so that
    none slips through between `identify` and then. Raises Unauthenticated, also for a revoked device
    whose credential is not newer than the revocation; Unavailable.
    """
    await in_database(_admit_device, identity, device_id, name)


def client_address(scope: Scope) -> str:
    """Return the address of the client: the last hop that is not a proxy of ours.

    Only TRUSTED_PROXIES are believed about who stood before them; empty where there is no address.
    """
    peer = (scope.get("client") or ("",))[0]
    address = parse_address(peer)
    if address is None:
        return peer
    hops = ",".join(_headers(scope, b"x-forwarded-for")).split(",")
    while hops and is_trusted_proxy(address):
        before = parse_address(hops.pop())
        if before is None:
            break
        address = before
    return str(address)


def _headers(scope: Scope, name: bytes) -> list[str]:
    """Return the values of all headers of this name; ASGI gives names in lower case."""
    headers: Sequence[tuple[bytes, bytes]] = scope.get("headers", ())
    return [value.decode("latin-1") for key, value in headers if key == name]


def _bearer(authorization: list[str]) -> str:
    scheme, _, text = authorization[0].partition(" ")
    if len(authorization) != 1 or scheme.lower() != "bearer":
        raise Unauthenticated("The Authorization header is not a bearer token.")
    return text.strip()


def _identify_by_token(text: str) -> Identity:
    token = find_token(text)
    if token is None:
        raise Unauthenticated("This token is not valid, or no longer.")
    note_use(token)
    return Identity(str(token.user_id), token.user.get_username(), token_id=token.pk)


def _identify_by_session(session_key: str) -> Identity:
    user = session_user(session_key)
    if user is None:
        raise Unauthenticated("This login has ended; sign in again.")
    return Identity(str(user.pk), user.get_username(), session_key=session_key)


def session_user(session_key: str) -> User | None:
    """Return the active user of a login session, checked as Django's middleware does, but read-only.

    Django would also give the session a new key for a rotated secret; the browser could not learn it here.
    """
    if not session_key.isprintable():  # PostgreSQL would stumble over a NUL
        return None
    session = session_store(session_key)
    backend = session.get(BACKEND_SESSION_KEY)
    if backend not in settings.AUTHENTICATION_BACKENDS or SESSION_KEY not in session:
        return None
    user: User | None = load_backend(backend).get_user(session[SESSION_KEY])
    if user is None or not user.is_active:
        return None
    given = session.get(HASH_SESSION_KEY, "")
    current = [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]
    return user if any(constant_time_compare(given, known) for known in current) else None


def _admit_device(identity: Identity, device_id: str, name: str) -> None:
    credential_at = _credential_at(identity)
    name = name.replace("\0", "")[:NAME_LENGTH]
    try:
        device, is_new = Device.objects.get_or_create(
            user_id=identity.user_id, device_id=device_id, defaults=_present(identity, name)
        )
    except IntegrityError as error:  # the user was deleted meanwhile
        raise Unauthenticated("This account has ended.") from error
    if is_new:
        _forget_devices(identity.user_id)
        return
    if device.revoked_at is not None and (credential_at is None or credential_at <= device.revoked_at):
        raise Unauthenticated("This device was signed out; sign in again.")
    _note_device(device, _present(identity, name or device.name))


def _credential_at(identity: Identity) -> datetime | None:
    """Return when the credential was given out; raises Unauthenticated if it is no longer good."""
    found: Token | User | None
    if identity.token_id is not None:
        valid = Token.objects.filter(revoked_at=None, user__is_active=True)
        found = valid.filter(pk=identity.token_id).first()
    else:
        found = session_user(identity.session_key)
    if found is None:
        raise Unauthenticated("This login or token has ended.")
    # Django does not say when a session began; the user's latest login is never before it.
    return found.created_at if isinstance(found, Token) else found.last_login


def _present(identity: Identity, name: str) -> dict[str, Any]:
    """Return the columns of a device that is connected with this credential now.

    The other kind of credential, had it used one before, stays noted: revoking it ends both.
    """
    columns: dict[str, Any] = {"name": name, "last_seen_at": timezone.now(), "revoked_at": None}
    if identity.token_id is not None:
        return columns | {"token_id": identity.token_id}
    return columns | {"session_key": identity.session_key}


def _note_device(device: Device, columns: dict[str, Any]) -> None:
    """Write the columns, unless only a minute has passed: a storm of reconnects need not write."""
    now = columns.pop("last_seen_at")
    seen = device.last_seen_at
    is_same = all(getattr(device, column) == value for column, value in columns.items())
    if not is_same or seen is None or now - seen > SEEN_EVERY:
        Device.objects.filter(pk=device.pk).update(last_seen_at=now, **columns)


def _forget_devices(user_id: str) -> None:
    """Keep a client that names itself anew each time from filling the table."""
    known = Device.objects.filter(user_id=user_id).order_by("-last_seen_at", "-pk")
    for device in known[DEVICES_KEPT:]:
        device.delete()
