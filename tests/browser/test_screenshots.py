import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)
# `make screenshots` keeps the pictures for the documents; otherwise they show only that they can be taken.
IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZES = {"desk": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
QUESTION = "Good morning! Where were we?"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_conversation_fits_its_window(browsers, tmp_path, scheme, size):
    window = browsers()
    page = window.page
    page.set_viewport_size(SIZES[size])
    page.emulate_media(color_scheme=scheme)
    window.say(QUESTION)  # a newcomer's first conversation is open already
    window.wait_for_lines(2)
    expect(page.locator("#title")).to_have_text(QUESTION, timeout=20_000)
    folder = IMAGES if os.environ.get("SCREENSHOTS") else tmp_path
    page.screenshot(path=folder / f"{size}-{scheme}.png")
    assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size]["width"]
    assert page.locator("#say").bounding_box()["y"] < SIZES[size]["height"]
