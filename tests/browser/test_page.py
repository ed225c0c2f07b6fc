import json
import re

import pytest
from playwright.sync_api import expect
from websockets.sync.client import connect

from .conftest import PASSWORD

pytestmark = pytest.mark.timeout(180)


def test_signing_in_asks_for_the_right_password_and_signing_out_ends_that_login_only(browsers):
    elsewhere = browsers()
    here = browsers.window(browsers.context())
    here.sign_in(browsers.username, "wrong")
    expect(here.page.get_by_role("alert")).to_be_visible()
    here.sign_in(browsers.username, PASSWORD)
    here.wait_for_state("live")
    beside = browsers.window(here.page.context).visit("/")
    profile = browsers.window(here.page.context)
    profile.page.goto(f"{profile.address}/account/")
    without_socket = browsers.window(here.page.context)
    without_socket.page.route_web_socket("**/ws/", lambda socket: None)
    without_socket.page.goto(f"{beside.address}{beside.begin()}")
    expect(without_socket.page.locator("#items .item").first).to_be_attached()
    here.sign_out()
    for window in (beside, profile, without_socket):
        window.wait_until_signed_out()
    elsewhere.wait_for_state("live")
    beside.page.get_by_role("link", name="Sign in").click()
    expect(beside.page).to_have_url(re.compile(r"/login/\?next=(/|%2F)c(/|%2F)"))


def test_signing_out_on_an_account_page_empties_the_chat_in_other_tabs_at_once(browsers):
    chat = browsers()
    chat.begin()
    chat.say("for nobody else to read")
    chat.wait_for_lines(2)
    account = browsers.window(chat.page.context)
    account.page.goto(f"{account.address}/account/")
    account.page.get_by_role("button", name="Sign out").click()
    chat.wait_until_signed_out()
    assert "nobody else" not in chat.page.content() + chat.page.title()
    assert chat.page.evaluate("sessionStorage.length") == 0


def test_a_phone_shows_the_connection_in_the_list_and_beside_a_title_that_keeps_its_room(browsers):
    window = browsers()
    page = window.page
    window.begin()
    window.choose("rename")
    window.confirm("A rather long title that wants the whole line for itself")
    expect(page.locator("#title")).to_have_text(re.compile("rather long"))
    for width, height in ((360, 740), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        room = page.locator("#title").bounding_box()["width"]
        page.evaluate("dispatchEvent(new Event('offline'))")
        window.wait_for_state("offline")
        expect(page.locator("#state .words")).to_be_visible()
        assert page.locator("#title").bounding_box()["width"] >= room > width / 2
        page.click(".bar .back")
        expect(page.locator(".sidebar .state")).to_have_attribute("data-state", "offline")
        expect(page.locator(".sidebar .state .words")).to_have_text(re.compile("Offline"))
        expect(page.locator("#banner")).to_contain_text("You are offline")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator(".sidebar .state")).to_have_attribute("data-state", "live")
        expect(page.locator("#banner")).to_be_hidden()
        page.go_back()


def test_times_are_in_the_zone_that_was_chosen(browsers):
    window = browsers()
    path = window.begin()
    window.say("what time is it")
    window.wait_for_lines(2)
    shown = {}
    for zone in ("Asia/Tokyo", "America/New_York"):
        window.page.goto(f"{window.address}/account/")
        window.page.select_option("[name=time_zone]", zone)
        window.page.get_by_role("button", name="Save").click()
        expect(window.page.locator(".said")).to_be_visible()
        window.visit(path)
        time = window.page.locator("#lines time").first
        expect(time).not_to_have_text("")
        options = "{ dateStyle: 'medium', timeStyle: 'short', timeZone: zone }"
        told = f"(time, zone) => new Intl.DateTimeFormat('en', {options}).format(new Date(time.dateTime))"
        expect(time).to_have_attribute("title", time.evaluate(told, zone))
        shown[zone] = time.get_attribute("title")
    assert shown["Asia/Tokyo"] != shown["America/New_York"]


def test_a_conversation_is_renamed_and_its_topic_switched_in_every_window(both):
    first, _ = both
    first.choose("rename")
    first.confirm("Tea & <b>biscuits</b>")
    first.choose("topic")
    first.confirm("kettles")
    for window in both:
        expect(window.page.locator("#title")).to_have_text("Tea & <b>biscuits</b>")
        expect(window.page.locator("#topic")).to_have_text("kettles")
        expect(window.page.locator("#items [aria-current] .title")).to_have_text("Tea & <b>biscuits</b>")


def test_a_new_conversation_gets_its_title_from_what_was_said(both):
    first, second = both
    first.say("A walk in the rain")
    for window in both:
        expect(window.page.locator("#title")).to_have_text("A walk in the rain", timeout=20_000)
    assert second.titles()[0] == "A walk in the rain"


def test_clearing_asks_first_and_then_erases_everywhere(both):
    first, second = both
    first.say("a secret")
    second.wait_for_lines(2)
    first.choose("clear")
    first.page.keyboard.press("Escape")
    assert len(first.lines()) == 2
    first.choose("clear")
    first.confirm()
    for window in both:
        window.wait_for_lines(0)
    first.say("afterwards")
    assert second.wait_for_lines(2)[0] == ("user", "afterwards")


def test_a_deleted_conversation_comes_back_by_undo(both):
    first, second = both
    first.say("keep me")
    second.wait_for_lines(2)
    first.choose("delete")
    expect(second.page.locator("#banner")).to_contain_text("deleted")
    first.page.click("#toast button")
    for window in both:
        expect(window.page.locator("#composer")).to_be_visible()
        assert window.wait_for_lines(2)[0] == ("user", "keep me")


def test_an_empty_field_is_one_line_high_and_grows_with_what_is_written(browsers):
    window = browsers()
    window.begin()
    field = window.page.locator("#say")
    low = field.bounding_box()["height"]
    field.fill("one\ntwo\nthree")
    assert low > 20
    assert field.bounding_box()["height"] > low + 30


def test_enter_sends_shift_enter_does_not_and_neither_does_an_input_method(both):
    first, _ = both
    field = first.page.locator("#say")
    field.press_sequentially("one")
    field.press("Shift+Enter")
    field.press_sequentially("two")
    composing = {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True}
    field.evaluate("(field, init) => field.dispatchEvent(new KeyboardEvent('keydown', init))", composing)
    assert field.input_value() == "one\ntwo"
    field.press("Enter")
    assert first.wait_for_lines(2)[0] == ("user", "one\ntwo")


def test_markup_in_a_message_is_shown_and_not_run(both):
    first, second = both
    text = "<img src=x onerror=alert(1)> & <b>bold</b>"
    first.say(text)
    assert second.wait_for_lines(2)[0] == ("user", text)
    assert second.page.locator("#lines img").count() == 0


def test_scrolling_up_brings_older_messages_without_losing_the_place(browsers):
    window = browsers()
    say_many(browsers, window.begin().split("/")[2], 120)
    window.visit("/").page.locator("#items a").first.click()
    expect(window.page.locator("#lines .text").last).to_have_text("message 119")
    assert len(window.wait_for_lines(50)) == 50
    place = window.scroll_to(200)
    window.wait_for_lines(100)
    assert window.top_of("message 70") == pytest.approx(place, abs=2)
    window.scroll_to(0)
    assert [text for _, text in window.wait_for_lines(120)] == [f"message {n}" for n in range(120)]


def test_the_page_paints_its_messages_before_any_script_runs(both, browsers):
    first, _ = both
    first.say("painted")
    first.wait_for_lines(2)
    signed_in = first.page.context.storage_state()
    plain = browsers.context(storage_state=signed_in, java_script_enabled=False)
    expect_painted(plain.new_page(), first.page.url)


def expect_painted(page, path):
    """The archive follows within seconds; until it does, a reload is how a reader would look again."""
    for _ in range(20):
        page.goto(path)
        if page.locator("#lines .message").count() == 2:
            return
        page.wait_for_timeout(500)
    raise AssertionError("the archived messages were not painted")


def say_many(browsers, conversation_id, count):
    """Say so many texts without asking the assistant, one after the other."""
    token = browsers.cluster.installation.token(browsers.username)
    with connect(browsers.cluster.address.replace("http", "ws") + "/ws/") as wire:
        wire.send(json.dumps({"type": "auth", "device_id": "teller", "token": token, "open": {}}))
        wait_for(wire, "system")
        for number in range(count):
            text = {"type": "text", "client_id": f"m{number}", "content": f"message {number}"}
            wire.send(json.dumps({**text, "conversation_id": conversation_id, "respond": False}))
            wait_for(wire, "ack")


def wait_for(wire, kind):
    while True:
        frames = json.loads(wire.recv(timeout=20))
        if kind in [frame["type"] for frame in (frames if isinstance(frames, list) else [frames])]:
            return
