"""Secrets of second factors: sealed in the database, read whoever wrote them, written anew under the newest key."""

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.core.management import call_command
from django.test import Client

from accounts.sealing import MARK, seal, seal_all, unseal
from conversations.models import User
from tests.codes_kit import code_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
PASSWORD = "correct horse battery"
SECRET = "JBSWY3DPEHPK3PXP"


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password=PASSWORD)


def answer_to(code):
    browser = Client()
    browser.post("/login/", {"login": "ada", "password": PASSWORD})
    return browser.post("/two-factor/authenticate/", {"code": code})


def lets_in(code=None):
    return answer_to(code or code_of(SECRET)).status_code == 302


def kept():
    return [
        row.data.get("secret") or row.data["seed"]
        for row in Authenticator.objects.exclude(type="webauthn").order_by("pk")
    ]


def test_the_database_holds_no_secret_and_codes_work(ada):
    TOTP.activate(ada, SECRET)
    code = RecoveryCodes.activate(ada).get_unused_codes()[0]
    assert all(text.startswith(MARK) for text in kept())
    assert SECRET not in str(list(Authenticator.objects.values_list("data", flat=True)))
    assert (lets_in(), lets_in(code), lets_in(code)) == (True, True, False)


def test_what_lay_there_plain_is_read_and_sealed_by_the_next_migrate(ada):
    Authenticator.objects.create(user=ada, type="totp", data={"secret": SECRET})
    Authenticator.objects.create(user=ada, type="recovery_codes", data={"seed": "ab" * 40, "used_mask": 3})
    key = Authenticator.objects.create(user=ada, type="webauthn", data={"name": "key", "credential": {}})
    assert lets_in()
    call_command("migrate", verbosity=0)
    assert [unseal(text) for text in kept() if text.startswith(MARK)] == [SECRET, "ab" * 40]
    assert Authenticator.objects.get(type="recovery_codes").data["used_mask"] == 3
    key.refresh_from_db()
    assert key.data == {"name": "key", "credential": {}}


def test_a_new_key_reads_what_a_former_one_sealed_and_then_seals_it_itself(ada, settings):
    TOTP.activate(ada, SECRET)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 50, [settings.SECRET_KEY]
    assert lets_in()
    seal_all()
    sealed = kept()
    seal_all()
    assert kept() == sealed  # once
    settings.SECRET_KEY_FALLBACKS = []
    assert unseal(sealed[0]) == SECRET


def test_a_secret_that_no_key_opens_lets_nobody_in_and_stays_as_it_is(ada, settings):
    TOTP.activate(ada, SECRET)
    sealed = kept()
    settings.SECRET_KEY = "n" * 50
    seal_all()
    assert kept() == sealed
    assert b"can no longer read this secret" in answer_to("000000").content


def test_the_same_secret_is_never_sealed_alike():
    assert seal(SECRET) != seal(SECRET)
