"""Records what Django's signals tell: sign-ins, passwords, tokens, devices, accounts that end, and the admin's acts.

`QuerySet.update()` and `bulk_create()` send no signal; whoever uses them records by themselves.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models import Model
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest

from .. import models
from . import journal
from .actor import acting_address, acting_in_request, acting_user_id
from .entry import Action
from .pseudonyms import pseudonym

BY_FLAG = {ADDITION: Action.ADMIN_ADDED, CHANGE: Action.ADMIN_CHANGED, DELETION: Action.ADMIN_DELETED}


def connect_receivers() -> None:
    """Listen from now on; called once, when the app is ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="tether.audit.in")
    user_logged_out.connect(_signed_out, dispatch_uid="tether.audit.out")
    user_login_failed.connect(_failed, dispatch_uid="tether.audit.failed")
    post_save.connect(_password_saved, sender=models.User, dispatch_uid="tether.audit.password")
    post_save.connect(_token_saved, sender=models.Token, dispatch_uid="tether.audit.token")
    post_save.connect(_device_saved, sender=models.Device, dispatch_uid="tether.audit.device")
    post_delete.connect(_token_deleted, sender=models.Token, dispatch_uid="tether.audit.token.deleted")
    post_delete.connect(_user_deleted, sender=models.User, dispatch_uid="tether.audit.user.deleted")
    post_save.connect(_admin_logged, sender=LogEntry, dispatch_uid="tether.audit.admin")


def address_facts(request: HttpRequest | None = None) -> dict[str, str]:
    """Return whence the request comes, or that which is being answered, as a fact; nothing where there is none."""
    found = str(request.META.get("REMOTE_ADDR") or "") if request is not None else acting_address()
    return {"address": pseudonym("address", found)} if found else {}


def _signed_in(sender: Any, request: HttpRequest | None, user: Any, **_: Any) -> None:
    journal.record(Action.SIGNED_IN, actor=str(user.pk), **address_facts(request))


def _signed_out(sender: Any, request: HttpRequest | None, user: Any, **_: Any) -> None:
    if user is not None:
        journal.record(Action.SIGNED_OUT, actor=str(user.pk), **address_facts(request))


def _failed(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Checking a password takes so long that nobody floods the journal this way."""
    typed = next((str(value) for name, value in credentials.items() if name in ("username", "email", "login")), "")
    known = get_user_model()._default_manager.filter(username=typed).values_list("pk", flat=True).first()
    facts = address_facts(request) | ({} if known else {"typed": pseudonym("name", typed)})
    journal.record(Action.SIGN_IN_FAILED, subject=journal.person(known) if known else "", **facts)


def _password_saved(sender: type[Model], instance: models.User, created: bool, **more: Any) -> None:
    """By whatever way: pages, the admin, a command, a shell.

    Django holds the new password until its hash is saved; a hash that is only made anew at a sign-in has none.
    """
    if created or more.get("raw") or getattr(instance, "_password", None) is None:
        return
    actor = acting_user_id()
    if actor == str(instance.pk):
        action = Action.PASSWORD_CHANGED
    else:
        action = Action.PASSWORD_RESET if acting_in_request() and not actor else Action.PASSWORD_SET
    journal.record(action, actor=actor, subject=journal.person(instance.pk), **address_facts())


def _is_revoking(instance: Any, update_fields: Iterable[str] | None) -> bool:
    return instance.revoked_at is not None and (update_fields is None or "revoked_at" in update_fields)


def _token_saved(sender: type[Model], instance: models.Token, created: bool, **more: Any) -> None:
    if more.get("raw"):
        return
    if created:
        _keys_of(Action.TOKEN_MADE, instance.user_id, f"token:{instance.pk}")
    elif _is_revoking(instance, more.get("update_fields")):
        _keys_of(Action.TOKEN_REVOKED, instance.user_id, f"token:{instance.pk}")


def _token_deleted(sender: type[Model], instance: models.Token, **_: Any) -> None:
    _keys_of(Action.TOKEN_REVOKED, instance.user_id, f"token:{instance.pk}")


def _device_saved(sender: type[Model], instance: models.Device, **more: Any) -> None:
    if not more.get("raw") and _is_revoking(instance, more.get("update_fields")):
        subject = journal.device(instance.user_id, instance.device_id)
        _keys_of(Action.DEVICE_REVOKED, instance.user_id, subject)


def _keys_of(action: Action, owner_id: int, subject: str) -> None:
    journal.record(action, actor=acting_user_id(), subject=subject, owner=pseudonym("user", str(owner_id)))


def _user_deleted(sender: type[Model], instance: models.User, **_: Any) -> None:
    journal.record(Action.USER_DELETED, subject=journal.person(instance.pk))


def _admin_logged(sender: type[Model], instance: LogEntry, created: bool, **more: Any) -> None:
    if created and not more.get("raw"):
        record_admin(instance)


def record_admin(logged: LogEntry) -> None:
    """Record one entry of the admin's own log, without what it says about the object."""
    kind = logged.content_type.model if logged.content_type else "object"
    subject = journal.person(logged.object_id) if kind == "user" else f"{kind}:{logged.object_id}"
    if not journal.PLAIN.fullmatch(subject):  # a key that is text
        subject = kind
    journal.record(BY_FLAG[logged.action_flag], actor=str(logged.user_id), subject=subject)
