import pytest
from playwright.sync_api import expect

from .conftest import Browsers

pytestmark = pytest.mark.timeout(180)
PATIENCE_MS = 20_000


@pytest.fixture
def others(cluster, chromium, people):
    """The browsers of another user."""
    opened = Browsers(cluster, chromium, *next(people))
    yield opened
    opened.close()


def invite(window, username):
    window.choose("invite")
    expect(window.page.locator("#ask-text")).to_contain_text("everything that was said")
    window.confirm(username)


def test_two_people_talk_until_one_is_removed(browsers, others):
    owner, guest = browsers(), others()
    path = owner.begin()
    owner.say("Tea at five?")
    owner.wait_for_lines(2)
    invite(owner, others.username)
    guest.page.locator(f"#items a[href='{path}']").click()
    assert guest.wait_for_lines(2)[0] == ("user", "Tea at five?")
    expect(guest.page.locator("#lines .who").first).to_have_text(browsers.username)
    guest.page.click("#menu-button")
    expect(guest.page.locator("[data-action=leave]")).to_be_visible()
    expect(guest.page.locator("[data-action=delete]")).to_be_hidden()
    guest.page.keyboard.press("Escape")
    guest.say("With pleasure")
    owner.wait_for_lines(4)
    expect(owner.page.locator("#lines .message[data-other] .who")).to_have_text(others.username)
    owner.choose("remove")
    owner.confirm(others.username)
    expect(guest.page.locator("#banner")).to_contain_text("you are not in it", timeout=PATIENCE_MS)
    expect(guest.page.locator("#composer")).to_be_hidden()
    expect(guest.page.locator(f"#items a[href='{path}']")).to_have_count(0)
    expect(owner.page.locator(".notice").last).to_contain_text("left")


def test_a_name_that_nobody_has_is_said_to_be_none_and_who_leaves_sees_it_no_more(browsers, others):
    owner, guest = browsers(), others()
    path = owner.begin()
    invite(owner, "nobody-at-all")
    expect(owner.page.locator("#toast")).to_contain_text("nobody-at-all")
    invite(owner, others.username)
    guest.page.locator(f"#items a[href='{path}']").click()
    guest.choose("leave")
    guest.confirm()
    expect(guest.page.locator("#welcome")).to_be_visible()
    expect(guest.page.locator(f"#items a[href='{path}']")).to_have_count(0)


def test_the_search_field_finds_what_was_said_and_opens_it(browsers):
    window = browsers()
    path = window.begin()
    window.say("我们明天去北京")
    window.wait_for_lines(2)
    window.begin()
    window.page.fill("#query", "北京")
    hits = window.page.locator("#hits a")
    expect(hits.first).to_contain_text("明天去北京", timeout=PATIENCE_MS)
    expect(window.page.locator("#items")).to_be_hidden()
    hits.first.click()
    window.page.wait_for_url(f"**{path}")
    window.page.fill("#query", "上海")
    expect(window.page.locator("#no-hits")).to_have_text("Nothing found.", timeout=PATIENCE_MS)
    window.page.fill("#query", "")
    expect(window.page.locator("#items")).to_be_visible()
