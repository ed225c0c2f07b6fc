import json
import re
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone, translation

from conversations.models import Conversation, Member, Message, User
from conversations.words import WORDS

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password="a-good-password")


@pytest.fixture
def browser(ada):
    client = Client()
    client.force_login(ada)
    return client


@pytest.fixture
def conversation(ada):
    return make_conversation(ada, "Tea")


def make_conversation(owner, title, **fields):
    made = Conversation.objects.create(
        owner=owner, title=title, last_active_at=fields.pop("last_active_at", timezone.now()), **fields
    )
    Member.objects.create(conversation=made, user=owner)
    return made


def say(conversation, count):
    """Archive so many messages."""
    for seq in range(1, count + 1):
        Message.objects.create(
            conversation=conversation, seq=seq, message_id=uuid4(), role="user", author="1",
            content=f"message {seq}", at=timezone.now(),
        )  # fmt: skip
    conversation.archived_seq, conversation.archived_chain = count, "c" * 16
    conversation.save()


def start_of(page):
    """What the page's modules are given."""
    return json.loads(re.search(r'id="start" type="application/json">(.*?)</script>', page).group(1))


def shown(browser, conversation):
    return start_of(browser.get(f"/c/{conversation.pk}/").content.decode())["conversation"]


def test_who_is_not_signed_in_is_asked_to_and_comes_back(conversation):
    answer = Client().get(f"/c/{conversation.pk}/")
    assert (answer.status_code, answer["Location"]) == (302, f"/login/?next=/c/{conversation.pk}/")


def test_the_start_page_lists_the_latest_conversations_first(browser, ada, conversation):
    make_conversation(ada, "Older", last_active_at=timezone.now() - timezone.timedelta(days=1))
    page = browser.get("/").content.decode()
    assert [item["title"] for item in start_of(page)["conversations"]] == ["Tea", "Older"]


def test_a_stranger_and_a_made_up_id_get_the_same_answer(conversation):
    stranger = Client()
    stranger.force_login(User.objects.create_user("mallory"))
    answers = [stranger.get(f"/c/{pk}/") for pk in (conversation.pk, uuid4())]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize("gone", [{"status": "deleted"}, {"left_seq": 3}])
def test_a_deleted_conversation_and_one_that_was_left_are_not_shown(browser, conversation, gone):
    model = Member if "left_seq" in gone else Conversation
    model.objects.update(**gone)
    assert browser.get(f"/c/{conversation.pk}/").status_code == 404
    assert start_of(browser.get("/").content.decode())["conversations"] == []


def test_the_first_paint_has_the_newest_messages_and_their_cursor(browser, conversation):
    say(conversation, 60)
    painted = shown(browser, conversation)
    assert [m["content"] for m in painted["messages"]] == [f"message {n}" for n in range(11, 61)]
    assert (painted["cursor"], painted["more"]) == ({"epoch": 1, "seq": 60, "chain": "c" * 16}, True)


def test_messages_beyond_the_cursor_or_before_a_clearing_are_not_painted(browser, conversation):
    say(conversation, 5)
    Conversation.objects.update(archived_seq=4, cleared_seq=2)
    painted = shown(browser, conversation)
    assert ([m["seq"] for m in painted["messages"]], painted["more"]) == ([3, 4], False)


def test_a_conversation_without_an_archive_has_no_cursor(browser, conversation):
    painted = shown(browser, conversation)
    assert (painted["cursor"], painted["messages"]) == (None, [])


def test_markup_in_titles_and_messages_stays_text(browser, ada):
    conversation = make_conversation(ada, "</script><script>alert(1)</script>")
    page = browser.get(f"/c/{conversation.pk}/").content.decode()
    assert "<script>alert" not in page
    assert start_of(page)["conversation"]["title"] == conversation.title


def test_pages_allow_nothing_inline_and_no_other_host(browser):
    answer = browser.get("/")
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    page = answer.content.decode()
    assert not re.search(r"\s(style|on\w+)=", page)
    assert not re.search(r"<script(?![^>]*(src=|type=\"application/json\"))", page)


def test_pages_with_conversations_are_not_kept_by_the_browser(browser, conversation):
    assert "no-store" in browser.get(f"/c/{conversation.pk}/")["Cache-Control"]


def test_signing_out_takes_a_post(browser):
    assert browser.get("/logout/").status_code == 405
    assert browser.post("/logout/").status_code == 302
    assert browser.get("/").status_code == 302


def test_the_page_speaks_chinese_to_who_asks_for_it(browser):
    page = browser.get("/", headers={"accept-language": "zh-CN,zh;q=0.9"}).content.decode()
    words = start_of(page)["words"]
    assert 'lang="zh-hans"' in page
    assert words["live"] == "已连接"
    with translation.override("en"):
        assert [key for key, english in WORDS.items() if words[key] == str(english)] == []


def test_every_word_the_modules_ask_for_exists(settings):
    modules = (settings.BASE_DIR / "static/tether/page").glob("*.js")
    asked = {key for module in modules for key in re.findall(r'say\("([a-z_.]+)"', module.read_text())}
    assert asked - set(WORDS) == set()
    assert len(asked) > 20
