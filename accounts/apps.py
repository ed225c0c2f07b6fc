from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Pages about people: signing in and up, devices, tokens, exports, the end of an account. No models of its own."""

    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        from .audit import connect_receivers  # models exist only now
        from .sealing import seal_all

        connect_receivers()
        # Not of ours: Django tells only apps that have models.
        post_migrate.connect(seal_all, sender=apps.get_app_config("mfa"), dispatch_uid="tether.sealing")
