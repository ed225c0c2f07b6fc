"""Signing up and in, passwords, devices, tokens, preferences: as a browser without scripts does it."""

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, hotp_value, yield_hotp_counters_from_time
from allauth.usersessions.models import UserSession
from asgiref.sync import sync_to_async
from django.core import mail
from django.test import AsyncClient, Client

from conversations.models import Device, Token, User
from conversations.revocations import read_since
from conversations.tokens import create_token, find_token

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PASSWORD = "correct horse battery"
OTHER = "another horse battery"


@pytest.fixture
def ada():
    return User.objects.create_user("ada", "ada@example.org", PASSWORD)


@pytest.fixture
def browser(ada):
    return sign_in("ada")


def sign_in(username, password=PASSWORD, browser=None, **more):
    browser = browser or Client()
    browser.login_answer = browser.post("/login/", {"login": username, "password": password, **more})
    return browser


def is_signed_in(browser):
    return browser.get("/").status_code == 200


def sign_up(browser, **changes):
    given = {"username": "eve", "email": "", "password1": OTHER, "password2": OTHER}
    return browser.post("/signup/", given | changes)


def links_in(text):
    return re.findall(r"http://testserver(/\S+)", text)


def told_by(change, *args, **kwargs):
    """Return (kind, value) of what the change revokes, once each."""

    async def around():
        start, _ = await read_since("")
        await sync_to_async(change)(*args, **kwargs)
        return sorted({(entry["kind"], entry["value"]) for entry in (await read_since(start))[1]})

    return around()


# -- up and in


def test_nobody_signs_up_unless_the_setting_says_so(settings):
    assert sign_up(Client()).status_code == 200
    assert not User.objects.exists()
    assert "Create an account" not in Client().get("/login/").content.decode()
    settings.SIGNUP_OPEN = True
    assert "Create an account" in Client().get("/login/").content.decode()
    browser = Client()
    assert sign_up(browser)["Location"] == "/"
    assert is_signed_in(browser)


@pytest.mark.parametrize(
    "changes", [{"username": "ADA"}, {"username": "Assistant"}, {"password1": "12345678", "password2": "12345678"}]
)
def test_a_name_that_is_taken_or_ours_and_a_bad_password_are_refused(settings, ada, changes):
    settings.SIGNUP_OPEN = True
    assert 'class="wrong"' in sign_up(Client(), **changes).content.decode()
    assert User.objects.count() == 1


def test_whoever_signs_in_goes_where_they_wanted_to_and_nowhere_else(ada):
    assert sign_in("ada", next="/account/").login_answer["Location"] == "/account/"
    assert sign_in("ada", next="https://evil.example/").login_answer["Location"] == "/"


def test_a_wrong_password_a_disabled_account_and_a_stranger_look_the_same(ada):
    User.objects.create_user("off", password=PASSWORD, is_active=False)
    tries = [("ada", "wrong"), ("off", PASSWORD), ("nobody", "wrong")]
    said = [re.search(r'role="alert">(.*?)<', sign_in(*each).login_answer.content.decode())[1] for each in tries]
    assert len(set(said)) == 1
    assert "not correct" in said[0]


def test_guessing_is_slowed_down_for_the_account_from_whatever_browser(ada):
    for _ in range(5):
        sign_in("ada", "wrong")
    late = sign_in("ada")
    assert "Too many failed" in late.login_answer.content.decode()
    assert not is_signed_in(late)


def test_one_address_gets_no_end_of_tries_and_who_is_behind_a_proxy_counts_alone(settings, ada):
    settings.ACCOUNT_RATE_LIMITS = {"login": "3/m/ip", "login_failed": ""}
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    flood = Client(headers={"x-forwarded-for": "203.0.113.7"})
    answers = [sign_in("ada", "wrong", flood).login_answer.status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]
    assert is_signed_in(sign_in("ada", browser=Client(headers={"x-forwarded-for": "203.0.113.8"})))


def test_the_admin_has_no_login_of_its_own(browser):
    asked = Client().get("/admin/", follow=True)
    assert asked.redirect_chain[-1][0].startswith("/login/?next=")
    assert browser.get("/admin/login/").status_code == 403


async def test_signing_out_takes_a_post_and_ends_that_login(browser):
    assert (await sync_to_async(browser.get)("/logout/")).status_code == 405
    key = browser.session.session_key
    assert await told_by(browser.post, "/logout/") == [("session", key)]
    assert not await sync_to_async(is_signed_in)(browser)


# -- passwords


async def test_a_new_password_ends_every_other_login_and_every_connection(ada, browser):
    elsewhere = await sync_to_async(sign_in)("ada")
    form = {"oldpassword": PASSWORD, "password1": OTHER, "password2": OTHER}
    assert ("user", "") in await told_by(browser.post, "/password/change/", form)
    assert await sync_to_async(is_signed_in)(browser)
    assert not await sync_to_async(is_signed_in)(elsewhere)


def test_a_new_password_takes_the_old_one(browser):
    form = {"oldpassword": "wrong", "password1": OTHER, "password2": OTHER}
    assert 'class="wrong"' in browser.post("/password/change/", form).content.decode()
    assert User.objects.get().check_password(PASSWORD)


async def test_the_mailed_link_sets_a_new_password_once_and_ends_all_logins(ada, browser):
    guest = Client()
    await sync_to_async(guest.post)("/password/reset/", {"email": "ada@example.org"})
    (letter,) = mail.outbox
    assert ("ada" in letter.body, letter.subject) == (True, "A new password for Tether")
    (link,) = links_in(letter.body)
    form_at = (await sync_to_async(guest.get)(link))["Location"]
    new = {"password1": OTHER, "password2": OTHER}
    assert ("user", "") in await told_by(guest.post, form_at, new)
    assert not await sync_to_async(is_signed_in)(browser)
    assert not await sync_to_async(is_signed_in)(guest)
    assert await sync_to_async(is_signed_in)(await sync_to_async(sign_in)("ada", OTHER))
    assert b"not valid, or no longer" in (await sync_to_async(Client().get)(link)).content


def test_an_unknown_address_gets_the_same_answer_and_no_mail(ada):
    answers = [Client().post("/password/reset/", {"email": f"{who}@example.org"}) for who in ("ada", "nobody")]
    assert len({(answer.status_code, answer["Location"]) for answer in answers}) == 1
    assert [letter.to for letter in mail.outbox] == [["ada@example.org"]]


def test_whoever_finds_a_browser_signed_in_does_not_get_the_account_by_another_address(browser, ada):
    asked = browser.post("/email/", {"email": "mallory@example.org", "action_add": ""})
    assert (asked["Location"].startswith("/reauthenticate/"), mail.outbox) == (True, [])
    assert not EmailAddress.objects.filter(email="mallory@example.org").exists()


def test_an_address_counts_once_it_is_confirmed(browser, ada):
    browser.post("/reauthenticate/", {"password": PASSWORD})
    browser.post("/email/", {"email": "new@example.org", "action_add": ""})
    (letter,) = mail.outbox
    (link,) = links_in(letter.body)
    browser.post(link)
    assert User.objects.get().email == "new@example.org"


# -- the second factor


def totp_of(secret):
    return f"{hotp_value(secret, next(yield_hotp_counters_from_time())):06}"


def test_with_an_app_the_password_alone_opens_nothing(ada):
    secret = "JBSWY3DPEHPK3PXP"
    TOTP.activate(ada, secret)
    browser = sign_in("ada")
    assert browser.login_answer["Location"].startswith("/two-factor/authenticate/")
    assert not is_signed_in(browser)
    browser.post("/two-factor/authenticate/", {"code": "000000"})
    assert not is_signed_in(browser)
    browser.post("/two-factor/authenticate/", {"code": totp_of(secret)})
    assert is_signed_in(browser)


def test_a_recovery_code_opens_once(ada):
    TOTP.activate(ada, "JBSWY3DPEHPK3PXP")
    code = RecoveryCodes.activate(ada).get_unused_codes()[0]
    for opens in (True, False):
        browser = sign_in("ada")
        browser.post("/two-factor/authenticate/", {"code": code})
        assert is_signed_in(browser) is opens


@pytest.mark.parametrize("page", ["/two-factor/totp/activate/", "/two-factor/webauthn/add/", "/account/delete/"])
def test_what_changes_who_gets_in_asks_for_the_password_once_more(browser, page):
    asked = browser.get(page)
    assert asked["Location"].startswith("/reauthenticate/")
    back = browser.post(asked["Location"], {"password": PASSWORD})
    assert browser.get(back["Location"]).status_code == 200


# -- devices and tokens


@pytest.fixture
def client(ada):
    """A signed-in client for views that are coroutines."""
    client = AsyncClient()
    client.force_login(ada)
    return client


async def test_a_device_is_signed_out_by_its_button_with_its_login(client, ada, browser):
    key = browser.session.session_key
    await Device.objects.acreate(user=ada, device_id="phone", name="Ada's phone", session_key=key)
    page = (await client.get("/account/devices/")).content.decode()
    assert ("Ada&#x27;s phone" in page, "Sign out there" in page) == (True, True)
    start, _ = await read_since("")
    answer = await client.post("/account/devices/sign-out/", {"device_id": "phone"})
    assert answer["Location"] == "/account/devices/"
    told = {(entry["kind"], entry["value"]) for entry in (await read_since(start))[1]}
    assert {("device", "phone"), ("session", key)} <= told
    assert not await sync_to_async(is_signed_in)(browser)
    assert "Ada&#x27;s phone" not in (await client.get("/account/devices/")).content.decode()


async def test_a_login_that_never_opened_a_conversation_is_listed_and_ended(client, browser):
    login = await UserSession.objects.aget(session_key=browser.session.session_key)
    assert f'name="login" value="{login.pk}"' in (await client.get("/account/devices/")).content.decode()
    await client.post("/account/logins/sign-out/", {"login": str(login.pk)})
    assert not await sync_to_async(is_signed_in)(browser)


async def test_what_is_not_ones_own_cannot_be_ended(client, ada):
    eve = await User.objects.acreate_user("eve", password=PASSWORD)
    token = await Token.objects.acreate(user=eve, digest="d")
    login = await UserSession.objects.acreate(user=eve, session_key="k", ip="127.0.0.1")
    await Device.objects.acreate(user=eve, device_id="eves")
    tries = {
        "/account/devices/sign-out/": {"device_id": "eves"},
        "/account/logins/sign-out/": {"login": str(login.pk)},
        "/account/tokens/revoke/": {"token": str(token.pk)},
    }
    assert [(await client.post(path, form)).status_code for path, form in tries.items()] == [404] * 3
    assert (await client.post("/account/tokens/revoke/", {"token": "1e9; --"})).status_code == 404


def test_a_token_is_shown_once_and_ends_when_revoked(browser):
    asked = browser.post("/account/tokens/", {"name": "robot-7"})
    made = browser.post(asked["Location"], {"password": PASSWORD})  # goes on with what was asked
    text = re.search(r'id="new-token"[^>]*>([\w-]{43})<', made.content.decode())[1]
    token = find_token(text)
    assert (token.user.username, token.name) == ("ada", "robot-7")
    page = browser.get("/account/tokens/").content.decode()
    assert (text in page, "robot-7" in page) == (False, True)
    browser.post("/account/tokens/revoke/", {"token": str(token.pk)})
    assert find_token(text) is None
    assert "robot-7" not in browser.get("/account/tokens/").content.decode()


# -- preferences


def prefer(browser, **changes):
    return browser.post("/account/", {"language": "", "theme": "", "time_zone": "", **changes})


def test_language_and_theme_hold_from_the_next_page_on_the_chat_too(browser):
    prefer(browser, language="zh-hans", theme="dark", time_zone="Asia/Shanghai")
    page = browser.get("/", headers={"accept-language": "en"}).content.decode()
    assert re.search(r'<html lang="zh-hans"\s+data-theme="dark"\s+data-time-zone="Asia/Shanghai">', page)
    assert "新会话" in page
    prefer(browser)
    page = browser.get("/").content.decode()
    assert ("data-theme" in page, 'content="light dark"' in page) == (False, True)


def test_the_zone_holds_for_times_on_pages(browser, ada):
    create_token(user=ada, name="script")
    Token.objects.update(last_used_at="2026-01-01T20:00:00Z")
    prefer(browser, time_zone="Asia/Tokyo")
    assert "Jan. 2, 2026, 5 a.m." in browser.get("/account/tokens/").content.decode()


@pytest.mark.parametrize("wrong", [{"language": "tlh"}, {"theme": "pink"}, {"time_zone": "Mars/Olympus"}])
def test_what_does_not_exist_cannot_be_preferred(browser, wrong):
    assert 'class="wrong"' in prefer(browser, **wrong).content.decode()
    assert "tlh" not in browser.get("/").content.decode()


def test_a_language_chosen_by_its_button_is_kept_in_the_account(browser):
    browser.post("/i18n/setlang/", {"language": "zh-hans", "next": "/"})
    assert 'lang="zh-hans"' in sign_in("ada").get("/").content.decode()


# -- how it looks


ENTRANCES = ["/login/", "/signup/", "/password/reset/", "/password/reset/done/", "/password/reset/key/done/"]
MANAGED = ["/account/", "/password/change/", "/email/", "/two-factor/", "/account/tokens/", "/account/deleted/"]
FACTORS = ["totp/activate/", "webauthn/add/", "webauthn/", "recovery-codes/", "recovery-codes/generate/"]


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_every_page_is_ours_and_runs_nothing_inline(settings, ada, language):
    settings.SIGNUP_OPEN = True
    RecoveryCodes.activate(ada)
    browser, guest = sign_in("ada"), Client()
    browser.post("/reauthenticate/", {"password": PASSWORD})
    own = [*MANAGED, "/reauthenticate/", "/account/delete/", *(f"/two-factor/{page}" for page in FACTORS)]
    pages = [guest.get(path, headers={"accept-language": language}) for path in ENTRANCES]
    pages += [browser.get(path, headers={"accept-language": language}) for path in own]
    for answer in pages:
        page = answer.content.decode()
        assert (answer.status_code, "accounts.css" in page) == (200, True), answer.request["PATH_INFO"]
        assert f'lang="{language}"' in page
        assert not re.search(r"\s(style|on\w+)=", page)
        assert not re.search(r"<script(?![^>]*(src=\"/|type=\"application/json\"))", page)
        assert "unsafe" not in answer["Content-Security-Policy"]
