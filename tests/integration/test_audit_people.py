"""What people do about their accounts is in the audit journal: through the pages and commands that they use."""

import json
import re
from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.webauthn.internal.auth import WebAuthn
from asgiref.sync import sync_to_async
from django.core import mail
from django.core.management import call_command
from django.test import AsyncClient, Client
from django.urls import reverse

from conversations.audit.entry import AuditEntry
from conversations.audit.pseudonyms import pseudonym
from conversations.models import Share, User
from conversations.tokens import create_token
from tests.archive_kit import new_talk, say
from tests.asking_kit import Asking
from tests.codes_kit import code_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
PASSWORD = "correct horse battery"
OTHER = "another horse battery"
TWICE = {"password1": OTHER, "password2": OTHER}


@pytest.fixture
def ada():
    return User.objects.create_user("ada", "ada@example.org", PASSWORD)


@pytest.fixture
def browser(ada):
    """Signed in, and asked for the password just now."""
    browser = Client()
    browser.post("/login/", {"login": "ada", "password": PASSWORD})
    browser.post("/reauthenticate/", {"password": PASSWORD})
    return browser


def me(user):
    return pseudonym("user", str(user.pk))


def told(*actions):
    """Return (action, actor, subject) of what was recorded of these actions, in order."""
    rows = AuditEntry.objects.filter(action__in=actions) if actions else AuditEntry.objects.all()
    return list(rows.order_by("seq").values_list("action", "actor", "subject"))


def newest(action):
    return json.loads(AuditEntry.objects.filter(action=action).latest("seq").facts)


def link_in(letter):
    return re.search(r"http://testserver(/\S+)", letter.body)[1]


PASSWORDS = ("password_changed", "password_reset", "password_set")


def test_a_new_password_is_recorded_by_whoever_gave_it(ada, browser):
    browser.post("/password/change/", {"oldpassword": PASSWORD, **TWICE})
    guest = Client()
    guest.post("/password/reset/", {"email": "ada@example.org"})
    form_at = guest.get(link_in(mail.outbox[-1]))["Location"]
    guest.post(form_at, {"password1": PASSWORD, "password2": PASSWORD})
    operator, root = User.objects.create_superuser("root"), Client()
    root.force_login(operator)
    root.post(reverse("admin:auth_user_password_change", args=[ada.pk]), {**TWICE, "usable_password": "true"})
    subject = f"user:{me(ada)}"
    assert told(*PASSWORDS) == [
        ("password_changed", me(ada), subject),
        ("password_reset", "", subject),
        ("password_set", me(operator), subject),
    ]
    assert newest("password_reset") == {"address": pseudonym("address", "127.0.0.1")}


def test_a_password_from_the_command_line_or_the_first_of_ones_own_is_recorded_too(ada, browser, monkeypatch):
    User.objects.filter(pk=ada.pk).update(password="!none")
    ada.refresh_from_db()
    browser.force_login(ada)
    browser.post("/password/set/", TWICE)
    monkeypatch.setattr("getpass.getpass", lambda **_: PASSWORD)
    call_command("changepassword", "ada", stdout=StringIO())
    subject = f"user:{me(ada)}"
    assert told(*PASSWORDS) == [("password_changed", me(ada), subject), ("password_set", "", subject)]


def test_a_hash_that_is_made_anew_at_a_sign_in_is_no_new_password(ada, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher", *settings.PASSWORD_HASHERS]
    before = ada.password
    Client().post("/login/", {"login": "ada", "password": PASSWORD})
    ada.refresh_from_db()
    assert (ada.password != before, told(*PASSWORDS)) == (True, [])


def test_addresses_are_recorded_without_themselves(ada, browser):
    browser.post("/email/", {"email": "new@example.org", "action_add": ""})
    Client().post(link_in(mail.outbox[0]))
    browser.post("/email/", {"email": "newer@example.org", "action_add": ""})
    browser.post("/email/", {"email": "newer@example.org", "action_remove": ""})
    subject = f"user:{me(ada)}"
    assert told("email_added", "email_confirmed", "email_changed", "email_removed") == [
        ("email_added", me(ada), subject),
        ("email_confirmed", "", subject),
        ("email_changed", "", subject),
        ("email_added", me(ada), subject),
        ("email_removed", me(ada), subject),
    ]
    assert "example" not in " ".join(str(row) for row in AuditEntry.objects.values_list())


def test_who_makes_an_account_is_recorded(settings):
    settings.SIGNUP_OPEN = True
    Client().post("/signup/", {"username": "eve", "email": "", **TWICE})
    eve = User.objects.get()
    assert told() == [("signed_up", "", f"user:{me(eve)}"), ("signed_in", me(eve), "")]


def test_an_authenticator_app_and_its_recovery_codes_are_recorded(ada, browser):
    browser.get("/two-factor/totp/activate/")
    browser.post("/two-factor/totp/activate/", {"code": code_of(browser.session["mfa.totp.secret"])})
    browser.post("/two-factor/recovery-codes/generate/", {})
    browser.post("/two-factor/totp/deactivate/", {})
    subject = f"user:{me(ada)}"
    rows = AuditEntry.objects.filter(action__in=["factor_added", "factor_removed", "recovery_codes_made"])
    assert not Authenticator.objects.exists()
    assert {row.subject for row in rows} == {subject}
    assert [(row.action, json.loads(row.facts)["kind"]) for row in rows.order_by("seq")] == [
        ("factor_added", "totp"),
        ("recovery_codes_made", "recovery_codes"),
        ("recovery_codes_made", "recovery_codes"),
        ("factor_removed", "totp"),
        ("factor_removed", "recovery_codes"),
    ]


def test_a_wrong_code_is_recorded(ada):
    TOTP.activate(ada, "JBSWY3DPEHPK3PXP")
    browser = Client()
    browser.post("/login/", {"login": "ada", "password": PASSWORD})
    browser.post("/two-factor/authenticate/", {"code": "000000"})
    assert told() == [("factor_refused", "", f"user:{me(ada)}")]


def test_a_passkey_is_recorded_when_it_comes_and_goes(ada, browser, monkeypatch):
    """The browser's own part in it is played in tests/browser/test_accounts.py."""

    def add(cls, user, name, credential):
        return cls(Authenticator.objects.create(user=user, type="webauthn", data={"name": name, "credential": {}}))

    monkeypatch.setattr(WebAuthn, "add", classmethod(add))
    monkeypatch.setattr("allauth.mfa.webauthn.forms.AddWebAuthnForm.clean", lambda form: form.cleaned_data)
    monkeypatch.setattr("allauth.mfa.webauthn.internal.auth.WebAuthn.is_passwordless", False)
    browser.post("/two-factor/webauthn/add/", {"name": "Ada's laptop", "credential": '{"id": "k"}'})
    key = Authenticator.objects.get(type="webauthn")
    browser.post(f"/two-factor/webauthn/keys/{key.pk}/remove/")
    assert [action for action, actor, _ in told("factor_added", "factor_removed") if actor == me(ada)] == [
        "factor_added",
        "factor_removed",  # the key
        "factor_removed",  # its recovery codes
    ]


def test_asking_for_the_end_of_the_account_is_recorded_before_it_ends(ada, browser):
    browser.post("/account/delete/", {"username": "ada"})
    assert told("erasing_asked", "password_set", "user_deleted") == [("erasing_asked", me(ada), f"user:{me(ada)}")]


def test_a_token_is_recorded_by_page_and_by_command(ada, browser):
    browser.post("/account/tokens/", {"name": "robot"})
    call_command("token", "ada", stdout=StringIO())
    one, other = ada.tokens.order_by("pk")
    browser.post("/account/tokens/revoke/", {"token": str(one.pk)})
    assert told("token_made", "token_revoked") == [
        ("token_made", me(ada), f"token:{one.pk}"),
        ("token_made", "", f"token:{other.pk}"),
        ("token_revoked", me(ada), f"token:{one.pk}"),
    ]


async def test_links_to_read_by_are_recorded_once_whoever_takes_them_back():
    talk = await new_talk()
    await say(talk)
    first, _ = await Asking(talk).ask_twice("share", is_kept=False)
    second = await Asking(talk).ask("share")
    for _ in range(2):
        await Asking(talk).ask("unshare", share_id=first["share_id"])
    root = await User.objects.acreate_superuser("root")
    operator = AsyncClient()
    await sync_to_async(operator.force_login)(root)
    chosen = {"action": "revoke_shares", "_selected_action": [second["share_id"]]}
    await operator.post(reverse("admin:conversations_share_changelist"), chosen)
    assert not await Share.objects.filter(revoked_at=None).aexists()
    one, two = (f"share:{each['share_id']}" for each in (first, second))
    owner = pseudonym("user", talk.user_id)
    assert await sync_to_async(told)("share_made", "share_revoked") == [
        ("share_made", owner, one),
        ("share_made", owner, two),
        ("share_revoked", owner, one),
        ("share_revoked", me(root), two),
    ]
    assert (await sync_to_async(newest)("share_made"))["conversation"] == talk.conversation_id


async def test_exports_are_recorded_with_who_took_what_and_refused_ones_are_not():
    talk, stranger = await new_talk(), await new_talk()
    await say(talk)
    user = await User.objects.aget(pk=talk.user_id)
    client = AsyncClient()
    await sync_to_async(client.force_login)(user)
    path = f"/export/{talk.conversation_id}/"
    await client.get(f"{path}?format=markdown")
    assert await sync_to_async(newest)("exported") == {"format": "markdown"}
    token = {"authorization": f"Bearer {await sync_to_async(create_token)(user=user)}"}
    await AsyncClient().get("/export/", headers=token)
    assert set(await sync_to_async(newest)("exported")) == {"format", "token"}
    assert (await client.get(f"/export/{stranger.conversation_id}/")).status_code == 404
    assert await sync_to_async(told)("exported") == [
        ("exported", me(user), f"conversation:{talk.conversation_id}"),
        ("exported", me(user), f"user:{me(user)}"),
    ]
