import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)
WORDS = " ".join(f"w{number}" for number in range(1, 121))


def test_two_windows_of_one_user_show_the_same_messages_in_the_same_order(both):
    first, second = both
    first.say("one")
    second.say("two")
    seen = first.wait_for_lines(4)
    assert second.wait_for_lines(4) == seen
    assert sorted(seen) == [
        ("assistant", "echo: one"),
        ("assistant", "echo: two"),
        ("user", "one"),
        ("user", "two"),
    ]


def test_an_answer_appears_piece_by_piece_in_both_windows(both):
    first, second = both
    first.say("/words 120")
    for window in both:
        window.wait_for_writing("w5")
        assert len(window.writing().text_content() or "") < len(WORDS)
    assert first.wait_for_lines(2)[1] == ("assistant", WORDS)
    assert second.wait_for_lines(2) == first.lines()


def test_a_page_that_is_reloaded_in_mid_answer_goes_on_with_it(both):
    first, _ = both
    first.say("/words 120")
    first.wait_for_writing("w10 ")
    first.page.reload()
    first.wait_for_writing("w20 ")
    assert first.wait_for_lines(2)[1] == ("assistant", WORDS)


def test_a_node_killed_in_mid_answer_costs_neither_window_a_word(both, cluster):
    first, second = both
    first.say("/words 120")
    for window in both:
        window.wait_for_writing("w20 ")
    cluster.kill_node(first.detail("node"))
    expect(second.page.locator("#writing .note")).to_contain_text("Another node", timeout=20_000)
    for window in both:
        assert window.wait_for_lines(2, seconds=40) == [("user", "/words 120"), ("assistant", WORDS)]
        window.wait_for_state("live")


def test_what_is_written_offline_is_sent_when_the_network_is_back(both):
    first, second = both
    first.page.context.set_offline(True)
    first.wait_for_state("offline")
    first.say("from the tunnel")
    first.say("and out of it")
    expect(first.page.locator("#pending .message")).to_have_count(2)
    second.say("meanwhile")
    second.wait_for_lines(2)
    first.page.context.set_offline(False)
    seen = second.wait_for_lines(6)
    assert first.wait_for_lines(6) == seen
    assert [text for role, text in seen if role == "user"] == ["meanwhile", "from the tunnel", "and out of it"]


def test_a_failed_answer_says_why_and_the_conversation_goes_on(both):
    first, second = both
    first.say("/fail")
    for window in both:
        expect(window.page.locator("#lines .notice[data-kind='turn.failed']")).to_contain_text("No answer")
    second.say("still there?")
    assert first.wait_for_lines(3)[-1] == ("assistant", "echo: still there?")


def test_an_answer_that_comes_while_nobody_looks_is_unread_in_every_list(both):
    first, second = both
    second.leave()
    first.say("/words 40")
    first.wait_for_writing("w1")
    first.begin()
    item = second.page.locator("#items .item", has_text="w1 w2 w3")
    expect(item.locator(".unread")).to_be_visible(timeout=20_000)
    item.click()
    second.wait_for_lines(2)
    for window in both:
        expect(window.page.locator("#items .unread:visible")).to_have_count(0)


def test_what_was_read_just_before_one_goes_elsewhere_is_unread_nowhere(both):
    first, second = both
    second.leave()
    first.say("hello")
    first.wait_for_lines(2)
    first.begin()  # before the list has heard of the answer
    for window in both:
        expect(window.item("hello").locator(".preview")).to_have_text("echo: hello", timeout=20_000)
        expect(window.page.locator("#items .unread:visible")).to_have_count(0)
    second.page.reload()
    second.wait_for_state("live")
    expect(second.item("hello")).to_be_visible()
    expect(second.page.locator("#items .unread:visible")).to_have_count(0)
