"""Mail for who has no mail server: written to the console, of `cluster` too, whose nodes write to log files."""

import os

from django.core.mail import EmailMessage
from django.core.mail.backends.console import EmailBackend

# The number of an open file that `cluster` hands to its nodes: its own console.
CONSOLE = "TETHER_CONSOLE"


class ConsoleBackend(EmailBackend):
    def write_message(self, message: EmailMessage) -> None:
        console = os.environ.get(CONSOLE)
        if console is None:
            super().write_message(message)
            return
        own = self.stream
        with open(int(console), "w", encoding="utf-8", closefd=False) as self.stream:
            super().write_message(message)
        self.stream = own
