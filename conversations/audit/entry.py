"""One row of the audit journal. Rows are only ever added; `journal.py` adds them."""

from typing import Any, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _

NO_HASH = "0" * 64


class AppendOnly(Exception):
    """Somebody tried to change or remove an entry of the audit journal."""


class Action(models.TextChoices):
    SIGNED_IN = "signed_in", _("signed in")
    SIGNED_OUT = "signed_out", _("signed out")
    SIGN_IN_FAILED = "sign_in_failed", _("sign-in failed")
    SIGNED_UP = "signed_up", _("account made")
    PASSWORD_CHANGED = "password_changed", _("password changed")
    PASSWORD_RESET = "password_reset", _("password reset by a mailed link")
    PASSWORD_SET = "password_set", _("password set by somebody else")
    EMAIL_ADDED = "email_added", _("e-mail address added")
    EMAIL_CONFIRMED = "email_confirmed", _("e-mail address confirmed")
    EMAIL_CHANGED = "email_changed", _("e-mail address changed")
    EMAIL_REMOVED = "email_removed", _("e-mail address removed")
    FACTOR_ADDED = "factor_added", _("passkey or authenticator app added")
    FACTOR_REMOVED = "factor_removed", _("passkey or authenticator app removed")
    FACTOR_REFUSED = "factor_refused", _("code or key refused")
    RECOVERY_CODES_MADE = "recovery_codes_made", _("recovery codes made")
    TOKEN_MADE = "token_made", _("token made")
    TOKEN_REVOKED = "token_revoked", _("token revoked")
    DEVICE_REVOKED = "device_revoked", _("device revoked")
    SHARE_MADE = "share_made", _("link to read by made")
    SHARE_REVOKED = "share_revoked", _("link to read by revoked")
    EXPORTED = "exported", _("exported")
    ERASING_ASKED = "erasing_asked", _("erasing of the account asked for")
    USER_DELETED = "user_deleted", _("account deleted")
    CONVERSATION_DELETED = "conversation_deleted", _("conversation deleted")
    CONVERSATION_ERASED = "conversation_erased", _("conversation erased")
    HISTORY_CLEARED = "history_cleared", _("history cleared")
    DENIED = "denied", _("denied")
    CONTENT_OPENED = "content_opened", _("content opened")
    CONTENT_CLOSED = "content_closed", _("content closed")
    CONTENT_SEEN = "content_seen", _("content seen")
    CONTENT_SEARCHED = "content_searched", _("content searched")
    ADMIN_ADDED = "admin_added", _("added in the admin")
    ADMIN_CHANGED = "admin_changed", _("changed in the admin")
    ADMIN_DELETED = "admin_deleted", _("deleted in the admin")
    LOG_CHECKED = "log_checked", _("consistency checked")
    TURN_CANCELLED = "turn_cancelled", _("turn cancelled by an operator")
    TURN_RETRIED = "turn_retried", _("turn tried again by an operator")
    NODE_DRAINED = "node_drained", _("node drained")
    NOTICE_SENT = "notice_sent", _("notice sent")
    NOTICE_TAKEN_BACK = "notice_taken_back", _("notice taken back")


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    def update(self, **_: Any) -> NoReturn:
        raise AppendOnly("the audit journal is append-only")

    def delete(self) -> NoReturn:
        raise AppendOnly("the audit journal is append-only")

    def bulk_update(self, *_: Any, **__: Any) -> NoReturn:
        raise AppendOnly("the audit journal is append-only")


class AuditEntry(models.Model):
    """What one person, or the server itself (``actor`` empty), did; ``hash`` covers it and the entry before.

    People, addresses and typed names stand here as pseudonyms. The database refuses UPDATE and DELETE by triggers.
    """

    seq = models.PositiveBigIntegerField(_("seq"), primary_key=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=24, choices=Action)
    actor = models.CharField(_("who"), max_length=16, blank=True)
    subject = models.CharField(_("to whom or what"), max_length=80, blank=True)
    facts = models.CharField(_("facts"), max_length=500, default="{}")
    # Unique: of two that were written after the same entry, one loses and is written again.
    prev = models.CharField(max_length=64, unique=True)
    hash = models.CharField(max_length=64)

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["actor", "-seq"]),
            models.Index(fields=["subject", "-seq"]),
            models.Index(fields=["action", "-seq"]),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnly("the audit journal is append-only")
        super().save(*args, **(kwargs | {"force_insert": True}))

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise AppendOnly("the audit journal is append-only")
