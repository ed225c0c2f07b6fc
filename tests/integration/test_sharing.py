"""Links to read by, and ratings: who may, what they show, and when they end."""

from datetime import datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.utils import timezone

from conversations.errors import Forbidden, InvalidMessage, TooLarge
from conversations.models import Conversation, Rating, Share, User
from tests.archive_kit import Talk, archive_all, finish_turn, new_talk, say, snapshot_of, start_turn
from tests.asking_kit import Asking
from tests.contract.test_memberships import invite, new_person

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
get = sync_to_async(lambda url, **more: Client().get(url, **more))


async def talk_with_answer(text: str = "**tea** <script>alert(1)</script>") -> Talk:
    talk = await new_talk()
    await say(talk, text="what now", respond=True)
    await finish_turn(await start_turn(talk), text)
    return talk


async def link_to(talk: Talk) -> str:
    made = await Asking(talk).ask("share")
    listed = await Asking(talk).ask("list_shares")
    [item] = [item for item in listed["items"] if item["share_id"] == made["share_id"]]
    return str(item["url"])


async def test_anybody_with_the_link_reads_what_was_said_until_it_was_made():
    talk = await talk_with_answer()
    url = await link_to(talk)
    await say(talk, text="a later secret")
    await archive_all()
    answer = await get(url)
    page = answer.content.decode()
    assert (answer.status_code, "what now 0" in page, "<strong>tea</strong>" in page) == (200, True, True)
    assert ("a later secret" in page, "<script>alert" in page) == (False, False)
    assert (answer["X-Robots-Tag"], answer["Referrer-Policy"]) == ("noindex, nofollow", "no-referrer")
    assert "no-store" in answer["Cache-Control"]


async def test_a_link_that_was_taken_back_ends_at_once_and_the_others_stay():
    talk = await talk_with_answer()
    first, second = await link_to(talk), await link_to(talk)
    await archive_all()
    newest = (await Asking(talk).ask("list_shares"))["items"][0]
    await Asking(talk).ask("unshare", share_id=newest["share_id"])
    assert [(await get(url)).status_code for url in (second, first)] == [404, 200]
    assert [item["url"] for item in (await Asking(talk).ask("list_shares"))["items"]] == [first]


async def test_a_link_shows_nothing_of_what_was_cleared_or_deleted():
    talk = await talk_with_answer()
    url = await link_to(talk)
    await Asking(talk).ask("clear_history")
    await archive_all()
    assert "what now" not in (await get(url)).content.decode()
    await Asking(talk).ask("delete")
    assert (await get(url)).status_code == 404


async def test_what_was_cleared_or_deleted_is_gone_before_the_archive_knows():
    talk = await talk_with_answer()
    url = await link_to(talk)
    await archive_all()
    assert "what now" in (await get(url)).content.decode()
    await Asking(talk).ask("clear_history")
    page = (await get(url)).content.decode()
    assert ("what now" in page, "tea" in page) == (False, False)
    await Asking(talk).ask("delete")
    await Conversation.objects.aupdate(status="active")  # as if the node had died before it told the database
    assert (await get(url)).status_code == 404


async def test_the_title_is_the_one_from_when_the_link_was_made_and_goes_with_a_clearing():
    talk = await talk_with_answer()
    await Asking(talk).ask("rename", title="Tea for two")
    url = await link_to(talk)
    await Asking(talk).ask("rename", title="A later secret")
    await archive_all()
    page = (await get(url)).content.decode()
    assert ("Tea for two" in page, "A later secret" in page) == (True, False)
    await Asking(talk).ask("clear_history")
    assert "Tea for two" not in (await get(url)).content.decode()
    await archive_all()
    assert [share.title async for share in Share.objects.all()] == [""]


async def test_without_the_log_nothing_is_shown(settings):
    talk = await talk_with_answer()
    url = await link_to(talk)
    await archive_all()
    settings.REDIS_URL = "redis://127.0.0.1:1"
    answer = await get(url)
    assert (answer.status_code, "what now" in answer.content.decode()) == (503, False)


async def test_what_gave_way_to_an_edit_is_not_shown():
    talk = await talk_with_answer("an old answer")
    [asked] = [each for each in (await snapshot_of(talk)).messages if each["role"] == "user"]
    before = await link_to(talk)
    await Asking(talk).ask("edit", message_id=asked["message_id"], content="in other words")
    url = await link_to(talk)
    await archive_all()
    page = (await get(url)).content.decode()
    assert ("in other words" in page, "an old answer" in page) == (True, False)
    assert "an old answer" in (await get(before)).content.decode()  # a copy stays what it was


async def test_a_long_transcript_comes_in_pages():
    talk = await new_talk()
    await say(talk, 130)
    url = await link_to(talk)
    await archive_all()
    first = (await get(url)).content.decode()
    assert (first.count('class="message"'), "?after=100" in first) == (100, True)
    second = (await get(url, data={"after": "100"})).content.decode()
    assert (second.count('class="message"'), "?after=" in second) == (30, False)
    assert (await get(url, data={"after": "9" * 30})).status_code == 200


async def test_the_database_keeps_no_link_and_only_the_owner_sees_one():
    talk = await talk_with_answer()
    url = await link_to(talk)
    [share] = [share async for share in Share.objects.all()]
    assert url.split("/")[2] not in (share.digest, str(share.id))
    guest = await invite(talk, await new_person())
    for command, args in (("share", {}), ("list_shares", {}), ("unshare", {"share_id": str(share.id)})):
        with pytest.raises(Forbidden):
            await Asking(guest).ask(command, **args)


async def test_a_link_may_end_by_itself_and_then_counts_for_nothing():
    talk = await talk_with_answer()
    for _ in range(20):
        await Asking(talk).ask("share", days=7)
    await archive_all()
    item = (await Asking(talk).ask("list_shares"))["items"][0]
    assert datetime.fromisoformat(item["until"]) - datetime.fromisoformat(item["created"]) > timedelta(days=6.99)
    assert (await get(item["url"])).status_code == 200
    await Share.objects.aupdate(expires_at=timezone.now())
    assert ((await get(item["url"])).status_code, await Asking(talk).ask("list_shares")) == (404, {"items": []})
    await Asking(talk).ask("share")
    for days in (0, 3651, "7"):
        with pytest.raises(InvalidMessage):
            await Asking(talk).ask("share", days=days)


async def test_a_link_of_another_conversation_cannot_be_taken_back():
    mine, other = await talk_with_answer(), await talk_with_answer()
    url = await link_to(other)
    [item] = (await Asking(other).ask("list_shares"))["items"]
    with pytest.raises(Forbidden):
        await Asking(mine).ask("unshare", share_id=item["share_id"])
    assert (await get(url)).status_code == 200


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "lost"])
async def test_a_link_asked_for_twice_is_one(is_kept):
    talk = await talk_with_answer()
    first, again = await Asking(talk).ask_twice("share", is_kept=is_kept)
    assert (first, await Share.objects.acount()) == (again, 1)


async def test_a_link_outlives_the_secret_it_was_made_with_and_is_shown_while_that_is_known(settings):
    talk = await talk_with_answer()
    url = await link_to(talk)
    await archive_all()
    former, settings.SECRET_KEY = settings.SECRET_KEY, "n" * 50
    settings.SECRET_KEY_FALLBACKS = [former]
    newer = await link_to(talk)
    assert [item["url"] for item in (await Asking(talk).ask("list_shares"))["items"]] == [newer, url]
    settings.SECRET_KEY_FALLBACKS = []
    assert [item["url"] for item in (await Asking(talk).ask("list_shares"))["items"]] == [newer, ""]
    assert [(await get(each)).status_code for each in (newer, url)] == [200, 200]


async def test_links_are_few():
    talk = await talk_with_answer()
    for _ in range(20):
        await Asking(talk).ask("share")
    with pytest.raises(TooLarge):
        await Asking(talk).ask("share")


async def test_an_answer_is_rated_by_each_for_themselves_and_the_last_word_stays():
    talk = await talk_with_answer()
    guest = await invite(talk, await new_person())
    [answer] = [each for each in (await snapshot_of(talk)).messages if each["role"] == "assistant"]
    await Asking(talk).ask("rate", seq=answer["seq"], rating="up")
    await Asking(talk).ask("rate", seq=answer["seq"], rating="down", comment="cold")
    told = {"message_id": answer["message_id"], "rating": "down", "comment": "cold"}
    assert await Asking(talk).ask("list_ratings") == {"items": [told]}
    assert await Asking(guest).ask("list_ratings") == {"items": []}
    await Asking(talk).ask("rate", seq=answer["seq"], rating="")
    assert await Asking(talk).ask("list_ratings") == {"items": []}


async def test_only_answers_are_rated():
    talk = await talk_with_answer()
    for seq in (1, 2, 99):
        with pytest.raises(InvalidMessage):
            await Asking(talk).ask("rate", seq=seq, rating="up")


async def test_a_clearing_and_the_end_of_an_account_take_ratings_along():
    talk = await talk_with_answer()
    [answer] = [each for each in (await snapshot_of(talk)).messages if each["role"] == "assistant"]
    guest = await invite(talk, await new_person())
    for each in (talk, guest):
        await Asking(each).ask("rate", seq=answer["seq"], rating="up", comment="good")
    await User.objects.filter(pk=guest.user_id).adelete()
    assert await Rating.objects.acount() == 1
    await Asking(talk).ask("clear_history")
    await archive_all()
    assert await Rating.objects.acount() == 0
