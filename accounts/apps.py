from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Pages about people: signing in and up, devices, tokens, exports, the end of an account. No models of its own."""

    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        from .audit import connect_receivers  # models exist only now

        connect_receivers()
