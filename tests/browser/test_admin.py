"""The operator's pages in a real browser on a real cluster: nothing breaks the CSP, and what is done takes effect."""

import os
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .window import PATIENCE_MS

pytestmark = pytest.mark.timeout(180)
# `ADMIN_PICTURES=folder` keeps them to be looked at.
FOLDER = os.environ.get("ADMIN_PICTURES")
SIZE = {"width": 1280, "height": 900}


@pytest.fixture
def desk(browsers, cluster, operator):
    """An operator's window, and one of somebody who has talked and has a failed turn behind them."""
    person = browsers()
    person.say("Where do bees go at night?")
    person.wait_for_lines(2)
    person.say("/fail")
    expect(person.page.locator("#lines")).to_contain_text("/fail", timeout=PATIENCE_MS)
    expect(person.page.locator("#lines .notice, #lines [data-kind]").last).to_be_attached(timeout=PATIENCE_MS)
    context = browsers.context(viewport=SIZE)
    context.add_cookies([{"name": "sessionid", "value": operator, "url": cluster.address}])
    return Desk(browsers.window(context), person, browsers.username)


class Desk:
    def __init__(self, window, person, username):
        self.window, self.person, self.page, self.username = window, person, window.page, username

    def visit(self, path):
        assert self.page.goto(self.window.address + "/admin/" + path).ok
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        return self

    def picture(self, name):
        if FOLDER:
            self.page.screenshot(path=Path(FOLDER) / f"{name}.png", full_page=True)

    def wait_for_failed_turn(self):
        """Reload until it is listed: the archive is a moment behind."""
        self.visit("conversations/turn/attention/")
        button = self.page.get_by_role("button", name="try again").first
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not button.count():
            assert time.monotonic() < deadline, "no failed turn is listed"
            self.page.reload()
        return button


def test_an_operator_finds_looks_and_acts(desk, cluster):
    page = desk.page
    missing = []
    page.on("response", lambda answer: missing.append(answer.url) if answer.status == 404 else None)
    desk.visit("").picture("index")
    desk.visit("conversations/conversation/").picture("conversations")
    desk.visit(f"conversations/conversation/?q={desk.username}")
    page.locator("#result_list a code").first.click()
    expect(page.locator("ol.log .entry").first).to_be_visible()
    assert "bees" not in page.content()
    desk.picture("timeline")

    page.get_by_role("button", name="Check consistency").click()
    expect(page.locator(".report .good")).to_be_visible(timeout=PATIENCE_MS)
    desk.picture("timeline-checked")

    page.get_by_role("button", name=re.compile("Show it for 15 minutes")).click()
    expect(page.get_by_text("Where do bees go at night?").first).to_be_visible()
    desk.picture("timeline-content")
    page.get_by_role("button", name="Hide it").click()
    expect(page.get_by_text("Where do bees go at night?")).to_have_count(0)

    button = desk.wait_for_failed_turn()
    desk.picture("attention")
    button.click()
    expect(page.locator(".messagelist .success")).to_be_visible()

    desk.visit("conversations/conversation/charts/").picture("charts")
    expect(page.locator("svg rect").first).to_be_visible()
    desk.visit("conversations/auditentry/").picture("audit")
    expect(page.locator("#result_list")).to_contain_text("content seen")
    assert missing == []
    assert page.request.get(page.locator("link[rel=icon]").evaluate("(link) => link.href")).ok  # else /favicon.ico


def test_a_notice_reaches_an_open_page_and_whoever_comes_later_until_it_is_taken_back(desk, browsers):
    page, reader = desk.page, desk.person
    desk.visit("conversations/installation/notice/")
    page.get_by_label("message").fill("The service rests at noon for <b>ten</b> minutes.")
    page.get_by_label("level").select_option("warning")
    page.get_by_label("shown").select_option("1")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".messagelist .success")).to_be_visible()
    desk.picture("notice")
    notice = reader.page.locator("#notice")
    expect(notice).to_contain_text("rests at noon for <b>ten</b> minutes", timeout=PATIENCE_MS)
    expect(notice).to_have_attribute("data-level", "warning")
    notice.get_by_role("button", name="Close").click()
    reader.page.reload()
    latecomer = browsers()
    expect(latecomer.page.locator("#notice p")).to_have_count(1, timeout=PATIENCE_MS)
    reader.wait_for_state("live")
    reader.say("still here")  # answered after what came with the connection
    expect(reader.page.locator("#lines")).to_contain_text("echo: still here", timeout=PATIENCE_MS)
    expect(notice).to_be_hidden()
    page.get_by_role("button", name="take back").click()
    expect(page.locator(".messagelist .success")).to_be_visible()
    latecomer.page.reload()
    latecomer.wait_for_state("live")
    latecomer.page.click("[data-new]:visible")  # as above: by now it would have come
    expect(latecomer.page.locator("#nothing-said")).to_be_visible(timeout=PATIENCE_MS)
    expect(latecomer.page.locator("#notice")).to_be_hidden()


def test_a_drained_node_leaves_the_list(desk, cluster):
    page = desk.page
    desk.visit("conversations/installation/nodes/").picture("nodes")
    name = desk.person.detail("node")
    row = page.locator(f"[data-node='{name}']")
    before = row.locator("td.number").last.text_content()
    row.locator("summary").click()
    row.get_by_role("button").click()
    expect(page.locator(".messagelist .success")).to_be_visible()
    # The cluster starts it again: another process under the same name, found by the page itself.
    again = page.locator(f"[data-node='{name}'] td.number").last
    expect(again).not_to_have_text(before, timeout=PATIENCE_MS)
    desk.person.wait_for_state("live")


@pytest.mark.parametrize("path", ["", "conversations/conversation/", "conversations/installation/nodes/"])
def test_pages_fit_a_phone_in_the_dark_and_in_chinese(desk, path):
    desk.page.set_viewport_size({"width": 390, "height": 844})
    desk.page.emulate_media(color_scheme="dark")
    language = {"name": "django_language", "value": "zh-hans", "url": desk.window.address}
    desk.page.context.add_cookies([language])
    desk.visit(path).picture(f"phone-{path.rstrip('/').rpartition('/')[2] or 'index'}")
    expect(desk.page.locator("html")).to_have_attribute("lang", "zh-hans")
