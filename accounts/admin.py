"""allauth's tables in the admin, under the rule for whatever lets in: who may not see content changes none of it."""

from typing import Any

from allauth.account.admin import EmailAddressAdmin
from allauth.account.models import EmailAddress
from allauth.mfa.admin import AuthenticatorAdmin
from allauth.mfa.models import Authenticator
from allauth.usersessions.admin import UserSessionAdmin
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.http import HttpRequest

from conversations.inspection.base import LetsInAdmin

for model in (EmailAddress, Authenticator, UserSession):
    admin.site.unregister(model)


@admin.register(EmailAddress)
class AddressAdmin(LetsInAdmin, EmailAddressAdmin):  # type: ignore[misc]  # allauth declares no types
    """A new password is mailed to these."""

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        if not self.has_change_permission(request):
            actions.pop("make_verified", None)
        return actions


@admin.register(Authenticator)
class FactorAdmin(LetsInAdmin, AuthenticatorAdmin):  # type: ignore[misc]  # allauth declares no types
    """To be removed for somebody who has lost them. They are made by their owners only."""

    fields = ("user", "type", "created_at", "last_used_at")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(UserSession)
class LoginAdmin(LetsInAdmin, UserSessionAdmin):  # type: ignore[misc]  # allauth declares no types
    """Without the key: whoever knows it is signed in."""

    fields = ("user", "created_at", "last_seen_at", "ip", "user_agent")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
