"""Accounts as a person has them: a password, a code, a passkey, a mailed link, and an end."""

import json
import re
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.codes_kit import code_of

from .conftest import PASSWORD
from .window import Window

pytestmark = pytest.mark.timeout(180)
PATIENCE_MS = 20_000
OTHER = "staple-battery-horse"
VIRTUAL = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Account(Window):
    """A window of somebody who comes by the pages, at the address where passkeys work."""

    def __init__(self, page, address):
        super().__init__(page, address.replace("127.0.0.1", "localhost"))
        self.name = f"eve-{uuid4().hex[:8]}"

    def open(self, path):
        self.page.goto(self.address + path)
        return self

    def fill(self, **fields):
        for name, value in fields.items():
            self.page.fill(f"main [name={name}]", value)
        return self

    def press(self, label, role="button"):
        self.page.get_by_role(role, name=label, exact=True).first.click()
        return self

    def sign_out(self):
        self.press("Sign out").page.wait_for_url("**/login/")  # what the browser kept goes first
        return self

    def sign_up(self, **more):
        self.open("/signup/").fill(username=self.name, password1=PASSWORD, password2=PASSWORD, **more)
        self.press("Create the account").wait_for_state("live")
        return self

    def confirm_password(self):
        return self.fill(password=PASSWORD).press("Go on")

    def expect_text(self, text):
        expect(self.page.locator("main")).to_contain_text(text, timeout=PATIENCE_MS)
        return self


@pytest.fixture
def account(cluster, chromium):
    context = chromium.new_context(locale="en-US")
    window = Account(context.new_page(), cluster.address)
    yield window
    context.close()
    assert window.complaints == []


def test_an_account_is_made_asks_for_a_code_and_keeps_language_and_theme(account):
    account.sign_up()
    account.press(account.name, role="link").press("Passkeys and codes", role="link").press("Set up", role="link")
    account.confirm_password()
    secret = account.page.locator("#totp-secret").text_content()
    assert account.page.locator(".qr").evaluate("image => image.naturalWidth") > 50
    account.fill(code=code_of(secret)).press("Turn on")
    recovery = account.page.locator("#recovery-codes code").first.text_content()
    account.sign_out()
    account.sign_in(account.name, PASSWORD)
    account.fill(code="000000").press("Sign in").expect_text("Incorrect code")
    account.page.evaluate("sessionStorage.setItem('tether.draft.x', 'mine alone')")
    account.press("Back to signing in").page.wait_for_url("**/login/")
    assert account.page.evaluate("sessionStorage.length") == 0
    account.sign_in(account.name, PASSWORD)
    account.fill(code=recovery).press("Sign in").wait_for_state("live")
    choose_chinese_and_dark(account)


def choose_chinese_and_dark(account):
    """And see that both hold, on the page of conversations too."""
    account.open("/account/")
    account.page.select_option("[name=language]", "zh-hans")
    account.page.check("[name=theme][value=dark]")
    account.press("Save").expect_text("已保存")
    account.open("/").wait_for_state("live")
    root = account.page.locator("html")
    assert (root.get_attribute("lang"), root.get_attribute("data-theme")) == ("zh-hans", "dark")
    assert account.page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == "rgb(20, 24, 23)"


def test_a_passkey_alone_lets_in_and_one_that_is_refused_is_said_in_the_page(account):
    session = account.page.context.new_cdp_session(account.page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": VIRTUAL})
    account.sign_up().open("/two-factor/webauthn/add/").confirm_password()
    account.fill(name="This laptop").page.check("[name=passwordless]")
    account.press("Add").expect_text("Recovery codes")
    account.open("/two-factor/webauthn/").expect_text("This laptop")
    account.sign_out().press("Sign in with a passkey").wait_for_state("live")
    account.open("/account/").expect_text(account.name).sign_out()
    account.page.wait_for_url("**/login/")
    refuse = "() => { navigator.credentials.get = () => Promise.reject(new Error('cancelled')) }"
    account.page.evaluate(refuse)
    account.press("Sign in with a passkey")
    expect(account.page.locator("#passkey-trouble")).to_contain_text("was not used")


def test_a_forgotten_password_is_mended_by_the_mailed_link(account, cluster):
    address = f"{account.name}@example.org"
    account.sign_up(email=address).sign_out()
    account.page.get_by_role("link", name="Forgot your password?").click()
    account.fill(email=address).press("Send the link").expect_text("a link is on its way")
    link = cluster.program.wait_for(lambda: mailed_link(cluster, address), 20, "the mail")
    account.page.goto(link)
    account.fill(password1=OTHER, password2=OTHER).press("Change the password").expect_text("new one")
    account.sign_in(account.name, PASSWORD)
    account.expect_text("not correct")
    account.sign_in(account.name, OTHER)
    account.wait_for_state("live")


def mailed_link(cluster, address):
    """Return the link of the newest mail to this address, as written to the console of `cluster`."""
    letters = [letter for letter in cluster.program.output.split("Subject: ") if f"To: {address}" in letter]
    found = re.findall(r"http://localhost:\S+/password/reset/key/\S+", letters[-1]) if letters else []
    return found[-1] if found else None


def test_signing_out_there_closes_the_other_window(both):
    first, second = both
    first.page.goto(f"{first.address}/account/devices/")
    others = first.page.locator(".rows li", has_not_text="this device")
    expect(others).to_have_count(1)
    expect(others).to_contain_text("connected")
    others.get_by_role("button", name="Sign out there").click()
    second.wait_until_signed_out()
    expect(others).to_have_count(0)
    first.visit("/")


def test_a_new_password_signs_out_everywhere_else(both):
    first, second = both
    first.page.goto(f"{first.address}/password/change/")
    for name, value in {"oldpassword": PASSWORD, "password1": OTHER, "password2": OTHER}.items():
        first.page.fill(f"[name={name}]", value)
    first.page.get_by_role("button", name="Change the password").click()
    expect(first.page.locator(".said")).to_be_visible(timeout=PATIENCE_MS)
    second.wait_until_signed_out()
    first.visit("/")


def test_a_conversation_is_taken_away_as_a_file(browsers):
    window = browsers()
    window.begin()
    window.say("keep this")
    window.wait_for_lines(2)
    with window.page.expect_download() as download:
        window.choose("export")
    text = download.value.path().read_text()
    assert ("> keep this" in text, "> echo: keep this" in text) == (True, True)
    window.page.goto(f"{window.address}/account/")
    with window.page.expect_download() as download:
        window.page.get_by_role("link", name="Export as JSON").click()
    file = json.loads(download.value.path().read_text())
    assert [m["content"] for c in file["conversations"] for m in c["messages"]] == ["keep this", "echo: keep this"]


def test_an_account_is_deleted_and_its_name_is_free_again(account):
    account.sign_up()
    path = account.begin()
    account.say("a secret")
    account.wait_for_lines(2)
    beside = Account(account.page.context.new_page(), account.address).open(path)
    beside.wait_for_state("live")
    account.page.evaluate("sessionStorage.setItem('tether.draft.x', 'mine alone')")
    account.open("/account/").press("Delete the account", role="link").confirm_password()
    account.expect_text("1 conversation").fill(username=account.name).press("Delete everything")
    account.expect_text("signed out everywhere")
    account.page.wait_for_function("sessionStorage.length === 0")
    beside.wait_until_signed_out()
    account.sign_in(account.name, PASSWORD)
    account.expect_text("not correct")
    for _ in range(40):
        account.open("/signup/").fill(username=account.name, password1=PASSWORD, password2=PASSWORD)
        account.press("Create the account")
        if account.page.locator("#state").count():
            break
        account.page.wait_for_timeout(500)
    account.wait_for_state("live")
    account.open(path)
    expect(account.page.locator("h1")).to_have_text("Nothing here")
