"""Named points at which a test can kill the process, as a power cut would. They do nothing otherwise.

``TETHER_FAULT=archive.inserted`` ends the process the first time it comes there, ``archive.inserted:3`` the third time.
"""

import os
from collections import Counter

KILLED = 137  # as after kill -9

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """End the process here, without any clean-up, if the environment asks for it."""
    wanted = os.environ.get("TETHER_FAULT")
    if not wanted:
        return
    _passed[name] += 1
    wanted_name, _, count = wanted.partition(":")
    if wanted_name == name and _passed[name] == int(count or 1):
        os._exit(KILLED)
