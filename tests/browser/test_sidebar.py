import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def three(both):
    """Two windows of a user with three conversations named one, two, three; three is open in the first."""
    first, _ = both
    for title in ("one", "two", "three"):
        if title != "one":
            first.begin()
        first.choose("rename")
        first.confirm(title)
        expect(first.page.locator("#title")).to_have_text(title)
    for window in both:
        for title in ("one", "two", "three"):
            expect(window.item(title)).to_have_count(1)  # so the feed has told of all of it
    return both


def test_what_is_done_to_the_list_is_seen_in_every_window_and_can_be_undone(three):
    first, second = three
    first.item_verb(first.item("one"), "pin")
    for window in three:
        expect(window.page.locator("#items .title").first).to_have_text("one")
    first.item_verb(first.item("two"), "archive")
    for window in three:
        expect(window.item("two")).to_have_count(0)
    second.page.click("#archived")
    expect(second.page.locator("#items .title")).to_have_text(["two"])
    first.page.click("#toast button")
    expect(second.page.locator("#no-archived")).to_be_visible()
    second.page.click("#archived")
    first.item_verb(first.item("one"), "delete")
    for window in three:
        expect(window.item("one")).to_have_count(0)
        expect(window.item("two")).to_have_count(1)
    first.page.click("#toast button")
    for window in three:
        expect(window.item("one").locator(".pinned")).to_be_visible()


def test_a_title_is_written_in_its_place_by_keys_alone(three):
    first, _ = three
    first.page.keyboard.press("Control+k")
    first.page.keyboard.press("ArrowDown")
    expect(first.page.locator("#items a").first).to_be_focused()
    old = first.titles()[0]
    first.page.keyboard.press("F2")
    first.page.keyboard.type("not this")
    first.page.keyboard.press("Escape")
    expect(first.page.locator("#items a").first).to_be_focused()
    assert first.titles()[0] == old
    first.page.keyboard.press("F2")
    first.page.keyboard.type("a better name")
    first.page.keyboard.press("Enter")
    for window in three:
        expect(window.item("a better name")).to_have_count(1)
        expect(window.item(old)).to_have_count(0)


def test_keys_lead_everywhere_and_single_letters_can_be_turned_off(three):
    page = three[0].page
    titles = three[0].titles()
    place = titles.index("three")
    away, back = ("ArrowDown", "ArrowUp") if place == 0 else ("ArrowUp", "ArrowDown")
    page.keyboard.press(f"Alt+{away}")
    expect(page.locator("#title")).to_have_text(titles[1 if place == 0 else place - 1])
    page.keyboard.press(f"Alt+{back}")
    expect(page.locator("#title")).to_have_text("three")
    page.locator("#say").press_sequentially("why?")  # a letter like any other in a field
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.locator("#thread").focus()
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.locator("#single-keys").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    expect(page.locator("#state")).to_have_attribute("data-state", "live")
    page.locator("#thread").focus()
    page.keyboard.press("?")
    page.keyboard.press("Control+/")
    expect(page.locator("#shortcuts")).to_be_visible()
    expect(page.locator("#single-keys")).not_to_be_checked()
    page.keyboard.press("Escape")
    page.keyboard.press("Alt+n")
    expect(page.locator("#title")).to_have_text("New conversation")
    page.locator("#menu-button").press("Enter")
    expect(page.locator("#menu")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#menu")).to_be_hidden()


def test_a_conversation_that_is_not_used_yet_is_used_before_another_is_made(browsers):
    window = browsers()
    first = window.begin()
    expect(window.page.locator("#items .title")).to_have_text(["New conversation"])
    window.leave()
    assert window.begin() == first
    window.page.fill("#say", "half a thought")
    assert window.begin() != first
    expect(window.page.locator("#items .title")).to_have_count(2)


def test_search_finds_titles_and_messages_marks_them_and_says_how_many(three):
    first, _ = three
    first.say("a walk with three dogs")
    first.wait_for_lines(2)
    first.page.fill("#query", "three")
    expect(first.page.locator("#no-hits")).to_have_text("3 found")
    expect(first.page.locator("#hits mark").first).to_have_text("three")
    first.page.fill("#query", "xylophone")
    expect(first.page.locator("#no-hits")).to_have_text("Nothing found.")
    first.page.keyboard.press("Escape")
    expect(first.page.locator("#items .title").first).to_be_visible()


def test_a_list_that_does_not_come_says_so_and_comes_when_asked_again(browsers):
    """The server's answer is replaced on its way, since no real one refuses a list at will."""
    window = browsers.window(browsers.signed_in())
    refuse = {"left": 1}

    def between(socket):
        server = socket.connect_to_server()
        lists = set()

        def sent(message):
            for asked in re.findall(r'"id":"([^"]+)","command":"list_conversations"', message):
                lists.add(asked)
            server.send(message)

        def came(message):
            for asked in lists:
                if refuse["left"] and f'"id":"{asked}"' in message:
                    refuse["left"] -= 1
                    error = '{"type":"error","code":"INTERNAL","message":"","retryable":false,"id":"%s"}'
                    return socket.send(error % asked)
            return socket.send(message)

        socket.on_message(sent)
        server.on_message(came)

    window.page.route_web_socket(re.compile("/ws/"), between)
    window.visit("/")
    expect(window.page.locator("#list-failed")).to_contain_text("an error of ours")
    window.page.click("#list-again")
    expect(window.page.locator("#list-failed")).to_be_hidden()
    window.complaints.clear()  # the page reports the refusal, as it should


def test_other_devices_are_named_as_long_as_they_are_here(browsers):
    first = browsers("/")
    expect(first.page.locator("#here")).to_be_hidden()
    second = browsers("/")
    expect(first.page.locator("#here-list .name")).to_have_text(["Chrome, Linux"])
    assert "node-" not in first.page.locator("body").inner_text()
    first.page.click("#state")
    expect(first.page.locator("[data-detail=devices]")).to_contain_text("node-")
    second.page.context.close()
    expect(first.page.locator("#here")).to_be_hidden()
