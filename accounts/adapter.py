"""Where django-allauth asks us: who may sign up, from where somebody comes, how we are called."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .address import address_in
from .agents import name_of_agent
from .sealing import seal, unseal

UNKNOWN_ADDRESS = "0.0.0.0"  # a name for "none", not bound to
SITE_NAME = "Tether"


class AccountAdapter(DefaultAccountAdapter):
    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": _("The user name or the password is not correct."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGNUP_OPEN)

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that limits count by, as the sockets' door finds it."""
        return address_in(request.META) or UNKNOWN_ADDRESS

    def render_mail(self, template_prefix: str, email: Any, context: dict[str, Any], headers: Any = None) -> Any:
        return super().render_mail(template_prefix, email, {**context, "site_name": SITE_NAME}, headers)


class FactorAdapter(DefaultMFAAdapter):
    def encrypt(self, text: str) -> str:
        return seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(encrypted_text)

    def _get_site_name(self) -> str:
        return SITE_NAME

    def generate_authenticator_name(self, user: Any, authenticator_type: Any) -> str:
        """Suggest the name of the browser that the key is added in."""
        agent = context.request.META.get("HTTP_USER_AGENT", "")
        return name_of_agent(agent) or str(super().generate_authenticator_name(user, authenticator_type))
