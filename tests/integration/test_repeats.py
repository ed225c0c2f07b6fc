"""A command that is sent again changes nothing and gets the first result, also where its node had died at its end."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.utils import timezone

from conversations import keys, log
from conversations.assistant.given import read_given
from conversations.assistant.outcome import Job
from conversations.errors import Forbidden, InvalidMessage
from conversations.log import Cursor
from conversations.models import Conversation, Device, Member
from tests.archive_kit import Talk, new_talk, redis, replay, say, snapshot_of
from tests.asking_kit import Asking
from tests.assistant_kit import Heard

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


async def feed_of(talk: Talk) -> list[str]:
    rows = await redis().xrange(keys.feed(talk.user_id))
    return [orjson.loads(fields[b"b"])["event"] for _, fields in rows]


kept_or_not = pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "lost"])


@kept_or_not
async def test_a_conversation_made_twice_is_one(is_kept: bool) -> None:
    talk = await new_talk()
    first, again = await Asking(talk).ask_twice("new_conversation", is_kept=is_kept, title="one")
    assert first == again
    assert await Member.objects.filter(user_id=talk.user_id).acount() == 2
    assert await feed_of(talk) == ["conversation.created"] * 2  # the talk's own, and this one's


@kept_or_not
async def test_the_last_conversation_that_is_allowed_can_be_asked_for_again(is_kept: bool, settings: Any) -> None:
    settings.MAX_CONVERSATIONS_PER_USER = 2
    first, again = await Asking(await new_talk()).ask_twice("new_conversation", is_kept=is_kept)
    assert first == again


@kept_or_not
async def test_a_conversation_that_was_deleted_meanwhile_is_not_made_again(is_kept: bool) -> None:
    talk = await new_talk()

    async def delete_newest() -> None:
        made = await Conversation.objects.exclude(pk=talk.conversation_id).aget()
        await Asking(talk._replace(conversation_id=str(made.pk))).ask("delete")

    made, _ = await Asking(talk).ask_twice("new_conversation", delete_newest, is_kept=is_kept)
    listed = await Asking(talk).ask("list_conversations")
    assert [item["conversation_id"] for item in listed["items"]] == [talk.conversation_id]
    with pytest.raises(Forbidden):
        await log.check_member(made["conversation_id"], talk.user_id)


@kept_or_not
async def test_clearing_again_leaves_what_was_said_and_thought_since(is_kept: bool) -> None:
    talk = await new_talk()
    await say(talk, text="old")
    asking = Asking(talk)
    assistant = asking.connection.node.assistant
    await assistant.start()

    async def go_on() -> None:
        await say(talk, text="new")
        job = Job(talk.conversation_id, str(uuid4()), 1, talk.user_id, "ana", 4, "and?")
        await redis().hset(keys.turn(job.conversation_id, job.turn_id), "attempt", 1)
        await assistant.run(replace(job, given=await read_given(job)), Heard(), load_transcript=no_transcript)

    assert await asking.ask_twice("clear_history", go_on, is_kept=is_kept) == [{}, {}]
    assert [message["content"] for message in (await snapshot_of(talk)).messages] == ["new 0"]
    state = await assistant.graph.aget_state({"configurable": {"thread_id": talk.conversation_id}})
    assert [each.text for each in state.values["messages"]] == ["and?", "echo: and?"]


async def no_transcript() -> list[dict[str, Any]]:
    return []


@kept_or_not
async def test_deleting_again_is_a_success_and_gives_no_more_time_to_restore(is_kept: bool) -> None:
    talk = await new_talk()
    erase = keys.erase(keys.tag(talk.conversation_id))
    due = []

    async def look() -> None:
        due.append(await redis().zscore(erase, talk.conversation_id))

    assert await Asking(talk).ask_twice("delete", look, is_kept=is_kept) == [{}, {}]
    assert due == [await redis().zscore(erase, talk.conversation_id)]
    await Asking(talk).ask("restore")
    assert [entry.kind for entry in await replay(talk, Cursor(None, 0, ""))] == ["conversation.deleted"]


@kept_or_not
@pytest.mark.parametrize("command", ["delete", "leave"])
async def test_a_deletion_that_comes_again_after_it_was_undone_does_not_delete_again(
    command: str, is_kept: bool
) -> None:
    talk = await new_talk()

    async def undo() -> None:
        await Asking(talk).ask("restore")

    await Asking(talk).ask_twice(command, undo, is_kept=is_kept)
    assert (await snapshot_of(talk)).messages == []
    assert (await Conversation.objects.aget()).status == Conversation.Status.ACTIVE
    assert (await feed_of(talk))[-1] == "conversation.restored"


@kept_or_not
async def test_a_restoring_that_comes_again_after_another_deletion_does_not_restore_again(is_kept: bool) -> None:
    talk = await new_talk()
    await Asking(talk).ask("delete")

    async def delete_again() -> None:
        await Asking(talk).ask("delete")

    await Asking(talk).ask_twice("restore", delete_again, is_kept=is_kept)
    with pytest.raises(Forbidden):
        await snapshot_of(talk)
    assert (await Conversation.objects.aget()).status == Conversation.Status.DELETED
    assert (await feed_of(talk))[-1] == "conversation.deleted"


async def test_the_devices_listed_are_what_the_documents_say() -> None:
    talk = await new_talk()
    for device_id in ("phone", "desk"):
        await Device.objects.acreate(user_id=talk.user_id, device_id=device_id, last_seen_at=timezone.now())
    items = (await Asking(talk).ask("list_devices"))["items"]
    assert [(item["device_id"], item["current"]) for item in items] == [("desk", False), ("phone", True)]


async def test_an_id_that_another_command_had_is_refused_not_told_that_it_was_done() -> None:
    talk = await new_talk()
    asking = Asking(talk)
    await asking.ask("pin", "id1")
    with pytest.raises(InvalidMessage, match="id"):
        await asking.ask("rename", "id1", title="new")
    asking.talk = await new_talk()  # somebody else's
    asking.connection.conversation_id = asking.talk.conversation_id
    with pytest.raises(Forbidden):
        await asking.ask("rename", "id1", title="new")
