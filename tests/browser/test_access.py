"""Each page in both languages and both schemes, judged by axe-core's rules for WCAG 2.2 AA."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .conftest import PASSWORD, Browsers

pytestmark = pytest.mark.timeout(180)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
LOCALES = ("en-US", "zh-CN")
SCHEMES = ("light", "dark")
AXE = Axe().axe_script
OF_COLOURS = ["color-contrast", "link-in-text-block"]


@pytest.fixture(scope="module")
def readers(cluster, chromium, people):
    """One window for each language, in one conversation with an answer, a failure and an open question."""
    browsers = Browsers(cluster, chromium, *next(people))
    english, chinese = (browsers.window(browsers.signed_in(locale=locale)) for locale in LOCALES)
    path = english.visit("/").begin()
    for said in ("Good morning", "/fail"):
        english.say(said)
    english.wait_for_lines(3)
    english.say("/approve tea")
    for window in (english, chinese):
        window.visit(path)
        expect(window.page.locator(".question")).to_be_visible()
    english.item_verb(english.page.locator("#items .item").first, "pin")
    expect(chinese.page.locator(".item .pinned:visible")).to_have_count(1)
    english.choose("share")
    english.page.click("#share-make")
    english.link = english.page.locator("#share-items a").get_attribute("href")
    english.page.keyboard.press("Escape")
    yield dict(zip(LOCALES, (english, chinese), strict=True))
    browsers.close()


def conversation(page):
    expect(page.locator(".question")).to_be_visible()


def start(page):
    page.keyboard.press("Escape")
    page.click("[data-home-link]:visible")
    expect(page.locator("#welcome")).to_be_visible()


def search(page):
    page.fill("#query", "morning")
    expect(page.locator("#hits mark").first).to_be_visible()


def details(page):
    page.keyboard.press("Escape")
    page.keyboard.press("Alt+i")
    expect(page.locator("#details")).to_be_visible()


def item_menu(page):
    page.keyboard.press("Escape")
    page.locator("#items .item").first.hover()
    page.locator("#items .more").first.click()
    expect(page.locator("#item-menu")).to_be_visible()


def renaming(page):
    page.click("#item-menu [data-verb=rename]")
    expect(page.locator(".rename")).to_be_focused()


def keys(page):
    page.keyboard.press("Escape")
    page.keyboard.press("Control+/")
    expect(page.locator("#shortcuts")).to_be_visible()


def phone(page):
    page.set_viewport_size({"width": 390, "height": 844})


@pytest.mark.parametrize("locale", LOCALES)
def test_axe_finds_nothing_in_the_app_whatever_is_open(readers, locale):
    page = readers[locale].page
    found = []
    for show in (conversation, details, item_menu, renaming, keys, start, search, phone):
        show(page)
        found += faults(page, show.__name__)
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("locale", LOCALES)
def test_axe_finds_nothing_on_the_pages_that_stand_alone(readers, cluster, chromium, locale):
    context = chromium.new_context(locale=locale)
    page = context.new_page()
    for path in ("/login/", "/offline/", "/nowhere/"):
        page.goto(cluster.address + path)
        assert faults(page, path) == []
    page.goto(readers["en-US"].link)
    while not page.get_by_text("echo: Good morning").count():  # the archive is a moment behind; the test ends in time
        page.reload()
    assert faults(page, "shared") == []
    context.close()


OF_NOBODY = ("signup/", "password/reset/", "account/deleted/")
OF_ONES_OWN = (
    "account/",
    "account/devices/",
    "account/tokens/",
    "account/delete/",
    "email/",
    "password/change/",
    "two-factor/",
    "two-factor/totp/activate/",
    "two-factor/webauthn/add/",
)
OF_THE_OPERATOR = (
    "",
    "conversations/conversation/",
    "conversations/turn/attention/",
    "conversations/installation/nodes/",
    "conversations/installation/notice/",
    "conversations/conversation/charts/",
    "conversations/auditentry/",
    "conversations/user/",
    "conversations/token/add/",
)


@pytest.mark.parametrize("locale", LOCALES)
def test_axe_finds_nothing_on_the_pages_of_an_account_and_before_it(browsers, cluster, locale):
    page = browsers.window(browsers.context(locale=locale)).page
    found = [fault for path in OF_NOBODY for fault in faults_at(page, f"{cluster.address}/{path}")]
    page = browsers.window(browsers.signed_in(locale=locale)).page
    found += faults_at(page, cluster.address + "/reauthenticate/?next=/account/")
    page.fill("[name=password]", PASSWORD)
    page.click("button.primary")
    page.wait_for_url("**/account/")
    for path in OF_ONES_OWN:
        found += faults_at(page, f"{cluster.address}/{path}")
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("locale", LOCALES)
def test_axe_finds_nothing_on_the_pages_of_the_operator(readers, browsers, cluster, operator, locale):
    context = browsers.context(locale=locale)
    context.add_cookies([{"name": "sessionid", "value": operator, "url": cluster.address}])
    page = context.new_page()  # axe copies Django's style sheets to read them, of which the page's policy complains
    found = []
    for path in OF_THE_OPERATOR:
        found += faults_at(page, f"{cluster.address}/admin/{path}", WCAG)
    page.goto(f"{cluster.address}/admin/conversations/conversation/")
    page.locator("#result_list a code").first.click()
    found += faults(page, "timeline", WCAG)
    assert not found, "\n".join(map(str, found))


def test_axe_finds_what_was_planted(cluster, chromium):
    context = chromium.new_context(locale="en-US")
    page = context.new_page()
    page.goto(cluster.address + "/login/")
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"/x.png\"><input>')")
    page.evaluate("document.querySelector('.soft').style.color = 'rgb(200, 200, 200)'")
    assert {rule for _, _, rule, _ in faults(page, "planted")} >= {"image-alt", "label", "color-contrast"}
    context.close()


def faults_at(page, address, rules=()):
    assert page.goto(address).ok
    return faults(page, address, rules)


def faults(page, where, rules=()):
    # A phone shows the list or the conversation: the list alone has no main part, which is advice and no rule.
    tags = rules or [*WCAG, *([] if where == "phone" else ["best-practice"])]
    page.evaluate(AXE)
    found = []
    # A scheme changes colours and nothing else.
    for scheme, run in zip(
        SCHEMES, ({"type": "tag", "values": tags}, {"type": "rule", "values": OF_COLOURS}), strict=True
    ):
        options = {"runOnly": run, "resultTypes": ["violations"]}
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate("Promise.all(document.getAnimations().map((each) => each.finished.catch(() => {})))")
        for fault in page.evaluate("(options) => axe.run(document, options)", options)["violations"]:
            nodes = [(node["html"][:160], node.get("failureSummary", "")[:300]) for node in fault["nodes"]]
            found.append((where, scheme, fault["id"], nodes))
    return found
