"""Make users with tokens in the environment's database: ``python -m bench.seed_users COUNT TEXT``.

The token of user ``b<i>`` is ``<TEXT>-<i>``; only its SHA-256 is stored, as everywhere.
"""

import os
import sys
from hashlib import sha256


def main(count: int, text: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")
    import django

    django.setup()
    from conversations.models import Token, User  # only importable after django.setup()

    User.objects.bulk_create(User(username=f"b{number}", password="!") for number in range(count))
    Token.objects.bulk_create(
        Token(user=user, digest=sha256(f"{text}-{user.username[1:]}".encode()).hexdigest(), name="bench")
        for user in User.objects.filter(username__regex=r"^b[0-9]+$")
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
