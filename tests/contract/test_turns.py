"""A turn belongs to one attempt at a time, ends once, and the next one follows."""

import asyncio
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from conversations import keys, turns
from conversations.assistant.saver import FencedRedisSaver
from conversations.errors import Fenced
from conversations.log import Cursor
from conversations.turns import Claim, Missed
from tests.archive_kit import Talk, finish_turn, new_talk, redis, replay, say, snapshot_of

pytestmark = pytest.mark.django_db(transaction=True)


async def ask(talk: Talk) -> str:
    """Ask the assistant; return the turn that is queued last."""
    await say(talk, respond=True)
    return (await redis().lrange(keys.turns(talk.conversation_id), -1, -1))[0].decode()


async def claimed(talk: Talk, turn_id: str, attempts: int = 0) -> Claim:
    found = await turns.claim(talk.conversation_id, turn_id, attempts, "n1")
    assert isinstance(found, Claim)
    return found


async def lapse(talk: Talk) -> None:
    """Let the lease end, as if its node had died a while ago."""
    await redis().zadd(keys.due(keys.tag(talk.conversation_id)), {talk.conversation_id: 1})


async def test_of_many_that_claim_at_once_one_wins() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    found = await asyncio.gather(*(turns.claim(talk.conversation_id, turn_id, 0, f"n{n}") for n in range(8)))
    assert sum(isinstance(each, Claim) for each in found) == 1


async def test_a_leased_turn_is_not_due_and_a_lapsed_one_is() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    assert await turns.find_due() == [talk.conversation_id]
    await claimed(talk, turn_id)
    assert await turns.find_due() == []
    assert isinstance(await turns.claim(talk.conversation_id, turn_id, 1, "n2"), Missed)
    await lapse(talk)
    assert (await claimed(talk, turn_id, 1)).attempt == 2


async def test_a_late_writer_changes_nothing() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    late = await claimed(talk, turn_id)
    await turns.add_pieces(late, 1, ["old "])
    await lapse(talk)
    now = await claimed(talk, turn_id, 1)
    await turns.add_pieces(now, 1, ["new "])
    for write in (turns.add_pieces(late, 2, ["late"]), finish_turn(late, "late"), turns.release(late)):
        with pytest.raises(Fenced):
            await write
    assert [(turn.attempt, turn.text) for turn in (await snapshot_of(talk)).turns] == [(2, "new ")]


async def test_a_repeated_piece_is_there_once() -> None:
    talk = await new_talk()
    claim = await claimed(talk, await ask(talk))
    await turns.add_pieces(claim, 1, ["a", "b"])
    await turns.add_pieces(claim, 1, ["a", "b", "c"])
    assert [(turn.n, turn.text) for turn in (await snapshot_of(talk)).turns] == [(3, "abc")]


async def test_a_turn_ends_once_whoever_repeats_it() -> None:
    talk = await new_talk()
    claim = await claimed(talk, await ask(talk))
    await finish_turn(claim, "answer")
    await finish_turn(claim, "answer")
    found = await snapshot_of(talk)
    assert [message["role"] for message in found.messages] == ["user", "assistant"]
    assert (found.head.seq, found.turns) == (4, [])


async def test_turns_of_a_conversation_run_one_after_the_other_in_order() -> None:
    talk = await new_talk()
    first, second = await ask(talk), await ask(talk)
    assert isinstance(await turns.claim(talk.conversation_id, second, 0, "n1"), Missed)
    await finish_turn(await claimed(talk, first), "first")
    assert await turns.head_turn(talk.conversation_id) == (second, 0)
    await finish_turn(await claimed(talk, second), "second")
    assert await turns.head_turn(talk.conversation_id) is None


async def test_a_released_turn_is_due_at_once() -> None:
    talk = await new_talk()
    claim = await claimed(talk, await ask(talk))
    await turns.release(claim)
    assert await turns.find_due() == [talk.conversation_id]


async def test_a_turn_that_waits_for_a_person_is_not_due_until_someone_writes_on() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    interrupts: list[dict[str, Any]] = [{"id": "i1", "value": "may I?"}]
    await turns.release(await claimed(talk, turn_id), interrupts=interrupts)
    assert await turns.find_due() == []
    assert [(turn.status, turn.interrupts) for turn in (await snapshot_of(talk)).turns] == [("waiting", interrupts)]
    await ask(talk)
    again = await claimed(talk, turn_id, 1)
    assert (again.declined_by, again.interrupts) == ("phone", interrupts)


async def test_a_turn_that_begins_to_wait_says_so_once_however_often_it_is_released() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    claim = await claimed(talk, turn_id)
    for _ in range(2):
        await turns.release(claim, interrupts=[{"id": "i1", "value": "may I?"}])
    kinds = [entry.kind for entry in await replay(talk, Cursor(None, 0, ""))]
    assert kinds == ["message", "turn.started", "turn.waiting"]


async def test_a_release_that_is_repeated_after_someone_has_written_on_does_not_wait_again() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    claim = await claimed(talk, turn_id)
    await turns.release(claim, interrupts=[{"id": "i1", "value": "may I?"}])
    await say(talk)
    await turns.release(claim, interrupts=[{"id": "i1", "value": "may I?"}])
    assert await turns.find_due() == [talk.conversation_id]
    assert (await claimed(talk, turn_id, 1)).declined_by == "phone"


async def test_nothing_of_a_finished_turn_is_left_but_its_entries() -> None:
    talk = await new_talk()
    claim = await claimed(talk, await ask(talk))
    await turns.add_pieces(claim, 1, ["x"])
    await finish_turn(claim, "answer")
    left = [key.decode() async for key in redis().scan_iter(f"*{claim.turn_id}*")]
    assert left == [keys.sent(talk.conversation_id, "assistant", claim.turn_id)]
    assert await redis().ttl(left[0]) > 0


async def test_who_wrote_before_the_turn_began_to_wait_has_declined_it_too() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    claim = await claimed(talk, turn_id)
    await ask(talk)
    await turns.release(claim, interrupts=[{"id": "i1", "value": "may I?"}])
    assert (await claimed(talk, turn_id, 1)).declined_by == "phone"


async def lapses_of(talk: Talk, turn_id: str, attempts: int) -> int:
    """Let the lease end and another node claim the turn; return how many lapses in a row that makes."""
    await lapse(talk)
    return (await claimed(talk, turn_id, attempts)).lapses


async def test_leases_that_end_are_counted_until_the_turn_gets_on() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    first = await claimed(talk, turn_id)
    assert (first.lapses, await lapses_of(talk, turn_id, 1), await lapses_of(talk, turn_id, 2)) == (0, 1, 2)
    await turns.add_pieces(first._replace(attempt=3), 1, ["new"])
    assert await lapses_of(talk, turn_id, 3) == 1
    saver = FencedRedisSaver()
    config: Any = {"thread_id": talk.conversation_id, "turn_id": turn_id, "attempt": 4}
    await saver.aput({"configurable": config}, empty_checkpoint(), {}, {})
    assert await lapses_of(talk, turn_id, 4) == 1


async def test_a_renewal_alone_is_no_progress() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    claim = await claimed(talk, turn_id)
    assert await lapses_of(talk, turn_id, 1) == 1
    await turns.add_pieces(claim._replace(attempt=2), 1, [])
    assert await lapses_of(talk, turn_id, 2) == 2


async def test_a_lease_that_was_given_back_is_no_lapse_and_forgives_none() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    claim = await claimed(talk, turn_id)
    assert await lapses_of(talk, turn_id, 1) == 1
    await turns.release(claim._replace(attempt=2))
    again = await claimed(talk, turn_id, 2)
    assert again.lapses == 1
    await turns.release(again, interrupts=[{"id": "i1", "value": "may I?"}])
    await ask(talk)
    assert (await claimed(talk, turn_id, 3)).lapses == 1


async def test_who_was_cut_off_leaves_lapsed_leases_to_others_but_takes_its_own_and_what_is_free() -> None:
    talk = await new_talk()
    turn_id = await ask(talk)
    by_n1 = await turns.claim(talk.conversation_id, turn_id, 0, "n1", patient=True)
    assert isinstance(by_n1, Claim)
    await lapse(talk)
    assert await turns.claim(talk.conversation_id, turn_id, 1, "n2", patient=True) == Missed(turn_id, 1, True)
    again = await turns.claim(talk.conversation_id, turn_id, 1, "n1", patient=True)
    assert isinstance(again, Claim)
    assert again.lapses == 1
    await turns.release(again)
    assert isinstance(await turns.claim(talk.conversation_id, turn_id, 2, "n2", patient=True), Claim)
