from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ConversationsConfig(AppConfig):
    name = "conversations"
    verbose_name = _("Conversations")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import words_index  # models exist only now
        from .audit import receivers as audit_receivers
        from .receivers import connect_receivers

        connect_receivers()
        audit_receivers.connect_receivers()
        connection_created.connect(words_index.on_connection, dispatch_uid="tether.words")
        post_migrate.connect(words_index.after_migration, sender=self, dispatch_uid="tether.words.migrated")
