"""Written anew, edited, forked: who may, when, once, and what gave way stays marked wherever it is read from."""

import random
from time import process_time
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest

from conversations import control, forks, keys, log, services, storage, versions
from conversations.archive import Archiver
from conversations.erasing import Eraser
from conversations.errors import Conflict, Forbidden, InvalidMessage
from conversations.models import Conversation, Member, Turn
from conversations.parking import park_rows
from conversations.superseding import Range, mark
from tests.archive_kit import Talk, archive_all, finish_turn, keys_with, new_talk, redis, say, snapshot_of, start_turn

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


async def ask(talk: Talk, answer: str = "fine") -> None:
    await say(talk, respond=True)
    await finish_turn(await start_turn(talk), answer)


async def answered_talk(turns: int = 1) -> Talk:
    talk = await new_talk()
    for number in range(turns):
        await ask(talk, f"answer {number}")
    return talk


async def messages_of(talk: Talk) -> list[dict[str, Any]]:
    return (await snapshot_of(talk)).messages


async def regenerate(talk: Talk, message_id: str, *, once: str = "g", user_id: str = "") -> str:
    return await versions.regenerate_answer(
        user_id=user_id or talk.user_id,
        device_id="phone",
        conversation_id=talk.conversation_id,
        message_id=message_id,
        once=once,
    )


async def edit(talk: Talk, message_id: str, *, once: str = "e", user_id: str = "") -> str:
    return await versions.edit_message(
        user_id=user_id or talk.user_id,
        device_id="phone",
        conversation_id=talk.conversation_id,
        message_id=message_id,
        content="in other words",
        once=once,
    )


async def fork(talk: Talk, seq: int, new_id: str = "") -> Talk:
    new_id = new_id or str(uuid4())
    copy = await forks.copy_conversation(
        user_id=talk.user_id, conversation_id=talk.conversation_id, seq=seq, new_id=new_id
    )
    await forks.open_fork(user_id=talk.user_id, copy=copy)
    return Talk(new_id, talk.user_id)


async def marks(talk: Talk) -> list[tuple[str, str | None]]:
    return [(each["content"], each.get("superseded_by")) for each in await messages_of(talk)]


async def test_an_answer_written_anew_is_a_turn_for_the_same_message() -> None:
    talk = await answered_talk(2)
    said = await messages_of(talk)
    turn_id = await regenerate(talk, said[-1]["message_id"])
    claimed = await start_turn(talk)
    assert (claimed.turn_id, claimed.seq) == (turn_id, said[-2]["seq"])
    await finish_turn(claimed, "better")
    assert [mark for _, mark in await marks(talk)] == [None, None, None, turn_id, None]


async def test_written_anew_twice_it_still_answers_the_same_message() -> None:
    talk = await answered_talk()
    for number in range(3):
        said = await messages_of(talk)
        await regenerate(talk, said[-1]["message_id"], once=f"g{number}")
        claimed = await start_turn(talk)
        assert claimed.seq == 1
        await finish_turn(claimed, f"again {number}")
    assert sum(mark is None for _, mark in await marks(talk)) == 2


async def test_of_two_questions_asked_at_once_the_last_answers_own_is_answered_anew() -> None:
    talk = await new_talk()
    await say(talk, 2, respond=True)
    for text in ("one", "two"):
        await finish_turn(await start_turn(talk), text)
    await regenerate(talk, (await messages_of(talk))[-1]["message_id"])
    assert (await start_turn(talk)).seq == 2


@pytest.mark.parametrize("is_archived", [True, False])
async def test_however_much_was_said_since_an_answer_is_written_anew_for_its_own_question(is_archived: bool) -> None:
    talk = await new_talk()
    await say(talk, respond=True)
    claimed = await start_turn(talk)
    await say(talk, 101)
    await finish_turn(claimed, "late")
    if is_archived:
        await archive_all()
    await regenerate(talk, (await messages_of(talk))[-1]["message_id"])
    assert (await start_turn(talk)).seq == 1


async def late_answer() -> Talk:
    """Return a talk that ends with an answer to the question before the last."""
    talk = await new_talk()
    await say(talk, 2, respond=True)
    await finish_turn(await start_turn(talk), "to the first")
    return talk


async def test_in_a_fork_an_answer_is_written_anew_for_its_own_question() -> None:
    talk = await late_answer()
    seq = (await messages_of(talk))[-1]["seq"]
    await finish_turn(await start_turn(talk), "to the second")
    copy = await fork(talk, seq)
    copy_of_copy = await fork(copy, 3)
    for each in (copy, copy_of_copy):
        await regenerate(each, (await messages_of(each))[-1]["message_id"])
        assert (await start_turn(each)).seq == 1


async def test_what_a_copy_of_before_answers_is_the_question_right_before_it_or_unknown(monkeypatch) -> None:
    monkeypatch.setattr(forks, "_questions", AsyncMock(return_value={}))
    talk, late = await answered_talk(), await late_answer()
    await finish_turn(await start_turn(late), "to the second")
    plain, doubtful = await fork(talk, 3), await fork(late, (await snapshot_of(late)).head.seq)
    await regenerate(plain, (await messages_of(plain))[-1]["message_id"])
    assert (await start_turn(plain)).seq == 1
    with pytest.raises(InvalidMessage):
        await regenerate(doubtful, (await messages_of(doubtful))[-1]["message_id"])


async def test_an_edit_supersedes_the_message_and_what_followed() -> None:
    talk = await answered_talk(2)
    said = await messages_of(talk)
    turn_id = await edit(talk, said[2]["message_id"])
    new = (await messages_of(talk))[-1]
    assert (new["content"], new["turn_id"], (await start_turn(talk)).seq) == ("in other words", turn_id, new["seq"])
    assert [mark for _, mark in await marks(talk)] == [None, None, new["message_id"], new["message_id"], None]


async def test_the_edit_of_what_was_said_without_asking_asks_nothing_either() -> None:
    talk = await answered_talk()
    await say(talk)
    copy = await fork(talk, 5)
    for each in (talk, copy):
        for _ in range(2):
            assert await edit(each, (await messages_of(each))[2]["message_id"]) == ""
            assert (await log.heads([each.conversation_id]))[each.conversation_id].turn is None
    assert [mark is None for _, mark in await marks(talk)] == [True, True, False, True]
    await archive_all()
    assert await Turn.objects.acount() == 1


async def test_in_a_fork_an_edited_question_asks_as_it_did() -> None:
    copy = await fork(await answered_talk(), 3)
    turn_id = await edit(copy, (await messages_of(copy))[0]["message_id"])
    assert (await start_turn(copy)).turn_id == turn_id


async def test_a_repeat_of_the_same_command_changes_nothing() -> None:
    talk = await answered_talk()
    said = await messages_of(talk)
    first = await edit(talk, said[0]["message_id"])
    head = (await snapshot_of(talk)).head
    assert (await edit(talk, said[0]["message_id"]), (await snapshot_of(talk)).head) == (first, head)


async def test_anothers_message_cannot_be_edited_and_neither_can_an_answer() -> None:
    talk, other = await answered_talk(), await new_talk()
    await redis().hset(keys.members(talk.conversation_id), other.user_id, "member")
    question, answer = await messages_of(talk)
    for user_id, message in ((other.user_id, question), (talk.user_id, answer)):
        with pytest.raises(Forbidden):
            await edit(talk, message["message_id"], user_id=user_id)
    with pytest.raises(Forbidden):
        await regenerate(talk, answer["message_id"], user_id=other.user_id)


async def test_of_several_people_who_asked_and_the_owner_may_have_an_answer_written_anew() -> None:
    talk, other, third = await answered_talk(), await new_talk(), await new_talk()
    for member in (other, third):
        await redis().hset(keys.members(talk.conversation_id), member.user_id, "member")
    await ask(Talk(talk.conversation_id, other.user_id))
    for user_id, once in ((other.user_id, "g1"), (talk.user_id, "g2")):
        answer = (await messages_of(talk))[-1]
        with pytest.raises(Forbidden):
            await regenerate(talk, answer["message_id"], user_id=third.user_id)
        await regenerate(talk, answer["message_id"], once=once, user_id=user_id)
        claimed = await start_turn(talk)
        assert claimed.user_id == user_id
        await finish_turn(claimed, "better")


async def test_the_turn_of_an_edit_is_cancelled_by_whoever_edited() -> None:
    talk, other = await answered_talk(), await new_talk()
    await redis().hset(keys.members(talk.conversation_id), other.user_id, "member")
    mine = (await messages_of(talk))[0]
    await edit(talk, mine["message_id"])
    about = {"conversation_id": talk.conversation_id, "device_id": "phone", "once": "c"}
    with pytest.raises(Forbidden):
        await control.cancel_turn(**about, user_id=other.user_id)
    await control.cancel_turn(**about, user_id=talk.user_id)


async def test_what_is_no_message_here_is_refused() -> None:
    talk, other = await answered_talk(), await answered_talk()
    elsewhere = (await messages_of(other))[0]["message_id"]
    for message_id in (elsewhere, str(uuid4())):
        with pytest.raises(InvalidMessage):
            await edit(talk, message_id)
        with pytest.raises(InvalidMessage):
            await regenerate(talk, message_id)
    with pytest.raises(InvalidMessage):
        await regenerate(talk, (await messages_of(talk))[0]["message_id"])


async def test_only_the_last_answer_can_be_written_anew() -> None:
    talk = await answered_talk(2)
    with pytest.raises(Conflict):
        await regenerate(talk, (await messages_of(talk))[1]["message_id"])


async def test_while_a_turn_is_in_flight_nothing_is_edited_regenerated_or_forked() -> None:
    talk = await answered_talk()
    question, answer = await messages_of(talk)
    await say(talk, respond=True)
    for attempt in (edit(talk, question["message_id"]), regenerate(talk, answer["message_id"]), fork(talk, 1)):
        with pytest.raises(Conflict):
            await attempt


@pytest.mark.parametrize("seq", [0, 5])
async def test_a_fork_beyond_either_end_is_refused(seq: int) -> None:
    talk = await answered_talk()
    assert (await snapshot_of(talk)).head.seq == 4
    with pytest.raises(InvalidMessage):
        await fork(talk, seq)


async def test_a_fork_says_the_same_up_to_its_place_and_then_goes_its_own_way() -> None:
    talk = await answered_talk(2)
    said = await messages_of(talk)
    copy = await fork(talk, said[1]["seq"])
    copied = await messages_of(copy)
    same = ("role", "author", "content", "status", "at")
    assert [[each[name] for name in same] for each in copied] == [[each[name] for name in same] for each in said[:2]]
    assert {each["message_id"] for each in copied}.isdisjoint(each["message_id"] for each in said)
    await ask(copy)
    await archive_all()
    assert (len(await messages_of(talk)), len(await messages_of(copy))) == (4, 4)


async def test_a_fork_at_what_gave_way_shows_the_talk_as_it_was_then() -> None:
    talk = await answered_talk(2)
    said = await messages_of(talk)
    await edit(talk, said[0]["message_id"])
    await finish_turn(await start_turn(talk), "new")
    old, new = await fork(talk, said[3]["seq"]), await fork(talk, (await snapshot_of(talk)).head.seq)
    assert [content for content, _ in await marks(old)] == [each["content"] for each in said]
    assert [content for content, _ in await marks(new)] == ["in other words", "new"]


async def test_a_fork_that_the_archiver_met_half_made_has_its_owner() -> None:
    talk, new_id = await answered_talk(2), str(uuid4())
    copy = await forks.copy_conversation(
        user_id=talk.user_id, conversation_id=talk.conversation_id, seq=8, new_id=new_id
    )
    await archive_all()
    await forks.open_fork(user_id=talk.user_id, copy=copy)
    await Member.objects.filter(conversation=new_id).adelete()  # as if the node had died there
    await archive_all()
    items = (await services.list_conversations(user_id=talk.user_id))["items"]
    assert [item["role"] for item in items if item["conversation_id"] == new_id] == ["owner"]


async def test_a_repeated_fork_is_one_conversation() -> None:
    talk, new_id = await answered_talk(), str(uuid4())
    await fork(talk, 3, new_id)
    copy = await fork(talk, 3, new_id)
    items = (await services.list_conversations(user_id=talk.user_id))["items"]
    assert (len(items), len(await messages_of(copy))) == (2, 2)


async def test_a_broken_off_fork_that_is_asked_for_otherwise_stays_hidden_and_is_erased() -> None:
    talk, new_id = await answered_talk(3), str(uuid4())
    await forks.copy_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id, seq=12, new_id=new_id)
    with pytest.raises(Conflict):
        await fork(talk, 3, new_id)
    assert len((await services.list_conversations(user_id=talk.user_id))["items"]) == 1
    assert await redis().zscore(keys.erase(keys.tag(new_id)), new_id) is not None


async def test_a_fork_is_hidden_until_it_is_whole_and_erased_if_nobody_comes_back() -> None:
    talk, new_id = await answered_talk(), str(uuid4())
    await forks.copy_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id, seq=3, new_id=new_id)
    assert len((await services.list_conversations(user_id=talk.user_id))["items"]) == 1
    with pytest.raises(Forbidden):
        await log.check_member(new_id, talk.user_id)
    await redis().zadd(keys.erase(keys.tag(new_id)), {new_id: 1})
    await Eraser().erase_due()
    assert not await Conversation.objects.filter(pk=new_id).aexists()
    assert (await storage.measure()).orphans == []


async def test_marks_are_the_same_from_the_stream_the_archive_and_a_log_that_came_back() -> None:
    talk = await answered_talk(2)
    said = await messages_of(talk)
    await regenerate(talk, said[-1]["message_id"])
    await finish_turn(await start_turn(talk), "better")
    await edit(talk, said[2]["message_id"])
    await finish_turn(await start_turn(talk), "best")
    before = await marks(talk)
    assert [mark is not None for _, mark in before] == [False, False, True, True, True, False, False]
    await archive_all()
    await redis().xtrim(keys.log(talk.conversation_id), maxlen=1, approximate=False)
    assert await marks(talk) == before
    row = await Conversation.objects.aget(pk=talk.conversation_id)
    assert await park_rows([row], idle_ms=0) == 1
    assert await redis().exists(keys.superseded(talk.conversation_id)) == 0
    assert await marks(talk) == before


async def test_a_lost_redis_still_answers_anew_what_was_asked() -> None:
    talk = await answered_talk(2)
    said = await messages_of(talk)
    turn_id = await regenerate(talk, said[-1]["message_id"])
    await archive_all()
    turn = await Turn.objects.aget(pk=turn_id)
    assert (turn.seq, turn.status) == (said[2]["seq"], Turn.Status.QUEUED)
    await redis().flushall()
    assert (await marks(talk))[-1] == ("answer 1", turn_id)
    assert ((await start_turn(talk)).turn_id, (await messages_of(talk))[-1]["superseded_by"]) == (turn_id, turn_id)


async def set_apart() -> Talk:
    """Return a talk whose log and archive have gone different ways after the first answer."""
    talk = await answered_talk()
    await archive_all()
    old_redis = (
        await redis().dump(keys.log(talk.conversation_id)),
        await redis().hgetall(keys.meta(talk.conversation_id)),
    )
    await say(talk, text="only in the archive")
    await archive_all()
    await redis().delete(keys.log(talk.conversation_id), keys.meta(talk.conversation_id))
    await redis().restore(keys.log(talk.conversation_id), 0, old_redis[0])
    await redis().hset(keys.meta(talk.conversation_id), mapping=old_redis[1])
    return talk


async def test_a_log_that_is_rebuilt_at_other_places_still_answers_anew_what_was_asked() -> None:
    talk = await set_apart()
    await ask(talk, "only in the log")
    turn_id = await regenerate(talk, (await messages_of(talk))[-1]["message_id"])
    assert await Archiver("test").run_once() >= 0
    await archive_all()
    claimed, said = await start_turn(talk), await messages_of(talk)
    asked = [each["seq"] for each in said if each["role"] == "user"][-1]
    assert (claimed.turn_id, claimed.seq, claimed.user_id) == (turn_id, asked, talk.user_id)
    assert (await Turn.objects.aget(pk=turn_id)).seq == asked


async def test_a_log_that_is_rebuilt_at_other_places_marks_the_same_messages() -> None:
    talk = await set_apart()
    await ask(talk, "only in the log")
    await regenerate(talk, (await messages_of(talk))[-1]["message_id"])
    await finish_turn(await start_turn(talk), "better")
    before = dict(await marks(talk))
    assert await Archiver("test").run_once() >= 0
    await archive_all()
    after = dict(await marks(talk))
    assert "only in the archive 0" in after
    assert {content: after[content] for content in before} == before


class Sides:
    """A talk that goes on in the archive, is set back in Redis, and goes another way there. No text comes twice."""

    def __init__(self, talk: Talk, dice: random.Random) -> None:
        self.talk, self.dice, self.texts = talk, dice, 0

    def text(self) -> str:
        self.texts += 1
        return f"text {self.texts}"

    async def answer(self) -> str:
        text = self.text()
        await finish_turn(await start_turn(self.talk), text)
        return text

    async def go_on(self, steps: int) -> None:
        for _ in range(steps):
            said = await messages_of(self.talk)
            editable = [each for each in said if each["role"] == "user" and "superseded_by" not in each]
            doing = self.dice.choice(["say", "ask", "regenerate", "edit"])
            if doing in ("say", "ask") or (doing == "edit" and not editable):
                await say(self.talk, text=self.text(), respond=doing == "ask")
            elif doing == "edit":
                message = self.dice.choice(editable)
                about = {"user_id": self.talk.user_id, "device_id": "phone", "message_id": message["message_id"]}
                about |= {"conversation_id": self.talk.conversation_id, "once": uuid4().hex}
                await versions.edit_message(**about, content=self.text())
            elif said and said[-1]["role"] == "assistant":
                await regenerate(self.talk, said[-1]["message_id"], once=uuid4().hex)
            if (await log.heads([self.talk.conversation_id]))[self.talk.conversation_id].turn:
                await self.answer()

    async def keep(self) -> dict[bytes, bytes]:
        turn = await redis().lrange(keys.turns(self.talk.conversation_id), 0, -1)
        found = await keys_with(self.talk.conversation_id)
        found += [keys.turn(self.talk.conversation_id, each.decode()).encode() for each in turn]
        return {key: await redis().dump(key) for key in found}

    async def set_back(self, kept: dict[bytes, bytes]) -> None:
        await redis().delete(*await keys_with(self.talk.conversation_id))
        for key, value in kept.items():
            await redis().restore(key, 0, value, replace=True)
        await redis().zadd(keys.due(keys.tag(self.talk.conversation_id)), {self.talk.conversation_id: 1})


@pytest.mark.parametrize("seed", range(8))
async def test_a_rebuilt_log_marks_what_the_log_or_the_archive_had_marked_and_nothing_else(seed: int) -> None:
    sides = Sides(await new_talk(), random.Random(seed))
    talk = sides.talk
    await sides.go_on(3)
    await say(talk, text=sides.text(), respond=True)
    await archive_all()
    kept = await sides.keep()
    twice = await sides.answer()  # one turn ends on both sides: the archive's answer stays
    await say(talk, text="same", client_id="same")
    await sides.go_on(4)
    await archive_all()
    in_archive = dict(await marks(talk))
    await sides.set_back(kept)
    other = await sides.answer()
    await sides.go_on(3)
    await say(talk, text="same", client_id="same")
    await sides.go_on(3)
    in_log = dict(await marks(talk))
    assert await Archiver("test").run_once() >= 0
    await archive_all()
    after = dict(await marks(talk))
    in_log[twice] = in_log.pop(other)
    assert after == in_log | {text: by or in_log.get(text) for text, by in in_archive.items()}
    assert await park_rows([await Conversation.objects.aget(pk=talk.conversation_id)], idle_ms=0) == 1
    assert dict(await marks(talk)) == after


async def test_a_clearing_forgets_what_gave_way() -> None:
    talk = await answered_talk()
    await edit(talk, (await messages_of(talk))[0]["message_id"])
    await finish_turn(await start_turn(talk), "new")
    await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c")
    assert await redis().exists(keys.superseded(talk.conversation_id)) == 0
    await ask(talk)
    assert [mark for _, mark in await marks(talk)] == [None, None]


def test_what_gave_way_first_keeps_its_mark() -> None:
    messages: list[dict[str, Any]] = [{"seq": seq} for seq in range(1, 6)]
    mark(messages, [Range(3, 3, 4, "turn", 1), Range(2, 5, 6, "edit", 0)])
    assert [each.get("superseded_by") for each in messages] == [None, "edit", "turn", "edit", "edit"]


def test_marks_are_found_at_a_cost_that_does_not_multiply() -> None:
    count = 50_000
    messages: list[dict[str, Any]] = [{"seq": seq} for seq in range(1, count)]
    began = process_time()
    mark(messages, [Range(9 * n, 9 * n + 1, 9 * n + 2, str(n), 0) for n in range(1, 5_000)])
    mark(messages, [Range(count - 10 * n, count, count, "all", 0) for n in range(5_001)])
    assert process_time() - began < 2  # looking at each with each takes more than ten
    assert {each["superseded_by"] for each in messages} == {"all"}
