"""Another answer, an edited message, a fork, and a look at what was replaced, as a person does it."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)
PATIENCE_MS = 20_000


def press(window, verb, line):
    message = window.page.locator("#lines .message").nth(line)
    message.hover()
    message.locator(f"[data-verb={verb}]").click(timeout=PATIENCE_MS)


def wait_for(window, *texts):
    shown = window.page.locator("#lines .message .text")
    expect(shown).to_have_text(list(texts), timeout=PATIENCE_MS, use_inner_text=True)


def test_an_answer_anew_an_edit_and_a_fork_are_seen_on_both_devices(both):
    first, second = both
    first.say("hello")
    wait_for(second, "hello", "echo: hello")
    press(second, "regenerate", 1)
    first.choose("replaced")
    wait_for(first, "hello", "echo: hello", "echo: hello")
    wait_for(second, "hello", "echo: hello")
    press(second, "edit", 0)
    second.page.fill("#ask-long", "good\nday")
    second.confirm()
    wait_for(second, "good\nday", "echo: good\nday")
    wait_for(first, "hello", "echo: hello", "echo: hello", "good\nday", "echo: good\nday")
    assert first.page.locator("#lines [data-replaced=true]").count() == 3
    before = second.page.url
    press(second, "fork", 0)
    second.page.wait_for_url(lambda url: "/c/" in url and url != before)
    wait_for(second, "good\nday")
    second.say("and on")
    wait_for(second, "good\nday", "and on", "echo: and on")
    wait_for(first, "hello", "echo: hello", "echo: hello", "good\nday", "echo: good\nday")
