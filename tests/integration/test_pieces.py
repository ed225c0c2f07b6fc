"""What the writer of an answer's pieces leaves behind: nothing."""

import asyncio

import pytest

from conversations import turns
from conversations.pieces import PieceWriter
from conversations.turns import Claim
from tests.archive_kit import new_talk, say

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_flush_that_is_cancelled_leaves_no_task() -> None:
    talk = await new_talk()
    await say(talk, respond=True)
    turn_id, attempts = await turns.head_turn(talk.conversation_id)  # type: ignore[misc]
    claimed = await turns.claim(talk.conversation_id, turn_id, attempts, "n1")
    assert isinstance(claimed, Claim)
    async with PieceWriter(claimed) as writer:
        writer._idle.clear()  # as while a piece is on its way
        before = asyncio.all_tasks()
        flushing = asyncio.create_task(writer.flush())
        await asyncio.sleep(0)
        waiting = asyncio.all_tasks() - before - {flushing}
        flushing.cancel()
        await asyncio.wait([flushing])
        assert len(waiting) == 1
        await asyncio.wait(waiting, timeout=1)
        assert [each.done() for each in waiting] == [True]
