"""A user's devices: who they are, and how to shut one out."""

from importlib import import_module
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from .errors import Forbidden
from .models import Device, User
from .tokens import revoke_token


class Credential(NamedTuple):
    """What lets somebody in: a token or a login session."""

    token_id: int | None = None
    session_key: str = ""


def list_devices(user: User) -> list[Device]:
    """Return the user's devices that are not revoked, the one seen last first."""
    known = Device.objects.filter(user=user, revoked_at=None)
    return list(known.order_by("-last_seen_at", "-pk"))


@transaction.atomic
def revoke_device(*, user: User, device_id: str, spared: Credential | None = None) -> None:
    """Shut the device out: it, the token it used and its login end now, on every node.

    ``spared`` goes on working: whoever asks must not lose their own. The device stays out with it all the same.
    Revoking again announces it again. Raises Forbidden where the user has no such device.
    """
    spared = spared or Credential()
    device = Device.objects.select_related("token").filter(user=user, device_id=device_id).first()
    if device is None:
        raise Forbidden("There is no such device of yours.")
    device.revoked_at = device.revoked_at or timezone.now()
    device.save(update_fields=["revoked_at"])
    if device.token is not None and device.token.pk != spared.token_id:
        revoke_token(token=device.token)
    if device.session_key and device.session_key != spared.session_key:
        session_store(device.session_key).delete()


def session_store(session_key: str) -> Any:
    """Return the login session of this key, by whichever engine the settings name."""
    return import_module(settings.SESSION_ENGINE).SessionStore(session_key)
