"""The archive is the log, byte for byte, whatever happens between two of its steps."""

import asyncio

import orjson
import pytest
from django.conf import settings
from django.utils import timezone

from conversations import keys, services, store
from conversations.archive import Archiver
from conversations.archive_pages import KEPT_ENTRIES, LogPage, confirm_pages, find_dirty, read_pages
from conversations.archive_rows import EVENT_FIELDS, MESSAGE_FIELDS, store_pages
from conversations.events import NO_CHAIN, time_text
from conversations.log import Cursor, history
from conversations.models import Conversation, Event, Member, Message, Turn
from conversations.threads import in_database
from tests.archive_kit import (
    Talk,
    archive_all,
    bodies_in_archive,
    chain_of,
    finish_turn,
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


async def test_the_archive_equals_the_stream_byte_for_byte() -> None:
    talk = await new_talk()
    await say(talk, 30)
    stream = await stream_of(talk)
    await archive_all()
    assert await bodies_in_archive(talk) == stream


async def test_the_row_knows_the_head_the_title_and_the_count() -> None:
    talk = await new_talk()
    await say(talk, 3, text="good morning")
    await archive_all()
    row = await Conversation.objects.aget(pk=talk.conversation_id)
    head = (await stream_of(talk))[-1]
    assert (row.archived_seq, row.archived_chain) == head[:2]
    assert (row.title, row.preview, row.message_count) == ("good morning 0", "good morning 2", 3)


async def test_a_turn_is_archived_with_its_times_and_usage() -> None:
    talk = await new_talk()
    await say(talk, respond=True)
    await archive_all()
    assert [turn.status async for turn in Turn.objects.all()] == ["queued"]
    claimed = await start_turn(talk)
    await archive_all()
    await finish_turn(claimed, "fine")
    await archive_all()
    turn = await Turn.objects.aget()
    assert (turn.status, turn.seq, turn.attempts, turn.node) == ("done", 1, 1, "n1")
    assert turn.usage == {"total_tokens": 7}
    assert turn.queued_at <= turn.started_at <= turn.finished_at


async def test_only_the_newest_entries_stay_in_redis_and_replay_is_exact_across_the_border() -> None:
    talk = await new_talk()
    await say(talk, KEPT_ENTRIES + 300)
    before = await stream_of(talk)
    await archive_all()
    assert len(await stream_of(talk)) == KEPT_ENTRIES
    for seq in (0, 1, 299, 300, 301, KEPT_ENTRIES):
        chain = before[seq - 1][1] if seq else NO_CHAIN
        found = await replay(talk, Cursor(1, seq, chain))
        assert [(e.seq, e.chain, e.kind, e.body) for e in found] == before[seq:]


async def test_history_is_the_same_from_the_archive_as_from_the_stream() -> None:
    talk = await new_talk()
    await say(talk, 20, text="caf\u00e9 \U0001f600")
    before = await history(talk.conversation_id, talk.user_id, before_seq=0, limit=20)
    await archive_all()
    await redis().xtrim(keys.log(talk.conversation_id), maxlen=5, approximate=False)
    assert await history(talk.conversation_id, talk.user_id, before_seq=0, limit=20) == before


@pytest.mark.parametrize("fault", ["archive.read", "archive.inserting", "archive.inserted", "archive.confirmed"])
async def test_an_archiver_killed_between_two_steps_loses_and_doubles_nothing(fault: str) -> None:
    talk = await new_talk()
    await say(talk, 600)
    before = await stream_of(talk)
    await kill_at(f"{fault}:1", "archive")
    await say(talk, 5)
    before += (await stream_of(talk))[-5:]
    await archive_all()
    found = await bodies_in_archive(talk)
    assert found == before
    assert found[-1][1] == chain_of(found)
    assert await Message.objects.acount() == 605


@pytest.mark.parametrize("fault", ["archive.read", "archive.inserting", "archive.inserted", "archive.confirmed"])
async def test_a_round_of_several_logs_that_is_cut_off_is_copied_once(fault: str) -> None:
    talks = [await new_talk() for _ in range(3)]
    for talk in talks:
        await say(talk, 20)
    streams = [await stream_of(talk) for talk in talks]
    await kill_at(fault, "archive")
    await archive_all()
    assert [await bodies_in_archive(talk) for talk in talks] == streams
    assert await Message.objects.acount() == 60


async def test_a_message_row_says_what_its_entry_says() -> None:
    talk = await new_talk()
    await say(talk, text="caf\u00e9\0\ttab\\N \U0001f600", respond=True)
    await archive_all()
    row, entry = await Message.objects.aget(), orjson.loads((await stream_of(talk))[0][3])
    data = entry["data"]
    assert (str(row.message_id), str(row.turn_id)) == (data["message_id"], data["turn_id"])
    assert (row.role, row.author, row.device_id) == ("user", talk.user_id, "phone")
    assert (row.client_id, row.status) == (data["client_id"], "complete")
    assert (row.content, time_text(row.at)) == ("caf\u00e9\ttab\\N \U0001f600 0", entry["at"])


async def test_what_is_inserted_names_every_column() -> None:
    for model, names in ((Event, EVENT_FIELDS), (Message, MESSAGE_FIELDS)):
        assert ["id", *names] == [field.name for field in model._meta.concrete_fields]


async def test_one_message_that_is_there_already_upsets_nobody_in_its_round() -> None:
    talks = [await new_talk() for _ in range(3)]
    for talk in talks:
        await say(talk, 5)
    data = orjson.loads((await stream_of(talks[1]))[2][3])["data"]
    other = {"conversation_id": talks[0].conversation_id, "seq": 99, "message_id": data["message_id"]}
    await Message.objects.acreate(**other, role="user", author="7", content="", at=timezone.now())
    await archive_all()
    for talk in talks:
        assert await bodies_in_archive(talk) == await stream_of(talk)
    said = Message.objects.filter(conversation_id=talks[1].conversation_id).order_by("seq")
    assert [seq async for seq in said.values_list("seq", flat=True)] == [1, 2, 4, 5]


async def test_the_dirty_are_found_oldest_first_over_all_partitions() -> None:
    now = await store.now_ms()
    talks = sorted([await new_talk() for _ in range(5)])
    await asyncio.gather(*(redis().delete(keys.dirty(tag)) for tag in keys.TAGS))
    for age, talk in enumerate(talks):
        mark = {talk.conversation_id: now - age * 1000}
        await redis().zadd(keys.dirty(keys.tag(talk.conversation_id)), mark)
    await redis().zadd(keys.dirty(keys.TAGS[0]), {"later": now + 60_000})
    assert await find_dirty(4) == [talk.conversation_id for talk in reversed(talks)][:4]


async def test_what_is_said_while_it_copies_is_copied_next() -> None:
    talk = await new_talk()
    await say(talk, 700)
    passes = asyncio.create_task(archive_all())
    for _ in range(20):
        await say(talk, 10)
    await passes
    await archive_all()
    found = await bodies_in_archive(talk)
    assert [entry[0] for entry in found] == list(range(1, 901))
    assert found[-1][1] == chain_of(found)


async def read_page(talk: Talk) -> tuple[LogPage, Conversation]:
    row = await Conversation.objects.aget(pk=talk.conversation_id)
    page = (await read_pages({talk.conversation_id: row.archived_seq}))[talk.conversation_id]
    assert page is not None
    return page, row


async def test_what_changes_after_the_reading_keeps_its_mark() -> None:
    talk = await new_talk()
    await say(talk, 3)
    page, row = await read_page(talk)
    await in_database(store_pages, [(page, row)])
    renamed = {"title": "new", "once": "c1"}  # an entry that nobody's read position moves with
    await services.rename_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id, **renamed)
    assert await confirm_pages([page], {talk.conversation_id}) == 0
    page, row = await read_page(talk)
    await in_database(store_pages, [(page, row)])
    await redis().hset(keys.reads(talk.conversation_id), f"r{talk.user_id}", 2)
    assert await confirm_pages([page], {talk.conversation_id}) == 0
    page, row = await read_page(talk)
    assert await confirm_pages([page], set()) == 0  # its feeds are not told
    assert await confirm_pages([page], {talk.conversation_id}) == 1


async def test_nothing_leaves_the_stream_before_it_is_archived() -> None:
    talk = await new_talk()
    await say(talk, KEPT_ENTRIES + 600)
    page, row = await read_page(talk)
    await in_database(store_pages, [(page, row)])
    await confirm_pages([page], {talk.conversation_id})
    assert (await stream_of(talk))[0][0] == page.entries[-1].seq + 1


async def test_of_two_archivers_with_the_same_page_one_copies_it() -> None:
    talk = await new_talk()
    await say(talk, 3)
    page, row = await read_page(talk)
    assert (await in_database(store_pages, [(page, row)])).copied == [page]
    assert (await in_database(store_pages, [(page, row)])).copied == []
    assert await bodies_in_archive(talk) == await stream_of(talk)


async def test_two_archivers_at_once_do_no_harm() -> None:
    talks = [await new_talk() for _ in range(5)]
    for talk in talks:
        await say(talk, 40)
    await asyncio.gather(*(Archiver(name).run_once() for name in "abc"))
    await archive_all()
    for talk in talks:
        assert await bodies_in_archive(talk) == await stream_of(talk)


async def test_one_archiver_at_a_time_holds_the_lease_and_gives_it_up() -> None:
    first, second = Archiver("a"), Archiver("b")
    assert await first._hold_lease(5000)
    assert not await second._hold_lease(5000)
    assert not await first._hold_lease(0)
    assert await second._hold_lease(5000)


async def test_the_task_archives_by_itself_and_ends_when_cancelled() -> None:
    talk = await new_talk()
    task = asyncio.create_task(Archiver("a").run())
    await say(talk, 3)
    async with asyncio.timeout(10):
        while await Event.objects.acount() < 3:  # noqa: ASYNC110  # rows of a database wake nobody
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert not await redis().exists(keys.ARCHIVER)


async def test_an_outage_of_redis_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = await new_talk()
    await say(talk, 3)
    works = settings.REDIS_URL
    await store.close()
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:1/0")  # nothing listens there
    archiver = Archiver("a")
    await archiver._guarded_pass()
    await store.close()
    monkeypatch.setattr(settings, "REDIS_URL", works)
    await archiver._guarded_pass()
    assert len(await bodies_in_archive(talk)) == 3


async def test_a_clearing_erases_what_was_before_from_the_archive() -> None:
    talk = await new_talk()
    await say(talk, 600)
    await archive_all()
    await say(talk, 10)
    await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c1")
    await say(talk, 2)
    await archive_all()
    assert [entry[0] for entry in await bodies_in_archive(talk)] == [611, 612, 613]
    assert await Message.objects.acount() == 2
    assert [m["seq"] for m in (await snapshot_of(talk)).messages] == [612, 613]


@pytest.mark.parametrize("fault", ["archive.inserted", "archive.clearing_event", "archive.clearing_message"])
async def test_a_clearing_cut_off_in_the_middle_is_finished_later(fault: str) -> None:
    talk = await new_talk()
    await say(talk, 10, respond=False)
    await archive_all()
    await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c1")
    await kill_at(fault, "archive")
    await archive_all()
    assert [entry[0] for entry in await bodies_in_archive(talk)] == [11]
    assert await Message.objects.acount() == 0


async def test_read_positions_reach_the_database() -> None:
    talk = await new_talk()
    await say(talk, 4)
    await archive_all()
    assert (await Member.objects.aget(conversation=talk.conversation_id)).read_seq == 4


async def test_a_client_id_is_known_from_the_archive_when_redis_has_forgotten_it() -> None:
    talk = await new_talk()
    [first] = await say(talk, client_id="once")
    await archive_all()
    await redis().delete(keys.sent(talk.conversation_id, talk.user_id, "once"))
    await redis().hset(keys.meta(talk.conversation_id), "born_ms", 0)
    [again] = await say(talk, client_id="once", retry=True)
    assert (again.seq, again.message_id, again.duplicate) == (first.seq, first.message_id, True)


async def test_a_client_id_that_came_twice_is_two_entries_and_found_as_the_first() -> None:
    talk = await new_talk()
    await say(talk, client_id="once")
    await redis().delete(keys.sent(talk.conversation_id, talk.user_id, "once"))
    await say(talk, client_id="once")
    await archive_all()
    rows = [row async for row in Message.objects.order_by("seq").values_list("seq", "client_id")]
    assert rows == [(1, "once"), (2, "")]


async def test_one_log_that_cannot_be_copied_does_not_stop_the_others() -> None:
    bad, good = await new_talk(), await new_talk()
    await say(bad)
    await redis().xadd(keys.log(bad.conversation_id), {"k": "x", "c": "y", "b": "no json"}, id="2-0")
    await redis().hset(keys.meta(bad.conversation_id), "seq", 2)
    await say(good, 2)
    await Archiver("a").run_once()
    assert len(await bodies_in_archive(good)) == 2
