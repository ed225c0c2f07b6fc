"""Turns changes of users, tokens, devices and logins into revocations, wherever they were made:
in a view, the admin, a command or a shell. And what goes with a deleted row leaves Redis.

Announced after the commit. `QuerySet.update()` sends no signal; whoever uses it announces by itself.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_out
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_delete, post_save, pre_save
from django.http import HttpRequest
from django.utils import timezone

from . import keys, revocations, store, wishes
from .models import Conversation, Device, Token, User

WATCHED = {User: {"password", "is_active"}, Token: {"revoked_at"}, Device: {"revoked_at"}}


def connect_receivers() -> None:
    """Listen from now on; called once, when the app is ready."""
    pre_save.connect(_before_user, sender=User, dispatch_uid="tether.user")
    for model in WATCHED:
        post_save.connect(_after_save, sender=model, dispatch_uid=f"tether.save.{model.__name__}")
        post_delete.connect(_after_delete, sender=model, dispatch_uid=f"tether.delete.{model.__name__}")
    post_save.connect(_after_wishes, sender=User, dispatch_uid="tether.wishes")
    post_delete.connect(_after_session, sender=Session, dispatch_uid="tether.delete.session")
    post_delete.connect(_after_user, sender=User, dispatch_uid="tether.delete.person")
    post_delete.connect(_after_conversation, sender=Conversation, dispatch_uid="tether.delete.log")
    user_logged_out.connect(_after_logout, dispatch_uid="tether.logout")


def _is_watched(sender: type[Model], update_fields: Iterable[str] | None) -> bool:
    return update_fields is None or bool(WATCHED[sender].intersection(update_fields))


def _before_user(sender: type[Model], instance: Any, update_fields: Iterable[str] | None = None, **_: Any) -> None:
    """Compare with the row, while it is still the old one."""
    instance._loses_its_connections = False
    if instance.pk is None or not _is_watched(sender, update_fields):
        return
    before = User.objects.filter(pk=instance.pk).values_list("password", "is_active").first()
    if before is not None:
        password, was_active = before
        instance._loses_its_connections = instance.password != password or (was_active and not instance.is_active)


def _after_save(sender: type[Model], instance: Any, update_fields: Iterable[str] | None = None, **_: Any) -> None:
    """Announce a save that took a right away. Revoking again announces again."""
    if sender is User:
        revoked = instance._loses_its_connections
    else:
        revoked = instance.revoked_at is not None and _is_watched(sender, update_fields)
    if revoked:
        _announce(instance)


def _after_wishes(
    sender: type[Model], instance: User, created: bool, update_fields: Iterable[str] | None = None, **_: Any
) -> None:
    """Tell turns of new instructions."""
    if not created and (update_fields is None or "instructions" in update_fields):
        transaction.on_commit(lambda: wishes.publish_wishes(instance), robust=True)


def _after_delete(sender: type[Model], instance: Any, **_: Any) -> None:
    _announce(instance)


def _announce(instance: User | Token | Device) -> None:
    # The key is read now: Django takes it from a deleted instance before the commit.
    if isinstance(instance, User):
        _after_commit("user", str(instance.pk), "")
    elif isinstance(instance, Token):
        _after_commit("token", str(instance.user_id), str(instance.pk))
    else:
        _after_commit("device", str(instance.user_id), instance.device_id)


def _after_session(sender: type[Model], instance: Session, **_: Any) -> None:
    """A login ended: by log-out, by a new key, or because somebody deleted it.

    What had expired anyway is not worth a word; `clearsessions` deletes thousands.
    """
    user_id = instance.get_decoded().get(SESSION_KEY)
    if user_id and instance.expire_date > timezone.now():
        _after_commit("session", str(user_id), instance.session_key)


def _after_logout(sender: Any, request: HttpRequest | None, user: User | None, **_: Any) -> None:
    """For session engines without rows; with rows, their deletion is announced too."""
    session_key = getattr(getattr(request, "session", None), "session_key", None)
    if user is not None and session_key:
        _after_commit("session", str(user.pk), session_key)


def _after_user(sender: type[Model], instance: User, **_: Any) -> None:
    """The feed goes with its user, and what the assistant knows of them; everything else of a user's expires."""
    user_id = str(instance.pk)

    def forget() -> None:
        with store.mapped_errors(), store.connect_sync() as redis:
            redis.unlink(keys.feed(user_id), keys.feed_meta(user_id))
        wishes.forget_person(user_id)

    transaction.on_commit(forget, robust=True)


def _after_conversation(sender: type[Model], instance: Conversation, **_: Any) -> None:
    """A row that somebody deleted takes its log along: the eraser finds the mark. Its own deletions leave no log."""
    conversation_id = str(instance.pk)
    tag = keys.tag(conversation_id)

    def mark() -> None:
        with store.mapped_errors(), store.connect_sync() as redis:
            if redis.exists(keys.meta(conversation_id)) or redis.hexists(keys.parked(tag), conversation_id):
                redis.zadd(keys.erase(tag), {conversation_id: 0}, nx=True)

    transaction.on_commit(mark, robust=True)


def _after_commit(kind: revocations.Kind, user_id: str, value: str) -> None:
    def announce() -> None:
        revocations.announce(kind=kind, user_id=user_id, value=value)

    # Robust: the change is committed, so whoever made it must not see an error of ours.
    transaction.on_commit(announce, robust=True)
