"""What happens to what one writes while the server cannot be reached, whatever becomes of the tab."""

import re

import pytest
from playwright.sync_api import expect

from .conftest import PASSWORD

pytestmark = pytest.mark.timeout(180)
KEPT = """async () => {
  const names = (await indexedDB.databases()).map(({ name }) => name);
  if (!names.includes("tether")) return [];
  const ask = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
  const database = await ask(indexedDB.open("tether"));
  const kept = await ask(database.transaction("outbox").objectStore("outbox").getAll());
  database.close();
  return kept.map(({ content }) => content);
}"""
CACHED = """async () => {
  const names = await caches.keys();
  const requests = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
  return requests.flat().map(({ url }) => new URL(url).pathname);
}"""


def said_by_user(window, count):
    return [text for role, text in window.wait_for_lines(count) if role == "user"]


def test_an_answer_goes_on_where_the_network_was_lost_in_its_middle(browsers):
    context = browsers.signed_in()
    window = browsers.window(context).visit("/")
    window.begin()
    window.say("/words 150")
    window.wait_for_writing("w10 ")
    context.set_offline(True)
    window.wait_for_state("offline")
    half = window.writing().text_content()
    context.set_offline(False)
    expect(window.writing()).to_have_text(re.compile(re.escape(half.strip()) + " w"))
    assert window.wait_for_lines(2)[1] == ("assistant", " ".join(f"w{number}" for number in range(1, 151)))


def test_what_was_written_offline_is_sent_in_order_after_the_tab_was_closed_and_opened_again(browsers):
    other, context = browsers("/"), browsers.signed_in()
    window = browsers.window(context).visit("/")
    path = window.begin()
    context.set_offline(True)
    window.wait_for_state("offline")
    for text in ("first", "second", "third"):
        window.say(text)
    expect(window.page.locator("#state .words")).to_have_text("Offline: 3 messages waiting")
    window.page.close()
    assert other.visit(path).lines() == []
    context.set_offline(False)
    again = browsers.window(context).visit("/")  # the list; the conversation itself need not be open
    assert said_by_user(other, 6) == ["first", "second", "third"]
    assert again.page.evaluate(KEPT) == []


def test_two_tabs_send_what_both_wrote_once_and_in_the_order_of_writing(browsers):
    context = browsers.signed_in()
    left = browsers.window(context).visit("/")
    path = left.begin()
    right = browsers.window(context).visit(path)
    context.set_offline(True)
    for tab in (left, right):
        tab.wait_for_state("offline")
    for number in range(6):
        tab = (left, right)[number % 2]
        tab.say(f"line {number}")
        for seen_by in (left, right):
            expect(seen_by.page.locator("#pending .message")).to_have_count(number + 1)
    context.set_offline(False)
    lines = [f"line {number}" for number in range(6)]
    assert said_by_user(left, 12) == lines
    assert said_by_user(right, 12) == lines
    assert left.page.evaluate(KEPT) == []


def test_a_tab_that_is_closed_in_the_middle_of_sending_leaves_the_rest_to_the_other(browsers):
    context = browsers.signed_in()
    left = browsers.window(context).visit("/")
    path = left.begin()
    right = browsers.window(context).visit(path)
    for number in range(20):
        left.say(f"line {number}")
    left.page.close()
    assert said_by_user(right, 40) == [f"line {number}" for number in range(20)]


def test_a_page_that_cannot_be_had_is_replaced_by_one_that_says_so_and_comes_back_by_itself(browsers):
    context = browsers.signed_in()
    window = browsers.window(context).visit("/")
    path = window.begin()
    window.page.evaluate("navigator.serviceWorker.ready")
    context.set_offline(True)
    window.wait_for_state("offline")
    window.say("kept")
    window.page.reload()
    expect(window.page.locator("h1")).to_have_text("Tether cannot be reached")
    expect(window.page.locator("#waiting")).to_have_text("1 message waits in this browser and is sent then.")
    expect(window.page.locator("#state")).to_have_count(0)  # nothing that could be taken for live
    context.set_offline(False)
    window.wait_for_state("live")
    assert window.page.url.endswith(path)
    assert said_by_user(window, 2) == ["kept"]
    assert all(part.startswith(("/offline/", "/static/")) for part in window.page.evaluate(CACHED))


def test_log_out_leaves_nothing_of_the_user_in_the_browser(browsers, cluster):
    context = browsers.signed_in()
    window = browsers.window(context).visit("/")
    path = window.begin()
    window.page.evaluate("navigator.serviceWorker.ready")
    window.page.locator("#say").press_sequentially("a draft")
    context.set_offline(True)
    window.wait_for_state("offline")
    window.say("a secret")
    assert window.page.evaluate(KEPT) == ["a secret"]
    context.set_offline(False)
    window.wait_for_lines(2)
    window.page.locator("#say").press_sequentially("another draft")
    window.sign_out()
    page = window.page
    assert page.evaluate(KEPT) == []
    assert page.evaluate("JSON.stringify(sessionStorage) + JSON.stringify(localStorage)").count("draft") == 0
    assert all(part.startswith(("/offline/", "/static/")) for part in page.evaluate(CACHED))
    page.goto(cluster.address + path)
    assert "/login/" in page.url
    page.go_back()
    assert "a secret" not in page.content()


def test_another_user_of_the_browser_never_sends_what_the_first_had_left(browsers, people):
    """The first one's login ended elsewhere, so the page had no chance to tidy up."""
    context = browsers.signed_in()
    window = browsers.window(context).visit("/")
    window.begin()
    context.set_offline(True)
    window.wait_for_state("offline")
    window.say("not yours")
    window.page.close()
    context.set_offline(False)
    context.clear_cookies()
    stranger = browsers.window(context)
    username, _ = next(people)
    stranger.sign_in(username, PASSWORD)
    stranger.wait_for_state("live")
    stranger.begin()
    assert stranger.page.evaluate(KEPT) == []
    expect(stranger.page.locator("#pending .message")).to_have_count(0)


def test_signing_out_on_an_account_page_leaves_nothing_behind_after_a_question(browsers):
    context = browsers.signed_in()
    window = browsers.window(context).visit("/")
    path = window.begin()
    context.route_web_socket("**/ws/", lambda socket: socket.close())
    window.page.goto(window.address + path)
    window.say("mine alone")
    window.page.wait_for_function(f"async () => (await ({KEPT})()).length === 1")
    asked = []

    def answer(dialog):
        asked.append(dialog.message)
        dialog.dismiss() if len(asked) == 1 else dialog.accept()

    window.page.on("dialog", answer)
    window.page.goto(f"{window.address}/account/")
    window.page.evaluate("sessionStorage.setItem('tether.draft.x', 'mine too')")
    with window.page.expect_event("dialog"):
        window.page.get_by_role("button", name="Sign out").click()
    assert window.page.evaluate(KEPT) == ["mine alone"]
    window.page.get_by_role("button", name="Sign out").click()
    window.page.wait_for_url("**/login/")
    assert (len(asked), window.page.evaluate(KEPT)) == (2, [])
    assert window.page.evaluate("[sessionStorage.length, JSON.stringify(localStorage).includes('mine')]") == [0, False]
