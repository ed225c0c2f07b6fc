import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)
# `make screenshots` keeps the pictures for the documents; otherwise they show only that they can be taken.
PICTURES = Path(__file__).parents[2] / "docs" / "screenshots"
SIZES = {"desk": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")


@pytest.fixture
def take(tmp_path):
    """Take a page's picture in each size and scheme, and see that it fits the window."""
    folder = PICTURES if os.environ.get("SCREENSHOTS") else tmp_path

    def take(page, name):
        for size, viewport in SIZES.items():
            page.set_viewport_size(viewport)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", animations="disabled")
            assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"], size

    return take


def test_the_conversation_fits_its_window(browsers, take):
    window = browsers()
    with_a_past(window)
    take(window.page, "conversation")
    assert window.page.locator("#say").bounding_box()["y"] < SIZES["phone"]["height"]


def test_the_list_fits_its_window(browsers, take):
    window = browsers()
    with_a_past(window)
    other = browsers("/")
    expect(other.page.locator("#here")).to_be_visible()
    expect(other.page.locator(".item .pinned:visible")).to_have_count(1)
    take(other.page, "start")
    other.page.set_viewport_size(SIZES["desk"])
    other.page.fill("#query", "tea")
    expect(other.page.locator("#no-hits")).to_have_text(re.compile("found"))
    take(other.page, "search")


def test_the_list_of_keys_fits_its_window(browsers, take):
    window = browsers()
    window.page.keyboard.press("Control+/")
    take(window.page, "keys")


def test_signing_in_and_having_no_network_fit_their_windows(browsers, take):
    window = browsers.window(browsers.context())
    for path, name in (("/login/", "sign-in"), ("/offline/", "offline")):
        window.page.goto(window.address + path)
        take(window.page, name)


def with_a_past(window):
    """Some conversations, the first of them pinned, the last of them open."""
    for said in ("Which tea keeps me awake?", "Plans for the garden", "Good morning! Where were we?"):
        window.begin()
        window.say(said)
        window.wait_for_lines(2)
        expect(window.page.locator("#title")).to_have_text(said, timeout=20_000)
    item = window.item("Which tea")
    window.item_verb(item, "pin")
    expect(window.page.locator("#items .title").first).to_have_text("Which tea keeps me awake?")
