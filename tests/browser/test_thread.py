"""The conversation and its composer: long histories, drafts that follow, ratings and links."""

import json

import pytest
from playwright.sync_api import expect
from websockets.sync.client import connect

from .test_page import wait_for

pytestmark = pytest.mark.timeout(180)
PATIENCE_MS = 20_000

# Which line is read at the top, and where it stands.
PLACE = """thread => {
  const { top } = thread.getBoundingClientRect();
  for (const line of thread.querySelectorAll("#lines .message")) {
    const box = line.getBoundingClientRect();
    if (box.bottom > top) return { text: line.querySelector(".text").textContent, at: box.top };
  }
}"""
WHERE = """(thread, text) => [...thread.querySelectorAll("#lines .message")]
  .find((line) => line.querySelector(".text").textContent === text)?.getBoundingClientRect().top"""


def say_thousands(browsers, conversation_id, count):
    """Say so many texts without asking the assistant, fifty at a time."""
    token = browsers.cluster.installation.token(browsers.username)
    with connect(browsers.cluster.address.replace("http", "ws") + "/ws/") as wire:
        wire.send(json.dumps({"type": "auth", "device_id": "teller", "token": token, "open": {}}))
        wait_for(wire, "system")
        received = 0  # at least so many
        for first in range(0, count, 50):
            about = {"type": "text", "conversation_id": conversation_id, "respond": False}
            texts = [{**about, "client_id": f"m{n}", "content": f"message {n}"} for n in range(first, first + 50)]
            wire.send(json.dumps([*texts, {"type": "received", "frames": received}]))
            acked = 0
            while acked < len(texts):
                frames = json.loads(wire.recv(timeout=20))
                received += 1
                frames = frames if isinstance(frames, list) else [frames]
                acked += sum(frame["type"] == "ack" for frame in frames)


def test_five_thousand_messages_scroll_without_a_jump_and_the_document_stays_small(browsers):
    window = browsers()
    path = window.begin()
    say_thousands(browsers, path.split("/")[2], 5000)
    window.visit(path)
    expect(window.page.locator("#lines .text").last).to_have_text("message 4999", timeout=PATIENCE_MS)
    thread = window.page.locator("#thread")
    first_shown = "() => Number(document.querySelector('#lines .text').textContent.split(' ')[1])"
    most, steps = 0, 0
    oldest = window.page.evaluate(first_shown)
    while oldest > 0 and steps < 200:
        steps += 1
        # Nearly at the top of what is shown: the line that is read must stay where it is while others come above it.
        place = thread.evaluate(f"thread => {{ thread.scrollTop = 60; return ({PLACE})(thread) }}")
        window.page.wait_for_function(
            f"before => ({first_shown})() < before || before === 0", arg=oldest, timeout=PATIENCE_MS
        )
        assert thread.evaluate(WHERE, place["text"]) == pytest.approx(place["at"], abs=2), (steps, place)
        oldest = window.page.evaluate(first_shown)
        most = max(most, window.page.locator("#lines .message").count())
    assert (oldest, most <= 200) == (0, True), (oldest, most)
    window.page.click("#newest")
    expect(window.page.locator("#lines .text").last).to_have_text("message 4999")
    window.say("back at the end")
    expect(window.page.locator("#lines .message[data-role=assistant]").last).to_contain_text("back at the end")


def test_who_reads_above_is_not_moved_by_what_comes_and_jumps_to_the_newest(both, browsers):
    window, second = both
    say_thousands(browsers, window.page.url.split("/")[4], 50)
    expect(window.page.locator("#lines .text").last).to_have_text("message 49", timeout=PATIENCE_MS)
    window.say("/words 900")
    window.wait_for_writing("w3")
    thread = window.page.locator("#thread")
    window.page.mouse.move(700, 400)
    window.page.mouse.wheel(0, -600)
    expect(window.page.locator("#newest")).to_be_visible()
    place, height = thread.evaluate(PLACE), thread.evaluate("thread => thread.scrollHeight")
    grown = "h => document.querySelector('#thread').scrollHeight > h + 60"
    window.page.wait_for_function(grown, arg=height, timeout=PATIENCE_MS)
    assert thread.evaluate(WHERE, place["text"]) == pytest.approx(place["at"], abs=2)
    window.page.click("#newest")
    expect(window.page.locator("#newest")).to_be_hidden()
    assert thread.evaluate("t => t.scrollHeight - t.scrollTop - t.clientHeight") < 2
    second.page.locator("#writing .stop").click()
    expect(window.page.locator("#writing .message")).to_have_count(0, timeout=PATIENCE_MS)


def test_a_draft_follows_to_the_other_device_and_leaves_it_when_it_is_sent(both):
    first, second = both
    first.page.fill("#say", "half a thought")
    expect(second.page.locator("#say")).to_have_value("half a thought", timeout=PATIENCE_MS)
    second.page.fill("#say", "half a thought, completed")
    expect(first.page.locator("#say")).to_have_value("half a thought, completed", timeout=PATIENCE_MS)
    second.page.reload()
    expect(second.page.locator("#say")).to_have_value("half a thought, completed", timeout=PATIENCE_MS)
    first.page.press("#say", "Enter")
    expect(second.page.locator("#say")).to_have_value("", timeout=PATIENCE_MS)
    assert second.wait_for_lines(2)[0] == ("user", "half a thought, completed")


def test_each_conversation_keeps_its_own_draft(browsers):
    window = browsers()
    one = window.begin()
    window.page.fill("#say", "about tea")
    window.begin()
    expect(window.page.locator("#say")).to_have_value("")
    window.page.locator(f"#items a[href='{one}']").click()
    expect(window.page.locator("#say")).to_have_value("about tea")


def test_an_input_method_keeps_its_enter(browsers):
    window = browsers()
    window.begin()
    window.page.focus("#say")
    devtools = window.page.context.new_cdp_session(window.page)
    devtools.send("Input.imeSetComposition", {"text": "に", "selectionStart": 1, "selectionEnd": 1})
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    devtools.send("Input.insertText", {"text": "日本"})
    expect(window.page.locator("#say")).to_have_value("日本")
    assert window.page.locator("#pending .message, #lines .message").count() == 0
    window.page.press("#say", "Enter")
    assert window.wait_for_lines(2)[0] == ("user", "日本")


def test_a_rating_shows_on_the_other_device_and_after_a_reload_and_takes_a_comment(both):
    first, second = both
    first.say("rate me")
    second.wait_for_lines(2)
    first.page.locator("#lines [data-rate=down]").click()
    pressed = second.page.locator("#lines [data-rate=down]")
    expect(pressed).to_have_attribute("aria-pressed", "true", timeout=PATIENCE_MS)
    first.page.click("#toast button")
    first.page.fill("#ask-long", "too short")
    first.confirm()
    expect(first.page.locator("#toast")).to_contain_text("that helps")
    second.page.reload()
    expect(pressed).to_have_attribute("aria-pressed", "true", timeout=PATIENCE_MS)
    second.page.locator("#lines [data-remark]").click()
    expect(second.page.locator("#ask-long")).to_have_value("too short")
    second.page.keyboard.press("Escape")
    pressed.click()
    expect(second.page.locator("#lines [data-remark]")).to_have_count(0)
    expect(first.page.locator("#lines [data-rate=down]")).to_have_attribute(
        "aria-pressed", "false", timeout=PATIENCE_MS
    )


def test_a_link_is_read_without_login_or_script_until_it_is_taken_back(browsers):
    window = browsers()
    window.begin()
    window.say("shared **words**")
    window.wait_for_lines(2)
    window.choose("share")
    window.page.click("#share-make")
    link = window.page.locator("#share-items a").get_attribute("href")
    stranger = browsers.window(browsers.context(java_script_enabled=False)).page
    expect_archived(stranger, link, "echo: shared words")
    assert stranger.locator(".message strong").text_content() == "words"
    window.page.locator("#share-items .take-back").click()
    expect(window.page.locator("#no-shares")).to_be_visible()
    answer = stranger.goto(link)
    assert (answer.status, stranger.get_by_text("shared words").count()) == (404, 0)


def expect_archived(page, link, text):
    """The archive follows within seconds; until it does, a reload is how a reader would look again."""
    for _ in range(20):
        page.goto(link)
        if page.get_by_text(text).count():
            return
        page.wait_for_timeout(500)
    raise AssertionError("the shared transcript did not show")


def test_a_page_that_is_painted_whole_asks_for_no_renderer_until_it_is_needed(browsers):
    window = browsers()
    path = window.begin()
    window.say("# A heading\n\nwith *words*")
    window.wait_for_lines(2)
    page = browsers.window(browsers.context(storage_state=window.page.context.storage_state())).page
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(20):  # until it is archived
        asked.clear()
        page.goto(window.address + path)
        expect(page.locator("#state")).to_have_attribute("data-state", "live", timeout=PATIENCE_MS)
        if page.locator("[data-painted]").count():
            break
        page.wait_for_timeout(500)
    expect(page.locator("#lines .message .text em")).to_have_text("words")
    assert [url for url in asked if "/vendor/" in url] == []
    page.fill("#say", "more")
    page.wait_for_function("() => globalThis.DOMPurify")


def test_a_failed_answer_says_why_and_is_tried_again_in_its_place(both):
    first, second = both
    first.say("/fail")
    failed = "#lines .notice[data-kind='turn.failed']"
    for window in both:
        expect(window.page.locator(failed)).to_contain_text("No answer", timeout=PATIENCE_MS)
    first.page.locator(f"{failed} .again").click()
    # The question was asked anew, and what had failed gave way to it, on both devices.
    expect(second.page.locator("#lines .message")).to_have_count(1, timeout=PATIENCE_MS)
    for window in both:
        expect(window.page.locator(failed)).to_have_count(1, timeout=PATIENCE_MS)
        expect(window.page.locator(f"{failed} .again")).to_be_enabled(timeout=PATIENCE_MS)
    second.page.reload()
    expect(second.page.locator(f"{failed} .again")).to_be_enabled(timeout=PATIENCE_MS)
    expect(second.page.locator(failed)).to_contain_text("as /fail asked it to")
    first.say("something else")
    assert second.wait_for_lines(3)[-1] == ("assistant", "echo: something else")
    expect(second.page.locator(f"{failed} .again")).to_have_count(0)


def test_what_stood_between_the_messages_stands_there_after_a_reload_painted_before_any_script_runs(both, browsers):
    first, second = both
    first.choose("topic")
    first.confirm("Tea")
    first.say("/approve cake")
    first.page.locator("#writing .approve").click()
    first.wait_for_lines(2)
    first.say("/fail")
    notices = "#lines .notice"
    expect(first.page.locator(notices)).to_have_count(3, timeout=PATIENCE_MS)
    read = "all => all.map(line => line.firstChild.data.trim())"
    seen = first.page.locator(notices).evaluate_all(read)
    assert seen[:2] == ["Topic: Tea", "Approved."]
    assert seen[2].startswith("No answer: The model failed, as /fail asked it to.")
    second.page.reload()
    second.wait_for_state("live")
    expect(second.page.locator(f"{notices} .again")).to_be_enabled(timeout=PATIENCE_MS)
    assert second.page.locator(notices).evaluate_all(read) == seen
    plain = browsers.signed_in(locale="zh-CN", java_script_enabled=False).new_page()
    expect_archived(plain, first.page.url, "模型按 /fail 的要求失败了")
    assert plain.locator(notices).evaluate_all(read)[:2] == ["话题：Tea", "已批准。"]


def test_the_steps_before_an_answer_are_seen_while_they_happen(both):
    first, second = both
    first.say("/steps 25")
    for window in both:
        expect(window.page.locator("#writing .steps")).to_contain_text("Works on it", timeout=PATIENCE_MS)
    assert first.wait_for_lines(2)[1] == ("assistant", "steps: 25")
    expect(second.page.locator("#writing .steps")).to_have_count(0)


def test_the_model_and_the_instructions_are_chosen_and_kept(both):
    first, second = both
    first.choose("assistant")
    expect(first.page.locator("#assistant-model")).to_have_value("scripted")
    first.page.select_option("#assistant-model", "local")
    first.page.fill("#assistant-instructions", "be brief")
    first.page.fill("#assistant-own", "call me Ada")
    first.page.click("#assistant .primary")
    expect(first.page.locator("#toast")).to_contain_text("next answer")
    second.choose("assistant")
    kept = {"#assistant-model": "local", "#assistant-instructions": "be brief", "#assistant-own": "call me Ada"}
    for field, value in kept.items():
        expect(second.page.locator(field)).to_have_value(value)
