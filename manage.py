#!/usr/bin/env python
"""Django's entry point: every process of Tether is `python manage.py …`."""

import gc
import os
import sys

import structlog

# What is loaded at the start is no garbage: looking for some in it takes a seventh of the time until it is there.
gc.set_threshold(50_000, 20, 20)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")
    # What a command prints is read by programs, as a token is: what it logs goes elsewhere. Nodes configure anew.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
