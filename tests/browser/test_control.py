"""Stop, approve and decline, as a person does it."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)
PATIENCE_MS = 20_000


def question(window):
    return window.page.locator("#writing .question")


def wait_for_question(*windows):
    for window in windows:
        expect(question(window)).to_be_visible(timeout=PATIENCE_MS)


def test_an_answer_is_stopped_on_one_device_and_ends_on_both(both):
    first, second = both
    first.say("/words 900")
    for window in both:
        window.wait_for_writing("w5")
    second.page.locator("#writing .stop").click()
    for window in both:
        (_, (role, text)) = window.wait_for_lines(2)
        assert (role, text.startswith("w1 w2 w3 w4 w5")) == ("assistant", True)
        expect(window.page.locator("#lines .message[data-status=cancelled] .note")).to_contain_text("Stopped")
    first.say("still there?")
    assert second.wait_for_lines(4)[-1] == ("assistant", "echo: still there?")


def expect_at_the_field(window):
    expect(window.page.locator("#say")).to_be_focused(timeout=PATIENCE_MS)


def test_keys_alone_stop_approve_try_again_and_lead_back_to_the_field(browsers):
    window = browsers()
    window.begin()
    keys = window.page.locator
    window.say("/words 900")
    window.wait_for_writing("w2")
    keys("#writing .stop").press("Enter")
    expect_at_the_field(window)
    window.wait_for_lines(2)
    expect_at_the_field(window)
    keys("#lines [data-verb=regenerate]:visible").press("Enter")
    window.wait_for_writing("w2")
    expect_at_the_field(window)
    keys("#writing .stop").press("Enter")
    expect(keys("#writing .message")).to_have_count(0, timeout=PATIENCE_MS)
    window.say("/approve tea")
    wait_for_question(window)
    keys("#writing .approve").press("Enter")
    expect_at_the_field(window)
    expect(keys("#lines .message").last.locator(".text")).to_have_text("approved: tea", timeout=PATIENCE_MS)
    window.say("/fail")
    keys("#lines .again").press("Enter")
    expect(keys("#lines .again")).to_be_enabled(timeout=PATIENCE_MS)
    expect_at_the_field(window)
    keys("#lines [data-verb=edit]:visible").last.press("Enter")
    window.confirm("hello")
    expect(keys("#lines .message").last.locator(".text")).to_contain_text("echo: hello", timeout=PATIENCE_MS)
    expect_at_the_field(window)


def test_a_silent_model_can_be_stopped(both):
    first, second = both
    first.say("/slow 30")
    second.page.locator("#writing .stop").click()
    for window in both:
        expect(window.page.locator("#lines .notice[data-kind='turn.cancelled']")).to_be_visible(timeout=PATIENCE_MS)
        expect(window.page.locator("#writing .message")).to_have_count(0)


def test_an_approval_on_one_device_closes_the_question_on_the_other(both):
    first, second = both
    first.say("/approve <b>cake</b>")
    wait_for_question(*both)
    for window in both:
        expect(question(window).locator(".asks")).to_contain_text("approve")
        expect(question(window).locator("dd")).to_have_text("<b>cake</b>")
        expect(window.page.locator("#writing .steps")).to_have_text("Asks for a decision")
    second.page.locator("#writing .approve").click()
    for window in both:
        expect(question(window)).to_have_count(0, timeout=PATIENCE_MS)
        assert window.wait_for_lines(2)[1] == ("assistant", "approved: <b>cake</b>")
        expect(window.page.locator("#lines .notice[data-kind='turn.answered']")).to_have_text("Approved.")


def test_a_question_is_declined_by_its_button_and_by_writing_on(both):
    first, second = both
    first.say("/approve cake")
    wait_for_question(*both)
    first.page.locator("#writing .decline").click()
    assert second.wait_for_lines(2)[1] == ("assistant", "declined: cake")
    first.say("/approve tea")
    wait_for_question(*both)
    second.say("never mind")
    seen = first.wait_for_lines(6)
    assert [text for role, text in seen if role == "assistant"][1:] == ["declined: tea", "echo: never mind"]


def test_a_question_is_still_there_after_a_reload(both):
    first, second = both
    first.say("/approve cake")
    wait_for_question(*both)
    second.page.reload()
    wait_for_question(second)
    expect(question(second).locator("dd").first).to_have_text("cake")
    second.page.locator("#writing .approve").click()
    assert first.wait_for_lines(2)[1] == ("assistant", "approved: cake")
