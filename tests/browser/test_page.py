import json

import pytest
from playwright.sync_api import expect
from websockets.sync.client import connect

pytestmark = pytest.mark.timeout(180)


def test_signing_out_closes_the_other_window_of_that_login_only(browsers):
    here, elsewhere = browsers(), browsers()
    beside = browsers(here.page.context).visit("/")
    here.sign_out()
    beside.wait_for_state("signed_out")
    expect(beside.page.locator("#banner a")).to_have_text("Sign in")
    elsewhere.wait_for_state("live")


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
        assert window.wait_for_lines(2)[0] == ("user", "keep me")
        expect(window.page.locator("#composer")).to_be_visible()


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


def test_scrolling_up_brings_older_messages_without_losing_the_place(both, cluster, user):
    first, _ = both
    conversation_id = first.page.url.split("/c/")[1].strip("/")
    say_many(cluster, user, conversation_id, 120)
    first.page.reload()
    expect(first.page.locator("#lines .message").last).to_have_text("message 119", use_inner_text=True)
    assert len(first.lines()) < 120
    first.page.locator("#thread").evaluate("thread => { thread.scrollTop = 0 }")
    first.page.wait_for_function("document.querySelectorAll('#lines .message').length > 60")
    assert first.page.locator("#thread").evaluate("thread => thread.scrollTop") > 0


def test_the_page_paints_its_messages_before_any_script_runs(both, chromium):
    first, _ = both
    first.say("painted")
    first.wait_for_lines(2)
    path = first.page.url
    state = first.page.context.storage_state()
    context = chromium.new_context(storage_state=state, java_script_enabled=False)
    page = context.new_page()
    try:
        expect_painted(page, path)
    finally:
        context.close()


def expect_painted(page, path):
    """The archive follows within seconds; until it does, a reload is how a reader would look again."""
    for _ in range(20):
        page.goto(path)
        if page.locator("#lines .message").count() == 2:
            return
        page.wait_for_timeout(500)
    raise AssertionError("the archived messages were not painted")


def say_many(cluster, user, conversation_id, count):
    token = cluster.installation.token(user)
    url = cluster.address.replace("http", "ws") + "/ws/"
    texts = [{"type": "text", "client_id": f"m{n}", "content": f"message {n}", "respond": False} for n in range(count)]
    with connect(url) as wire:
        wire.send(json.dumps({"type": "auth", "device_id": "seeder", "token": token, "open": {}}))
        for text in texts:
            wire.send(json.dumps({**text, "conversation_id": conversation_id}))
        acks = 0
        while acks < count:
            frames = json.loads(wire.recv(timeout=20))
            frames = frames if isinstance(frames, list) else [frames]
            assert not [frame for frame in frames if frame["type"] == "error"], frames
            acks += sum(frame["type"] == "ack" for frame in frames)
