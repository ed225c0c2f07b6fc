"""Several people in one conversation: who is in it, whom it is told, and what is left when somebody goes."""

import asyncio
from uuid import uuid4

import orjson
import pytest

from conversations import feed, keys, log, memberships, restoring, services
from conversations.errors import Forbidden, TooLarge
from conversations.log import Cursor
from conversations.models import Conversation, Member, User
from conversations.verifying import verify_once
from tests.archive_kit import (
    Talk,
    archive_all,
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


async def new_person(name: str = "") -> User:
    return await User.objects.acreate(username=name or f"u{uuid4().hex[:12]}")


async def invite(talk: Talk, guest: User, once: str = "") -> Talk:
    """Return the conversation as the newcomer has it."""
    about = {"user_id": talk.user_id, "conversation_id": talk.conversation_id}
    await memberships.invite_member(**about, username=guest.username, once=once or uuid4().hex)
    return Talk(talk.conversation_id, str(guest.pk))


async def remove(talk: Talk, guest: User, once: str = "") -> None:
    about = {"user_id": talk.user_id, "conversation_id": talk.conversation_id, "device_id": "phone"}
    await memberships.remove_member(**about, username=guest.username, once=once or uuid4().hex)


async def leave(talk: Talk, once: str = "") -> None:
    about = {"user_id": talk.user_id, "conversation_id": talk.conversation_id, "device_id": "phone"}
    await memberships.leave_conversation(**about, once=once or uuid4().hex)


async def kinds(talk: Talk) -> list[str]:
    return [kind for _, _, kind, _ in await stream_of(talk)]


async def feed_of(talk: Talk) -> list[str]:
    rows = await redis().xrange(keys.feed(talk.user_id))
    told = [orjson.loads(fields[b"b"]) for _, fields in rows]
    return [each["event"] for each in told if each["data"].get("conversation_id") == talk.conversation_id]


async def seats_of(talk: Talk) -> dict[str, str]:
    """Who is in it as the database has it."""
    rows = Member.objects.filter(conversation_id=talk.conversation_id, left_seq=None)
    return {str(user): role async for user, role in rows.values_list("user_id", "role")}


async def members_of(talk: Talk) -> dict[str, str]:
    brief = await log.brief(talk.conversation_id)
    return brief.members if brief else {}


async def test_a_newcomer_reads_everything_and_writes_in_the_same_order() -> None:
    talk = await new_talk()
    await say(talk, 3)
    guest = await invite(talk, await new_person())
    [said] = await say(guest, text="hello all")
    assert said.seq == 5
    assert await replay(guest, Cursor(None, 0, "")) == await replay(talk, Cursor(None, 0, ""))
    assert await kinds(talk) == ["message"] * 3 + ["member.joined", "message"]
    assert (await snapshot_of(talk)).members == {talk.user_id: "owner", guest.user_id: "member"}
    assert await members_of(talk) == await seats_of(talk)


async def test_a_newcomer_begins_with_nothing_unread_and_the_others_count_what_they_say() -> None:
    talk = await new_talk()
    await say(talk, 3)
    guest = await invite(talk, await new_person())
    await say(guest, 2)
    await say(talk)
    brief = await log.brief(talk.conversation_id)
    assert brief is not None
    assert (brief.unread[talk.user_id], brief.unread[guest.user_id]) == (0, 1)
    listed = await services.list_conversations(user_id=guest.user_id)
    assert [(item["role"], item["unread"]) for item in listed["items"]] == [("member", 1)]


async def test_feeds_tell_who_came_and_who_went_once() -> None:
    talk = await new_talk()
    person = await new_person()
    guest = await invite(talk, person, "i1")
    await invite(talk, person, "i1")
    await say(talk)
    await feed.tell_updated(talk.conversation_id)
    await remove(talk, person, "r1")
    await remove(talk, person, "r1")
    await say(talk)
    await archive_all()
    told = await feed_of(guest)
    assert (told[0], told[-1], told.count("conversation.deleted")) == (
        "conversation.created",
        "conversation.deleted",
        1,
    )


async def test_old_news_do_not_bring_back_what_is_gone_from_a_list() -> None:
    talk = await new_talk()
    person = await new_person()
    guest = await invite(talk, person)
    brief = await log.brief(talk.conversation_id)
    assert brief is not None
    await remove(talk, person)
    data = {"conversation_id": talk.conversation_id, "head": brief.head.wire()}
    await feed.push(guest.user_id, "conversation.updated", data, head=brief.head.seq)
    assert (await feed_of(guest))[-1] == "conversation.deleted"


async def test_an_invitation_sent_again_or_at_once_from_two_devices_is_one_entry() -> None:
    talk = await new_talk()
    person = await new_person()
    await asyncio.gather(*(invite(talk, person, once) for once in ("a", "b", "a", "b")))
    assert await kinds(talk) == ["member.joined"]


async def test_an_old_invitation_sent_again_does_not_bring_back_who_was_removed() -> None:
    talk = await new_talk()
    person = await new_person()
    guest = await invite(talk, person, "i1")
    await remove(talk, person)
    await invite(talk, person, "i1")
    assert (await members_of(talk), await seats_of(talk)) == ({talk.user_id: "owner"},) * 2
    assert (await feed_of(guest))[-1] == "conversation.deleted"


@pytest.mark.parametrize("how", ["left", "removed"])
async def test_who_is_gone_can_do_nothing_more(how: str) -> None:
    talk = await new_talk()
    person = await new_person()
    guest = await invite(talk, person)
    await (leave(guest) if how == "left" else remove(talk, person))
    for attempt in (say(guest), snapshot_of(guest), log.check_member(*guest), leave(guest, "again")):
        with pytest.raises(Forbidden):
            await attempt
    assert (await services.list_conversations(user_id=guest.user_id))["items"] == []
    assert await kinds(talk) == ["member.joined", "member.left"]


async def test_leaving_sent_again_is_done_and_whoever_came_back_stays() -> None:
    talk = await new_talk()
    person = await new_person()
    guest = await invite(talk, person)
    await leave(guest, "l1")
    await leave(guest, "l1")
    await invite(talk, person)
    await leave(guest, "l1")
    assert await kinds(talk) == ["member.joined", "member.left", "member.joined"]
    assert await members_of(talk) == await seats_of(talk)


async def test_a_member_may_talk_but_not_change_what_is_the_owners() -> None:
    talk = await new_talk()
    person = await new_person()
    guest = await invite(talk, person)
    await say(guest)
    about = {"user_id": guest.user_id, "conversation_id": guest.conversation_id}
    for attempt in (
        services.rename_conversation(**about, title="x", once="1"),
        services.switch_topic(**about, topic="x", once="2"),
        services.clear_history(**about, once="3"),
        services.delete_conversation(**about, device_id="phone"),
        memberships.invite_member(**about, username=person.username, once="4"),
        memberships.invite_member(**about, username="nobody-at-all", once="5"),
        memberships.remove_member(**about, username=person.username, device_id="phone", once="6"),
    ):
        with pytest.raises(Forbidden):
            await attempt
    assert await kinds(talk) == ["member.joined", "message"]


async def test_nobody_of_this_name_and_a_disabled_account_cannot_be_invited() -> None:
    talk = await new_talk()
    disabled = await new_person()
    await User.objects.filter(pk=disabled.pk).aupdate(is_active=False)
    refusals = []
    for username in ("nobody-at-all", disabled.username):
        with pytest.raises(Forbidden) as refused:
            await memberships.invite_member(
                user_id=talk.user_id, conversation_id=talk.conversation_id, username=username, once=username
            )
        refusals.append(refused.value.message)
    assert refusals[0] == refusals[1]


async def test_a_conversation_takes_so_many_members_and_a_person_so_many_conversations(
    monkeypatch: pytest.MonkeyPatch, settings: pytest.FixtureRequest
) -> None:
    talk = await new_talk()
    monkeypatch.setattr(memberships, "MOST_MEMBERS", 2)
    await invite(talk, await new_person())
    with pytest.raises(TooLarge):
        await invite(talk, await new_person())
    other = await new_talk()
    busy = await new_talk()
    settings.MAX_CONVERSATIONS_PER_USER = 1
    with pytest.raises(TooLarge):
        await invite(other, await User.objects.aget(pk=busy.user_id))


async def test_the_owners_place_goes_to_whoever_has_been_here_longest() -> None:
    talk = await new_talk()
    later, sooner = await new_person(), await new_person()
    second = await invite(talk, sooner)
    third = await invite(talk, later)
    await leave(talk)
    members = {second.user_id: "owner", third.user_id: "member"}
    assert (await members_of(talk), await seats_of(talk)) == (members, members)
    assert str((await Conversation.objects.aget(pk=talk.conversation_id)).owner_id) == second.user_id
    [left] = [orjson.loads(body)["data"] for _, _, kind, body in await stream_of(talk) if kind == "member.left"]
    assert left["owner"] == second.user_id
    await services.rename_conversation(
        user_id=second.user_id, conversation_id=talk.conversation_id, title="Ours", once="1"
    )


async def test_the_last_one_who_leaves_deletes_and_may_undo_it() -> None:
    talk = await new_talk()
    await leave(talk, "l1")
    await leave(talk, "l1")
    assert (await kinds(talk), (await feed_of(talk))[-1]) == (["conversation.deleted"], "conversation.deleted")
    await services.restore_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id)
    assert await members_of(talk) == {talk.user_id: "owner"}


async def test_all_leave_at_once_and_nobody_is_left_behind_without_an_owner() -> None:
    talk = await new_talk()
    guests = [await invite(talk, await new_person()) for _ in range(4)]
    await asyncio.gather(*(leave(each) for each in [talk, *guests[:-1]]))
    assert await members_of(talk) == {guests[-1].user_id: "owner"}
    assert await seats_of(talk) == {guests[-1].user_id: "owner"}


async def test_who_sends_while_being_removed_is_heard_before_it_or_refused() -> None:
    talk = await new_talk()
    person = await new_person()
    guest = await invite(talk, person)
    results = await asyncio.gather(*(say(guest) for _ in range(20)), remove(talk, person), return_exceptions=True)
    entries = await kinds(talk)
    refused = [each for each in results if isinstance(each, BaseException)]
    assert all(isinstance(each, Forbidden) for each in refused)
    assert entries.count("message") == 20 - len(refused)
    assert "message" not in entries[entries.index("member.left") :]


async def test_pieces_go_to_those_who_are_members_when_they_are_written() -> None:
    from conversations.turns import add_pieces

    talk = await new_talk()
    staying, going = await new_person(), await new_person()
    left = await invite(talk, going)
    await say(talk, respond=True)
    claimed = await start_turn(talk)
    assert set(claimed.members) == {talk.user_id, left.user_id}
    came = await invite(talk, staying)
    await remove(talk, going)
    await add_pieces(claimed, 1, ["so"])
    assert set(claimed.members) == {talk.user_id, came.user_id}


@pytest.mark.parametrize("how", ["lost", "parked"])
async def test_members_their_roles_and_their_order_come_back_from_the_archive(how: str) -> None:
    from conversations.parking import park_rows

    talk = await new_talk()
    gone = await new_person()
    second = await invite(talk, await new_person())
    await invite(talk, gone)
    third = await invite(talk, await new_person())
    await remove(talk, gone)
    await say(talk)
    await archive_all()
    if how == "lost":
        await redis().flushall()
    else:
        await park_rows([await Conversation.objects.aget(pk=talk.conversation_id)], idle_ms=0)
    assert await restoring.bring_back(talk.conversation_id)
    assert await members_of(talk) == {talk.user_id: "owner", second.user_id: "member", third.user_id: "member"}
    brief = await log.brief(talk.conversation_id)
    assert brief is not None
    assert brief.unread == {talk.user_id: 0, second.user_id: 1, third.user_id: 1}
    await leave(talk)
    assert await members_of(talk) == {second.user_id: "owner", third.user_id: "member"}


async def test_comings_and_goings_that_only_the_log_had_survive_a_rebuilding() -> None:
    talk = await new_talk()
    old, new = await new_person(), await new_person()
    first = await invite(talk, old)
    await say(talk)
    await archive_all()
    saved = await Conversation.objects.aget(pk=talk.conversation_id)
    await invite(talk, new)
    await leave(talk)
    await remove(first, new)
    # The database is set back to where it was, and as if it had another history since.
    await Member.objects.filter(conversation_id=saved.pk).adelete()
    for user, role in ((talk.user_id, "owner"), (first.user_id, "member")):
        await Member.objects.acreate(conversation=saved, user_id=user, role=role)
    await Conversation.objects.filter(pk=saved.pk).aupdate(owner_id=talk.user_id, archived_chain="f" * 16)
    await redis().delete(keys.VERIFIED)
    await archive_all()
    members = {first.user_id: "owner"}
    assert (await members_of(talk), await seats_of(talk)) == (members, members)
    assert str((await Conversation.objects.aget(pk=saved.pk)).owner_id) == first.user_id


@pytest.mark.parametrize("what", ["joined", "left"])
async def test_what_a_crash_left_undone_the_archiver_does(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crash(Exception):
        pass

    async def die(*args: object) -> None:
        raise Crash

    talk = await new_talk()
    person = await new_person()
    guest = Talk(talk.conversation_id, str(person.pk))
    if what == "left":
        await invite(talk, person)
    with monkeypatch.context() as patched:
        patched.setattr(memberships, "in_database", die)
        with pytest.raises(Crash):
            await (invite(talk, person) if what == "joined" else remove(talk, person))
    await archive_all()
    assert await seats_of(talk) == await members_of(talk)
    assert (await feed_of(guest))[0 if what == "joined" else -1] == (
        "conversation.created" if what == "joined" else "conversation.deleted"
    )


async def test_an_archiver_that_dies_in_the_middle_leaves_no_wrong_members() -> None:
    talk = await new_talk()
    person = await new_person()
    await invite(talk, person)
    await Member.objects.filter(user=person).adelete()
    await kill_at("archive.inserting", "archive")
    await archive_all()
    assert await seats_of(talk) == await members_of(talk)


async def test_a_clearing_before_the_archive_heard_of_a_newcomer_keeps_the_newcomer() -> None:
    talk = await new_talk()
    person = await new_person()
    guest = await invite(talk, person)
    await Member.objects.filter(user=person).adelete()
    await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c")
    await archive_all()
    assert await seats_of(talk) == {talk.user_id: "owner", guest.user_id: "member"}


async def test_flags_drafts_and_read_positions_are_each_members_own() -> None:
    talk = await new_talk()
    guest = await invite(talk, await new_person())
    await say(talk, 3)
    about = {"user_id": guest.user_id, "conversation_id": guest.conversation_id}
    await services.set_flag(**about, command="pin")
    await services.set_draft(**about, content="not yet", device_id="phone")
    await services.mark_read(**about, seq=3)
    items = [(await services.list_conversations(user_id=each.user_id))["items"][0] for each in (talk, guest)]
    assert [(item["pinned"], item["draft"], item["unread"]) for item in items] == [(False, "", 0), (True, "not yet", 1)]


async def test_an_answer_reaches_all_members_unread() -> None:
    talk = await new_talk()
    guest = await invite(talk, await new_person())
    await say(guest, respond=True)
    await finish_turn(await start_turn(talk), "yes")
    brief = await log.brief(talk.conversation_id)
    assert brief is not None
    assert brief.unread == {talk.user_id: 2, guest.user_id: 1}


async def test_adopting_a_log_takes_its_members() -> None:
    talk = await new_talk()
    guest = await invite(talk, await new_person())
    await archive_all()
    await lose_row(talk.conversation_id)
    await say(guest)
    await archive_all()
    assert await seats_of(talk) == {talk.user_id: "owner", guest.user_id: "member"}


async def nothing() -> None:
    pass


async def test_rows_are_right_after_redis_was_set_back_and_verified() -> None:
    talk = await new_talk()
    guest = await invite(talk, await new_person())
    await archive_all()
    await redis().delete(keys.VERIFIED)
    await verify_once(nothing)
    assert await seats_of(talk) == await members_of(guest)
