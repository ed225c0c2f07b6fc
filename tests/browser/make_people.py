"""Run by `manage.py shell`: users who are signed in already, as JSON [[username, [session key, …]], …].

Every test wants a user of its own.
"""

import json

from django.contrib.auth.hashers import make_password
from django.db import transaction

from conversations.models import User
from tests.login_kit import signed_in

PASSWORD = make_password("correct-horse-battery")

with transaction.atomic():
    users = [User.objects.create(username=f"ada-{number}", password=PASSWORD) for number in range(90)]
    people = [[user.username, [signed_in(user) for _ in range(3)]] for user in users]
print(json.dumps(people))
