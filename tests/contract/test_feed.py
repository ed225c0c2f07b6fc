"""The feed tells each head once, at most once a second, and resumes from a cursor."""

import asyncio

import orjson
import pytest

from conversations import feed, services
from conversations.events import Position
from tests.archive_kit import Talk, new_talk, say

pytestmark = pytest.mark.django_db(transaction=True)


async def kinds(talk: Talk, cursor: Position) -> list[str]:
    page = await feed.read(talk.user_id, cursor)
    assert page.entries is not None
    return [orjson.loads(entry.body)["event"] for entry in page.entries]


async def test_a_head_is_told_once_whoever_tells_it() -> None:
    talk = await new_talk()
    start = (await feed.read(talk.user_id, None)).head
    await say(talk)
    await asyncio.gather(*(feed.tell_updated(talk.conversation_id) for _ in range(5)))
    assert await kinds(talk, start) == ["conversation.updated"]


async def test_what_comes_within_a_second_is_told_later_and_together() -> None:
    talk = await new_talk()
    start = (await feed.read(talk.user_id, None)).head
    await say(talk)
    assert await feed.tell_updated(talk.conversation_id)
    await say(talk, 3)
    assert not await feed.tell_updated(talk.conversation_id)
    async with asyncio.timeout(5):
        while not await feed.tell_updated(talk.conversation_id):  # noqa: ASYNC110  # the gap is Redis' clock
            await asyncio.sleep(0.1)
    page = await feed.read(talk.user_id, start)
    assert page.entries is not None
    assert [orjson.loads(entry.body)["data"]["head"]["seq"] for entry in page.entries] == [1, 4]


async def test_a_cursor_brings_what_came_after_it() -> None:
    talk = await new_talk()
    start = (await feed.read(talk.user_id, None)).head
    for command in ("pin", "archive", "unarchive"):
        await services.set_flag(user_id=talk.user_id, conversation_id=talk.conversation_id, command=command)
    told = ["conversation.pinned", "conversation.archived", "conversation.unarchived"]
    assert await kinds(talk, start) == told


@pytest.mark.parametrize("wrong", ["epoch", "ahead", "chain"])
async def test_a_cursor_of_no_use_is_said_to_be(wrong: str) -> None:
    talk = await new_talk()
    head = (await feed.read(talk.user_id, None)).head
    changed = {
        "epoch": head._replace(epoch=head.epoch + 1),
        "ahead": head._replace(seq=head.seq + 1),
        "chain": head._replace(chain="f" * 16),
    }
    assert await feed.read(talk.user_id, changed[wrong]) == (head, None)


async def test_the_list_shows_at_its_cursor_what_the_archive_has_not_heard_of() -> None:
    talk = await new_talk()
    await say(talk, text="newest words")
    await feed.tell_updated(talk.conversation_id)
    listed = await services.list_conversations(user_id=talk.user_id)
    item = listed["items"][0]
    assert (item["conversation_id"], item["preview"], item["head"]["seq"]) == (
        talk.conversation_id,
        "newest words 0",
        1,
    )
    assert listed["feed"] == (await feed.read(talk.user_id, None)).head.wire()


async def test_two_devices_of_a_new_user_get_one_first_conversation() -> None:
    talk = await new_talk()
    await services.delete_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id, device_id="d")
    found = await asyncio.gather(*(services.find_latest_conversation(user_id=talk.user_id) for _ in range(4)))
    assert len({latest.conversation_id for latest in found}) == 1


async def test_a_first_conversation_that_was_deleted_is_not_given_out_again() -> None:
    talk = await new_talk()
    await services.delete_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id, device_id="d")
    first = await services.find_latest_conversation(user_id=talk.user_id)
    await services.delete_conversation(user_id=talk.user_id, conversation_id=first.conversation_id, device_id="d")
    assert (await services.find_latest_conversation(user_id=talk.user_id)).conversation_id != first.conversation_id
