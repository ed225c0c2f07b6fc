"""The admin: people and their keys can be changed; what the log decides can only be read."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from .devices import revoke_device
from .inspection import (
    admins,  # noqa: F401  registers the copies of the log
    content,
)
from .inspection.base import BigTableAdmin, LetsInAdmin
from .models import Device, Share, Token, User
from .sharing import end_share
from .tokens import digest_of, new_token_text, revoke_token


@admin.register(User)
class UserAdmin(BigTableAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "email", "is_active", "is_staff", "last_login", "date_joined")
    list_filter = ("is_active", "is_staff", "is_superuser", "date_joined")
    readonly_fields = ("last_login", "date_joined")
    actions = ("disable_users",)
    # An address is where a new password is mailed to.
    lets_in = ("email", "is_staff", "is_superuser", "groups", "user_permissions")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return self.readonly_fields if content.may_let_in(request) else (*self.readonly_fields, *self.lets_in)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        if not content.may_let_in(request):
            raise PermissionDenied
        return super().user_change_password(request, id, form_url)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """What the person asks of the assistant is content: shown, and changed, only while that is open."""
        shown = super().get_fieldsets(request, obj)
        if obj is None or not content.is_open(request):
            return shown
        return (*shown, (_("Assistant"), {"fields": ("instructions",)}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if content.is_open(request) else None
        if row is not None and self.has_view_or_change_permission(request, row):
            content.look_at_person(request, row.pk)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "can_open_content": True})

    @admin.action(description=_("Disable selected users and close their connections"), permissions=["change"])
    def disable_users(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset.filter(is_active=True).exclude(username=request.user.get_username()):
            user.is_active = False
            user.save(update_fields=["is_active"])
            self.log_change(request, user, "disabled")


@admin.register(Token)
class TokenAdmin(BigTableAdmin):
    list_display = ("__str__", "user", "created_at", "last_used_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    fields = ("user", "name", "created_at", "last_used_at", "revoked_at")
    readonly_fields = ("created_at", "last_used_at", "revoked_at")
    # Not the field that completes names: it styles itself inline, and has no name to be read out.
    raw_id_fields = ("user",)
    actions = ("revoke_tokens",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return content.may_let_in(request) and super().has_add_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Token | None = None) -> tuple[str, ...]:
        # Whoever holds the text would act for another user from then on.
        return self.readonly_fields if obj is None else ("user", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Token, form: Any, change: bool) -> None:
        text = "" if change else new_token_text()
        if text:
            obj.digest = digest_of(text)
        super().save_model(request, obj, form, change)
        if text:
            shown = _("The token, shown only this once: %(text)s") % {"text": text}
            self.message_user(request, shown, messages.WARNING)

    @admin.action(description=_("Revoke selected tokens"), permissions=["change"])
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[Token]) -> None:
        for token in queryset:
            revoke_token(token=token)
            self.log_change(request, token, "revoked")


@admin.register(Device)
class DeviceAdmin(BigTableAdmin):
    list_display = ("__str__", "user", "device_id", "last_seen_at", "created_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "last_seen_at")
    list_select_related = ("user",)
    search_fields = ("name", "device_id", "user__username")
    fields = ("user", "device_id", "name", "token", "created_at", "last_seen_at", "revoked_at")
    readonly_fields = fields
    actions = ("revoke_devices",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.action(description=_("Sign out selected devices, their tokens and logins"), permissions=["change"])
    def revoke_devices(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        for device in queryset.select_related("user"):
            revoke_device(user=device.user, device_id=device.device_id)
            self.log_change(request, device, "revoked")


@admin.register(Share)
class ShareAdmin(BigTableAdmin):
    list_display = ("__str__", "conversation_id", "made_by", "created_at", "expires_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("made_by",)
    search_fields = ("made_by__username",)
    fields = ("id", "conversation_id", "made_by", "seq", "created_at", "expires_at", "revoked_at")
    readonly_fields = fields
    actions = ("revoke_shares",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.action(description=_("Revoke selected links"), permissions=["change"])
    def revoke_shares(self, request: HttpRequest, queryset: QuerySet[Share]) -> None:
        for share in queryset.filter(revoked_at=None):
            end_share(share)
            self.log_change(request, share, "revoked")


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(LetsInAdmin, DjangoGroupAdmin):
    """Django's own, on record."""
