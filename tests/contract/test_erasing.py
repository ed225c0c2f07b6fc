"""What was deleted is gone everywhere: keys, checkpoints, rows. Until it is due it can be restored."""

import pytest

from conversations import keys, log, services
from conversations.archive import Archiver
from conversations.assistant import keys as checkpoint_keys
from conversations.erasing import Eraser
from conversations.errors import Forbidden
from conversations.models import Conversation, Event, Member, Message, Turn
from tests.archive_kit import Talk, archive_all, finish_turn, keys_with, new_talk, redis, say, snapshot_of, start_turn
from tests.archive_once import kill_at

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


async def deleted_talk() -> Talk:
    """Return a conversation with rows, client_ids, a turn and a checkpoint, deleted and due to be erased."""
    talk = await new_talk()
    await say(talk, 3)
    await say(talk, respond=True)
    await finish_turn(await start_turn(talk), "fine")
    await archive_all()
    await keep_checkpoint(talk)
    await services.delete_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id, device_id="phone")
    await make_due(talk)
    return talk


async def keep_checkpoint(talk: Talk) -> None:
    await redis().hset(checkpoint_keys.heads(talk.conversation_id), "", "c1")
    await redis().zadd(checkpoint_keys.order(talk.conversation_id), {"t1|:c1": 1})
    await redis().set(checkpoint_keys.prefix(talk.conversation_id) + ":c1", "state")
    await redis().set(checkpoint_keys.writes_prefix(talk.conversation_id) + ":c1", "writes")


async def make_due(talk: Talk) -> None:
    await redis().zadd(keys.erase(keys.tag(talk.conversation_id)), {talk.conversation_id: 1})


async def marks_of(talk: Talk) -> list[float | None]:
    tag = keys.tag(talk.conversation_id)
    queues = (keys.erase(tag), keys.erasing(tag), keys.dirty(tag), keys.due(tag))
    return [await redis().zscore(queue, talk.conversation_id) for queue in queues]


async def rows_left() -> int:
    return sum([await model.objects.acount() for model in (Conversation, Member, Event, Message, Turn)])


async def test_what_is_due_leaves_no_key_and_no_row() -> None:
    talk = await deleted_talk()
    await Archiver("a").run_once()
    assert await keys_with(talk.conversation_id) == []
    assert await marks_of(talk) == [None] * 4
    assert await rows_left() == 0


async def test_nothing_is_erased_before_it_is_due() -> None:
    talk = await new_talk()
    await say(talk, 2)
    await services.delete_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id, device_id="phone")
    await archive_all()
    assert (await Conversation.objects.aget()).status == "deleted"
    await services.restore_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id)
    await archive_all()
    assert (await Conversation.objects.aget()).status == "active"
    assert len((await snapshot_of(talk)).messages) == 2


@pytest.mark.parametrize(
    "fault",
    [
        "erase.claimed",
        "erase.forgotten",
        "erase.keys_gone",
        "erase.event_rows_gone",
        "erase.member_rows_gone",
        "erase.rows_gone",
    ],
)
async def test_an_erasing_cut_off_in_the_middle_is_finished_later(fault: str) -> None:
    talk = await deleted_talk()
    await kill_at(fault, "archive")
    with pytest.raises(Forbidden):
        await log.restore(talk.conversation_id, talk.user_id, once="r1")
    await archive_all()
    assert await keys_with(talk.conversation_id) == []
    assert await marks_of(talk) == [None] * 4
    assert await rows_left() == 0


async def test_nobody_can_read_or_restore_what_was_erased() -> None:
    talk = await deleted_talk()
    await Archiver("a").run_once()
    for call in (snapshot_of(talk), log.restore(talk.conversation_id, talk.user_id, once="r1")):
        with pytest.raises(Forbidden):
            await call


async def test_a_deletion_whose_mark_redis_lost_is_carried_out_all_the_same() -> None:
    talk = await deleted_talk()
    await redis().flushall()
    await Conversation.objects.aupdate(deleted_at="2026-01-01T00:00:00Z")
    await Eraser().erase_due()
    assert await rows_left() == 0
    assert await keys_with(talk.conversation_id) == []


async def test_the_neighbours_of_what_is_erased_keep_everything() -> None:
    neighbour = await new_talk()
    await say(neighbour, 4)
    await deleted_talk()
    await archive_all()
    assert len((await snapshot_of(neighbour)).messages) == 4
    assert await Event.objects.filter(conversation=neighbour.conversation_id).acount() == 4


async def test_a_clearing_drops_the_checkpoints_at_the_same_instant() -> None:
    talk = await new_talk()
    await say(talk, 2)
    await keep_checkpoint(talk)
    await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c1")
    assert [key for key in await keys_with(talk.conversation_id) if b"checkpoint" in key] == []
