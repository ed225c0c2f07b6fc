"""A log that Redis lost, parked or set back comes from the archive, with nothing acked missing."""

import asyncio

import pytest
from django.conf import settings

from conversations import keys, log, restoring, services
from conversations.archive import Archiver
from conversations.archive_pages import KEPT_ENTRIES
from conversations.events import Position
from conversations.log import Cursor, Snapshot, read
from conversations.models import Conversation, Event, Member, Message, Turn
from conversations.parking import Parker, park_rows
from tests.archive_kit import (
    Talk,
    archive_all,
    bodies_in_archive,
    finish_turn,
    lose_row,
    new_talk,
    redis,
    replay,
    say,
    snapshot_of,
    start_turn,
    stream_of,
)
from tests.archive_once import kill_at

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


async def head_of(talk: Talk) -> Position:
    return (await snapshot_of(talk)).head


async def contents_of(talk: Talk) -> list[str]:
    return [message["content"] for message in (await snapshot_of(talk)).messages]


async def set_back(talk: Talk, saved: dict[bytes, bytes]) -> None:
    """Put the conversation's keys back as they were: a restored backup of Redis."""
    for key, value in saved.items():
        await redis().restore(key, 0, value, replace=True)


async def save(talk: Talk) -> dict[bytes, bytes]:
    names = [keys.meta, keys.log, keys.members, keys.reads, keys.turns]
    dumps = {name(talk.conversation_id).encode(): await redis().dump(name(talk.conversation_id)) for name in names}
    return {key: value for key, value in dumps.items() if value}


async def test_a_lost_redis_gives_a_new_epoch_and_every_archived_message() -> None:
    talk = await new_talk()
    await say(talk, 70)
    before = await head_of(talk)
    await archive_all()
    await redis().flushall()
    found = await snapshot_of(talk)
    assert found.head == Position(2, before.seq, before.chain)
    assert len(found.messages) == 50
    assert found.more
    messages, more = await log.history(talk.conversation_id, talk.user_id, before_seq=21, limit=50)
    assert [message["seq"] for message in messages] == list(range(1, 21))
    assert not more


async def test_a_cursor_from_before_the_loss_gets_a_snapshot_and_writing_goes_on() -> None:
    talk = await new_talk()
    await say(talk, 3)
    old = await head_of(talk)
    await archive_all()
    await redis().flushall()
    found = await read(talk.conversation_id, talk.user_id, Cursor(*old))
    assert isinstance(found, Snapshot)
    assert found.reason == "epoch"
    [appended] = await say(talk)
    assert (appended.epoch, appended.seq) == (2, 4)
    await archive_all()
    assert len(await replay(talk, Cursor(None, 0, ""))) == 4


async def test_many_callers_at_once_bring_back_one_log_under_one_epoch() -> None:
    talk = await new_talk()
    await say(talk, 3)
    await archive_all()
    await redis().flushall()
    assert all(await asyncio.gather(*(restoring.bring_back(talk.conversation_id) for _ in range(10))))
    assert (await head_of(talk)).epoch == 2
    assert (await Conversation.objects.aget(pk=talk.conversation_id)).epoch == 2


async def test_an_epoch_taken_by_a_node_that_died_is_not_used_again() -> None:
    talk = await new_talk()
    await say(talk, 3)
    await archive_all()
    await redis().flushall()
    await kill_at("bring_back.epoch_taken", "bring_back", talk.conversation_id)
    await redis().delete(keys.bringing(talk.conversation_id))  # it lapses by itself, in seconds
    assert (await head_of(talk)).epoch == 3


async def test_a_message_sent_again_after_the_loss_is_found_in_the_archive() -> None:
    talk = await new_talk()
    [first] = await say(talk, client_id="once")
    await archive_all()
    await redis().flushall()
    [again] = await say(talk, client_id="once", retry=True)
    assert (again.seq, again.duplicate) == (first.seq, True)


async def test_the_answer_still_comes_when_its_turn_was_lost() -> None:
    talk = await new_talk()
    await say(talk, respond=True)
    await start_turn(talk)
    await say(talk, respond=True)
    await archive_all()
    await redis().flushall()
    await Archiver("a").run_once()
    claimed = await start_turn(talk)
    assert (claimed.seq, claimed.user_id) == (1, talk.user_id)
    assert claimed.attempt > 2
    await finish_turn(claimed, "late")
    assert (await start_turn(talk)).seq == 3


async def test_a_finished_turn_is_not_asked_for_again() -> None:
    talk = await new_talk()
    await say(talk, respond=True)
    await finish_turn(await start_turn(talk), "fine")
    await archive_all()
    await redis().flushall()
    assert (await snapshot_of(talk)).turns == []


async def test_if_seq_and_unread_are_known_after_the_loss() -> None:
    talk = await new_talk()
    await say(talk, respond=True)
    await finish_turn(await start_turn(talk), "fine")
    names = ("newest", "newest_source", "newest_other", "count", "title", "first_words", "preview")
    before = await redis().hmget(keys.meta(talk.conversation_id), names)
    unread = await redis().hgetall(keys.reads(talk.conversation_id))
    await archive_all()
    await redis().flushall()
    await snapshot_of(talk)
    assert await redis().hmget(keys.meta(talk.conversation_id), names) == before
    assert await redis().hgetall(keys.reads(talk.conversation_id)) == unread


async def test_a_parked_log_keeps_its_epoch_and_chain() -> None:
    talk = await new_talk()
    await say(talk, 5)
    before = await head_of(talk)
    await archive_all()
    row = await Conversation.objects.aget(pk=talk.conversation_id)
    assert await park_rows([row], idle_ms=0) == 1
    assert not await redis().exists(keys.meta(talk.conversation_id), keys.log(talk.conversation_id))
    assert await head_of(talk) == before
    assert await replay(talk, Cursor(1, 2, (await bodies_in_archive(talk))[1][1])) != []
    assert not await redis().hexists(keys.parked(keys.tag(talk.conversation_id)), talk.conversation_id)


@pytest.mark.parametrize(("read_seq", "unread"), [(0, 2), (5, 1), (8, 0)])
async def test_a_parked_conversation_is_listed_with_what_is_unread_in_it(read_seq: int, unread: int) -> None:
    talk = await new_talk()
    await say(talk, 2, respond=True)
    for _ in range(2):
        await finish_turn(await start_turn(talk), "answer")
    await log.mark_read(talk.conversation_id, talk.user_id, read_seq)
    await archive_all()
    row = await Conversation.objects.aget(pk=talk.conversation_id)
    listed = [await unread_of(talk)]
    assert await park_rows([row], idle_ms=0) == 1
    listed.append(await unread_of(talk))
    await head_of(talk)  # brings it back
    listed.append(await unread_of(talk))
    assert listed == [unread] * 3


async def unread_of(talk: Talk) -> int:
    [item] = (await services.list_conversations(user_id=talk.user_id))["items"]
    return int(item["unread"])


async def test_a_log_in_use_is_not_parked() -> None:
    talk = await new_talk()
    await say(talk, respond=True)
    await archive_all()
    row = await Conversation.objects.aget(pk=talk.conversation_id)
    assert await park_rows([row], idle_ms=0) == 0  # a turn is queued
    await finish_turn(await start_turn(talk), "fine")
    assert await park_rows([row], idle_ms=0) == 0  # not archived
    await archive_all()
    row = await Conversation.objects.aget(pk=talk.conversation_id)
    assert await park_rows([row], idle_ms=60_000) == 0  # not idle for long enough
    assert await park_rows([row], idle_ms=0) == 1


async def test_idle_logs_are_parked_by_the_archiver(monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [await new_talk() for _ in range(3)]
    for talk in talks:
        await say(talk)
    await archive_all()
    monkeypatch.setattr(settings, "PARK_AFTER_DAYS", 0)
    assert await Parker().park_some() == 3


async def test_a_parking_cut_off_leaves_a_log_that_comes_back() -> None:
    talk = await new_talk()
    await say(talk, 5)
    before = await head_of(talk)
    await archive_all()
    await kill_at("park.parked", "park", talk.conversation_id)
    assert await head_of(talk) == before


async def test_a_redis_that_was_set_back_keeps_every_acked_message() -> None:
    talk = await new_talk()
    await say(talk, 5, text="old")
    await archive_all()
    saved = await save(talk)
    await say(talk, 5, text="archived")
    await archive_all()
    await set_back(talk, saved)
    await say(talk, 3, text="after")  # before anybody has noticed
    await archive_all()
    texts = [f"{name} {n}" for name, count in (("old", 5), ("archived", 5), ("after", 3)) for n in range(count)]
    assert await contents_of(talk) == texts
    assert (await head_of(talk)).epoch == 2
    assert [entry[0] for entry in await bodies_in_archive(talk)] == list(range(1, 14))


async def test_a_redis_that_was_set_back_is_rebuilt_at_its_start() -> None:
    talk = await new_talk()
    await say(talk, 5)
    await archive_all()
    saved = await save(talk)
    await say(talk, 5)
    await archive_all()
    await set_back(talk, saved)
    await redis().delete(keys.VERIFIED, keys.dirty(keys.tag(talk.conversation_id)))
    await archive_all()
    assert (await head_of(talk))[:2] == (2, 10)


async def test_a_message_that_both_have_is_there_once_and_acked_with_its_place() -> None:
    talk = await new_talk()
    await say(talk, 2)
    await archive_all()
    saved = await save(talk)
    await say(talk, 1, text="between")
    await say(talk, client_id="twice")
    await archive_all()
    await set_back(talk, saved)
    await redis().delete(keys.sent(talk.conversation_id, talk.user_id, "twice"))
    await say(talk, client_id="twice")
    await say(talk, client_id="new")
    await archive_all()
    assert await contents_of(talk) == ["hello 0", "hello 1", "between 0", "hello 0", "hello 0"]
    [again] = await say(talk, client_id="twice")
    [new] = await say(talk, client_id="new")
    assert [(again.seq, again.duplicate), (new.seq, new.duplicate)] == [(4, True), (5, True)]


async def test_a_turn_of_the_log_that_was_set_back_goes_on_after_the_rebuild() -> None:
    talk = await new_talk()
    await say(talk, 2)
    await archive_all()
    saved = await save(talk)
    await say(talk, 3)
    await archive_all()
    await set_back(talk, saved)
    await say(talk, respond=True)
    await start_turn(talk)
    await archive_all()
    claimed = await start_turn(talk)
    assert claimed.seq == 6
    await finish_turn(claimed, "fine")
    await archive_all()
    assert [t.status async for t in Turn.objects.all()] == ["done"]
    assert (await contents_of(talk))[-1] == "fine"


@pytest.mark.parametrize("fault", ["rebuild.epoch_taken", "rebuild.replaced"])
async def test_a_rebuild_cut_off_is_made_again_under_a_higher_epoch(fault: str) -> None:
    talk = await new_talk()
    await say(talk, 2, text="old")
    await archive_all()
    saved = await save(talk)
    await say(talk, 2, text="archived")
    await archive_all()
    await set_back(talk, saved)
    await say(talk, 1, text="after")
    await kill_at(fault, "archive")
    await archive_all()
    assert await contents_of(talk) == ["old 0", "old 1", "archived 0", "archived 1", "after 0"]
    assert (await head_of(talk)).epoch == (3 if fault == "rebuild.epoch_taken" else 2)


async def test_two_archivers_rebuild_one_log_once_or_twice_but_whole() -> None:
    talk = await new_talk()
    await say(talk, 2, text="old")
    await archive_all()
    saved = await save(talk)
    await say(talk, 2, text="archived")
    await archive_all()
    await set_back(talk, saved)
    await say(talk, 1, text="after")
    await asyncio.gather(*(Archiver(name).run_once() for name in "abc"))
    await archive_all()
    assert await contents_of(talk) == ["old 0", "old 1", "archived 0", "archived 1", "after 0"]


async def test_a_database_that_was_set_back_takes_what_redis_has() -> None:
    talk = await new_talk()
    await say(talk, KEPT_ENTRIES + 50)
    await archive_all()
    for model in (Event, Message, Turn):
        await model.objects.filter(conversation=talk.conversation_id, seq__gt=20).adelete()
    chain = (await bodies_in_archive(talk))[-1][1]
    await Conversation.objects.aupdate(archived_seq=20, archived_chain=chain, message_count=20)
    await say(talk, 2, text="after")
    await archive_all()
    assert [entry[0] for entry in await bodies_in_archive(talk)] == list(range(1, 20 + KEPT_ENTRIES + 3))
    assert (await contents_of(talk))[-2:] == ["after 0", "after 1"]


async def test_a_conversation_that_the_database_lost_is_adopted_with_its_messages() -> None:
    talk = await new_talk()
    await say(talk, 4)
    before = await stream_of(talk)
    await lose_row(talk.conversation_id)
    await archive_all()
    assert await bodies_in_archive(talk) == before
    assert (await Member.objects.aget(conversation=talk.conversation_id)).role == "owner"


async def test_a_clearing_survives_a_redis_that_was_set_back() -> None:
    talk = await new_talk()
    await say(talk, 3, text="old")
    await archive_all()
    saved = await save(talk)
    await say(talk, 2, text="archived")
    await archive_all()
    await set_back(talk, saved)
    await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c1")
    await say(talk, 1, text="after")
    await archive_all()
    assert await contents_of(talk) == ["after 0"]
    assert await Message.objects.acount() == 1
