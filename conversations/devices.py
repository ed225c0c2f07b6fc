"""A user's devices: who they are, and how to shut one out."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from .errors import Forbidden
from .models import Device, User
from .tokens import revoke_token


def list_devices(user: User) -> list[Device]:
    """Return the user's devices that are not revoked, the one seen last first."""
    known = Device.objects.filter(user=user, revoked_at=None)
    return list(known.order_by("-last_seen_at", "-pk"))


@transaction.atomic
def revoke_device(*, user: User, device_id: str) -> None:
    """Shut the device out: it, the token it used and its login end now, on every node.

    Revoking again announces it again. Raises Forbidden where the user has no such device.
    """
    device = Device.objects.select_related("token").filter(user=user, device_id=device_id).first()
    if device is None:
        raise Forbidden("There is no such device of yours.")
    device.revoked_at = device.revoked_at or timezone.now()
    device.save(update_fields=["revoked_at"])
    if device.token is not None:
        revoke_token(token=device.token)
    if device.session_key:
        session_store(device.session_key).delete()


def session_store(session_key: str) -> Any:
    """Return the login session of this key, by whichever engine the settings name."""
    return import_module(settings.SESSION_ENGINE).SessionStore(session_key)
