"""A turn is cancelled or answered once, by those who may, and the log says by whom."""

import asyncio
from uuid import uuid4

import orjson
import pytest

from conversations import control, keys, log, turns
from conversations.errors import Conflict, Fenced, Forbidden, TooLarge, TurnCancelled
from conversations.events import encode_body
from conversations.gist import preview_of
from conversations.log import Cursor
from conversations.turns import Claim, Missed
from tests.archive_kit import (
    Talk,
    archive_all,
    finish_turn,
    keys_with,
    new_talk,
    redis,
    replay,
    say,
    snapshot_of,
    start_turn,
)

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = [{"id": "i1", "value": {"tool": "approve", "args": {"subject": "cake"}}}]
BOTH = [*ASKED, {"id": "i2", "value": "and this?"}]


async def ask(talk: Talk) -> str:
    """Ask the assistant; return the turn."""
    await say(talk, respond=True)
    return (await redis().lrange(keys.turns(talk.conversation_id), -1, -1))[0].decode()


async def waiting_turn(talk: Talk, interrupts=ASKED) -> Claim:
    await ask(talk)
    claim = await start_turn(talk)
    await turns.release(claim, interrupts=interrupts)
    return claim


async def lapse(talk: Talk) -> None:
    await redis().zadd(keys.due(keys.tag(talk.conversation_id)), {talk.conversation_id: 1})


async def cancel(talk: Talk, turn_id: str = "", *, user_id: str = "", device_id: str = "laptop", once: str = ""):
    return await control.cancel_turn(
        conversation_id=talk.conversation_id,
        user_id=user_id or talk.user_id,
        device_id=device_id,
        turn_id=turn_id,
        once=once or uuid4().hex,
    )


async def answer(talk: Talk, turn_id: str, value=True, *, interrupt_id="i1", user_id="", device_id="laptop", once=""):
    return await control.answer_turn(
        conversation_id=talk.conversation_id,
        user_id=user_id or talk.user_id,
        device_id=device_id,
        turn_id=turn_id,
        interrupt_id=interrupt_id,
        value=value,
        once=once or uuid4().hex,
    )


async def entries(talk: Talk, *kinds: str):
    """Return (kind, data) of the log's entries of these kinds."""
    found = [(each.kind, orjson.loads(each.body)["data"]) for each in await replay(talk, Cursor(None, 0, ""))]
    return [(kind, data) for kind, data in found if not kinds or kind in kinds]


async def ends(talk: Talk):
    return [data for _, data in await entries(talk, "turn.finished")]


async def add_member(talk: Talk, user_id: str) -> None:
    await redis().hset(keys.members(talk.conversation_id), user_id, "member")


# -- cancel


async def test_a_running_turn_is_noted_as_cancelled_and_its_node_is_told_with_its_next_write() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    claim = await start_turn(talk)
    assert await cancel(talk, turn_id) == (turn_id, "n1")
    assert await ends(talk) == []
    with pytest.raises(TurnCancelled) as told:
        await turns.add_pieces(claim, 1, ["half "])
    assert told.value.device_id == "laptop"
    assert [turn.text for turn in (await snapshot_of(talk)).turns] == ["half "]
    with pytest.raises(TurnCancelled):
        await turns.add_pieces(claim, 2, [])


@pytest.mark.parametrize(
    ("later", "kept"),
    [([], "the first words"), (["the"], "the first words"), (["x" * 20], "x" * 20)],
)
async def test_a_cancel_keeps_the_longest_that_any_attempt_has_written(later: list[str], kept: str) -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    for pieces in (["the first ", "words"], ["the fi"], later):
        claim = await start_turn(talk)
        await turns.add_pieces(claim, 1, pieces)
        await redis().zadd(keys.due(keys.tag(talk.conversation_id)), {talk.conversation_id: 1})
    assert claim.written == "the first words"
    await cancel(talk)
    message = (await snapshot_of(talk)).messages[-1]
    assert (message["turn_id"], message["status"], message["content"]) == (turn_id, "cancelled", kept)


async def test_a_cancelled_turn_can_only_end_as_cancelled() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    claim = await start_turn(talk)
    await cancel(talk)
    with pytest.raises(TurnCancelled):
        await finish_turn(claim, "the whole answer")
    with pytest.raises(TurnCancelled):
        await turns.release(claim, interrupts=ASKED)
    finished = encode_body("turn.finished", {"turn_id": turn_id, "status": "cancelled", "device_id": "laptop"})
    for _ in range(2):
        await turns.finish(
            claim, message_id="", message=b"", finished=finished, preview="", usage={}, status="cancelled"
        )
    assert await ends(talk) == [{"turn_id": turn_id, "status": "cancelled", "device_id": "laptop"}]


async def test_a_queued_turn_ends_at_once_wherever_it_stands_and_the_others_run() -> None:
    talk = await new_talk()
    first, second, third = [await ask(talk) for _ in range(3)]
    claim = await start_turn(talk)
    assert await cancel(talk, second) == (second, "")
    assert await ends(talk) == [{"turn_id": second, "status": "cancelled", "device_id": "laptop"}]
    await turns.add_pieces(claim, 1, ["still there"])
    await finish_turn(claim, "first")
    assert (claim.turn_id, (await start_turn(talk)).turn_id) == (first, third)


async def test_a_queued_turn_at_the_head_ends_and_the_next_is_due() -> None:
    talk = await new_talk()
    first, second = await ask(talk), await ask(talk)
    await cancel(talk)
    assert [end["turn_id"] for end in await ends(talk)] == [first]
    assert await turns.find_due() == [talk.conversation_id]
    assert (await start_turn(talk)).turn_id == second


async def test_a_turn_whose_node_died_ends_at_once_and_keeps_what_was_written() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    claim = await start_turn(talk)
    text = 'half  an "answer" / 半句话 \\ \u00e9 \n' + "字" * 200
    await turns.add_pieces(claim, 1, [text[:9], text[9:]])
    await lapse(talk)
    assert await cancel(talk) == (turn_id, "")
    (_, message), (_, end) = (await entries(talk))[-2:]
    assert end == {
        "turn_id": turn_id,
        "status": "cancelled",
        "message_id": message["message_id"],
        "device_id": "laptop",
    }
    assert (message["content"], message["status"], message["turn_id"]) == (text, "cancelled", turn_id)
    brief = await log.brief(talk.conversation_id)
    assert brief is not None
    assert (brief.preview, brief.message_count, brief.unread[talk.user_id]) == (preview_of(text), 2, 1)
    with pytest.raises(Fenced):
        await turns.add_pieces(claim, 3, ["late"])
    assert await keys_with(turn_id) == [keys.sent(talk.conversation_id, "assistant", turn_id).encode()]


async def test_a_turn_that_waits_ends_at_once() -> None:
    talk = await new_talk()
    claim = await waiting_turn(talk)
    assert await cancel(talk) == (claim.turn_id, "")
    assert [end["status"] for end in await ends(talk)] == ["cancelled"]
    with pytest.raises(Conflict):
        await answer(talk, claim.turn_id)


async def test_a_turn_cancelled_while_its_node_ran_it_is_run_by_nobody_else() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    claim = await start_turn(talk)
    await turns.add_pieces(claim, 1, ["half"])
    await cancel(talk)
    await lapse(talk)
    assert await turns.claim(talk.conversation_id, turn_id, 1, "n2") == Missed(turn_id, 1, False, True)
    for _ in range(2):
        await control.end_cancelled(talk.conversation_id, turn_id)
    (_, message), (_, end) = (await entries(talk))[-2:]
    assert (message["content"], end["status"], end["device_id"]) == ("half", "cancelled", "laptop")
    assert len(await ends(talk)) == 1


async def test_the_server_itself_ends_no_turn_that_nobody_cancelled() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    await control.end_cancelled(talk.conversation_id, turn_id)
    assert await turns.head_turn(talk.conversation_id) == (turn_id, 0)


async def test_a_cancel_that_is_sent_again_changes_nothing_and_spares_the_next_turn() -> None:
    talk = await new_talk()
    first, second = await ask(talk), await ask(talk)
    assert await cancel(talk, once="c1") == await cancel(talk, once="c1") == (first, "")
    assert await cancel(talk, first, device_id="tablet") == (first, "")
    assert await turns.head_turn(talk.conversation_id) == (second, 0)
    assert [end["device_id"] for end in await ends(talk)] == ["laptop"]


async def test_of_two_that_cancel_at_once_the_first_is_named_and_both_succeed() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    found = await asyncio.gather(*(cancel(talk, turn_id, device_id=f"d{n}") for n in range(6)))
    assert {each.turn_id for each in found} == {turn_id}
    assert len(await ends(talk)) == 1


async def test_what_has_ended_or_is_not_there_cannot_be_cancelled() -> None:
    talk = await new_talk()
    with pytest.raises(Conflict):
        await cancel(talk)
    turn_id = await ask(talk)
    await finish_turn(await start_turn(talk), "done")
    with pytest.raises(Conflict):
        await cancel(talk, turn_id)
    with pytest.raises(Forbidden):
        await cancel(talk, str(uuid4()))
    await archive_all()
    await redis().delete(keys.sent(talk.conversation_id, "assistant", turn_id))  # a week later
    for ending in (cancel(talk, turn_id), answer(talk, turn_id)):
        with pytest.raises(Conflict):
            await ending


async def test_members_cancel_and_answer_what_they_started_the_owner_anything_and_strangers_nothing() -> None:
    talk = await new_talk()
    await add_member(talk, "900")
    member = talk._replace(user_id="900")
    of_owner = await waiting_turn(talk)
    for refused in (
        cancel(member, of_owner.turn_id),
        answer(member, of_owner.turn_id),
        cancel(talk, user_id="901"),
        answer(talk, of_owner.turn_id, user_id="901"),
    ):
        with pytest.raises(Forbidden):
            await refused
    await cancel(talk)
    for who in (member, talk):
        of_member = await waiting_turn(member)
        await answer(who, of_member.turn_id)
        await cancel(who, of_member.turn_id)
    assert [end["status"] for end in await ends(talk)] == ["cancelled"] * 3


async def test_a_turn_of_another_conversation_is_not_there() -> None:
    mine, other = await new_talk(), await new_talk()
    turn_id = (await waiting_turn(other)).turn_id
    for refused in (cancel(mine, turn_id), answer(mine, turn_id)):
        with pytest.raises(Forbidden):
            await refused


# -- answer


async def test_an_answer_is_logged_and_the_turn_goes_on_with_it() -> None:
    talk = await new_talk()
    turn_id = (await waiting_turn(talk)).turn_id
    assert await answer(talk, turn_id, {"any": ["JSON", None, 1.5, {}]}) == (True, 1)
    said = {"turn_id": turn_id, "interrupt_id": "i1", "value": {"any": ["JSON", None, 1.5, {}]}, "device_id": "laptop"}
    assert await entries(talk, "turn.answered") == [("turn.answered", said)]
    again = await start_turn(talk)
    assert (again.attempt, again.declined_by, again.interrupts) == (2, "", ASKED)
    assert again.answers == [{"interrupt_id": "i1", "value": {"any": ["JSON", None, 1.5, {}]}}]


async def test_the_first_answer_wins_and_the_others_get_a_conflict() -> None:
    talk = await new_talk()
    turn_id = (await waiting_turn(talk)).turn_id
    found = await asyncio.gather(
        *(answer(talk, turn_id, n, device_id=f"d{n}") for n in range(8)), return_exceptions=True
    )
    assert sum(isinstance(each, Conflict) for each in found) == 7
    ((_, said),) = await entries(talk, "turn.answered")
    assert (said["device_id"], (await start_turn(talk)).answers[0]["value"]) == (f"d{said['value']}", said["value"])


async def test_an_answer_that_is_sent_again_is_one() -> None:
    talk = await new_talk()
    turn_id = (await waiting_turn(talk)).turn_id
    await answer(talk, turn_id, once="a1")
    assert await answer(talk, turn_id, once="a1") == (False, 0)
    assert len(await entries(talk, "turn.answered")) == 1


async def test_a_turn_with_two_questions_waits_for_both_and_shows_what_is_open() -> None:
    talk = await new_talk()
    turn_id = (await waiting_turn(talk, BOTH)).turn_id
    assert await answer(talk, turn_id, "yes", interrupt_id="i2") == (False, 1)
    (view,) = (await snapshot_of(talk)).turns
    assert (view.status, view.interrupts) == ("waiting", ASKED)
    with pytest.raises(Conflict):
        await answer(talk, turn_id, "no", interrupt_id="i2")
    assert await turns.find_due() == []
    assert await answer(talk, turn_id) == (True, 1)
    assert {each["interrupt_id"]: each["value"] for each in (await start_turn(talk)).answers} == {
        "i1": True,
        "i2": "yes",
    }


async def test_a_question_that_is_not_asked_or_not_any_more_gets_a_conflict() -> None:
    talk = await new_talk()
    await ask(talk)
    claim = await start_turn(talk)
    with pytest.raises(Conflict):
        await answer(talk, claim.turn_id)  # it runs
    await turns.release(claim, interrupts=ASKED)
    with pytest.raises(Conflict):
        await answer(talk, claim.turn_id, interrupt_id="i9")
    await say(talk)
    with pytest.raises(Conflict):
        await answer(talk, claim.turn_id)  # declined
    await finish_turn(await start_turn(talk), "done")
    with pytest.raises(Conflict):
        await answer(talk, claim.turn_id)


async def test_an_answer_too_large_for_a_frame_is_refused() -> None:
    talk = await new_talk()
    turn_id = (await waiting_turn(talk)).turn_id
    with pytest.raises(TooLarge):
        await answer(talk, turn_id, "x" * control.ANSWER_BYTES)
    assert await answer(talk, turn_id, "x" * (control.ANSWER_BYTES - 100)) == (True, 1)


async def test_who_writes_on_declines_what_is_open_and_the_log_says_so_once() -> None:
    talk = await new_talk()
    turn_id = (await waiting_turn(talk, BOTH)).turn_id
    await answer(talk, turn_id)
    await say(talk)
    claim = await start_turn(talk)
    assert claim.declined_by == "phone"
    for _ in range(2):
        await turns.log_answer(claim, interrupt_id="i2", value=False)
    said = [
        (data["interrupt_id"], data["value"], data["device_id"]) for _, data in await entries(talk, "turn.answered")
    ]
    assert said == [("i1", True, "laptop"), ("i2", False, "phone")]
    await lapse(talk)
    assert len((await start_turn(talk)).answers) == 2


async def test_a_second_wait_of_a_turn_has_answers_of_its_own() -> None:
    talk = await new_talk()
    turn_id = (await waiting_turn(talk)).turn_id
    await answer(talk, turn_id)
    await turns.release(await start_turn(talk), interrupts=ASKED)
    assert await turns.find_due() == []
    assert await answer(talk, turn_id, False) == (True, 2)
    assert [each["value"] for each in (await start_turn(talk)).answers] == [False]
