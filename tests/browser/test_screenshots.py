import os
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .window import PATIENCE_MS

pytestmark = pytest.mark.timeout(180)
# `make screenshots` keeps the pictures for the documents; otherwise they show only that they can be taken.
PICTURES = Path(__file__).parents[2] / "docs" / "screenshots"
SIZES = {"desk": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")
WITH_A_TABLE = """**two teas for the morning**

| tea | minutes | caffeine |
| --- | --- | --- |
| Assam | 4 | 60 mg |
| Sencha | 1.5 | 30 mg |

```python
def brew(leaves, minutes=4):
    return pour(leaves, boil(water), minutes)  # never squeeze
```"""


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
    window.say(WITH_A_TABLE)
    expect(window.page.locator("#lines td").last).to_be_visible(timeout=PATIENCE_MS)
    window.say("/approve order 200 g of Assam")
    expect(window.page.locator("#writing .approve")).to_be_visible(timeout=PATIENCE_MS)
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


def test_the_pages_of_an_account_fit_their_windows(browsers, take):
    window = browsers()
    for path, name in (("", "profile"), ("devices/", "devices")):
        window.page.goto(f"{window.address}/account/{path}")
        take(window.page, name)
    window.page.goto(f"{window.address}/two-factor/")
    take(window.page, "second-factor")


def test_a_shared_page_fits_its_window(browsers, take):
    window = browsers()
    with_a_past(window)
    window.choose("share")
    window.page.click("#share-make")
    link = window.page.locator("#share-items a").get_attribute("href")
    reader = browsers.window(browsers.context())
    wait_for(reader, link, ".message")
    take(reader.page, "shared")


def test_the_pages_of_the_operator_fit_their_windows(browsers, cluster, operator, take):
    person = browsers()
    with_a_past(person)
    person.say("/fail")
    expect(person.page.locator("#lines")).to_contain_text("No answer", timeout=PATIENCE_MS)
    context = browsers.context()
    context.add_cookies([{"name": "sessionid", "value": operator, "url": cluster.address}])
    window = browsers.window(context)
    listed = "conversations/conversation/"
    wait_for(window, f"{window.address}/admin/conversations/turn/attention/", "td.words")  # archived by then
    take(window.page, "admin-attention")
    window.page.get_by_role("button", name="try again").first.click()
    conversation = person.page.url.rstrip("/").rpartition("/")[2]
    for path, name in (
        ("", "admin"),
        (listed, "admin-conversations"),
        (f"{listed}{conversation}/timeline/", "admin-timeline"),
        ("conversations/installation/nodes/", "admin-nodes"),
        (f"{listed}charts/", "admin-charts"),
        ("conversations/auditentry/", "admin-audit"),
    ):
        window.page.goto(f"{window.address}/admin/{path}")
        if name == "admin-timeline":  # of which the journal tells, too
            window.page.get_by_role("button", name="Check consistency").click()
            expect(window.page.locator(".report .good")).to_be_visible()
        take(window.page, name)


def wait_for(window, address, selector):
    """Load until it is there: the archive is a moment behind."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    window.page.goto(address)
    while not window.page.locator(selector).count():
        assert time.monotonic() < deadline, selector
        window.page.reload()


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
