"""Answers of many or of large items fit a frame, and going on from each gives every item once."""

from typing import Any

import pytest

from conversations import services
from conversations.models import Member
from realtime.codes import MAX_FRAME_BYTES
from realtime.session import snapshot_frame
from tests.archive_kit import Talk, archive_all, new_talk, redis, say, snapshot_of
from tests.asking_kit import Asking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SMALL, LARGE, LARGEST = "hello", "é" * 31_000, "\x01" * 31_000  # of which JSON makes 62,000 and 186,000 bytes
sizes = pytest.mark.parametrize("text", [SMALL, LARGE, LARGEST], ids=["small", "large", "largest"])


@sizes
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_pages_of_the_list_hold_every_conversation_once(text: str, limit: int) -> None:
    talk = await new_talk()
    wanted = {talk.conversation_id}
    wanted |= {await services.create_conversation(user_id=talk.user_id) for _ in range(6)}
    await Member.objects.aupdate(draft=text)
    found: list[str] = []
    page: dict[str, Any] = {"more": True}
    before = None
    while page["more"]:
        page = await Asking(talk).ask("list_conversations", limit=limit, before=before)
        found += [item["conversation_id"] for item in page["items"]]
        last = page["items"][-1]
        before = f"{last['last_active']}/{last['conversation_id']}"
    assert sorted(found) == sorted(wanted)


async def lost_and_brought_back(talk: Talk) -> None:
    """From now on the stream holds nothing of it: it is all in the archive."""
    await archive_all()
    await redis().flushall()
    await snapshot_of(talk)


@sizes
@pytest.mark.parametrize("source", ["stream", "archive", "both"])
async def test_pages_of_the_history_hold_every_message_once(text: str, source: str) -> None:
    talk = await new_talk()
    await say(talk, 5, text=text)
    if source != "stream":
        await lost_and_brought_back(talk)
    if source == "both":
        await say(talk, 3, text=text)
    found: list[int] = []
    page: dict[str, Any] = {"more": True}
    while page["more"]:
        page = await Asking(talk).ask("get_history", before_seq=found[0] if found else None, limit=100)
        found = [message["seq"] for message in page["messages"]] + found
    assert found == list(range(1, 9 if source == "both" else 6))


@pytest.mark.parametrize("before_seq", [0, 1])
async def test_there_is_no_history_before_the_first_entry(before_seq: int) -> None:
    talk = await new_talk()
    await say(talk, 2)
    page = await Asking(talk).ask("get_history", before_seq=before_seq, limit=100)
    assert (page["messages"], page["more"]) == ([], False)


@sizes
@pytest.mark.parametrize("source", ["stream", "archive"])
async def test_a_snapshot_fits_a_frame_and_says_whether_there_is_more(text: str, source: str) -> None:
    talk = await new_talk()
    await say(talk, 8, text=text)
    if source == "archive":
        await lost_and_brought_back(talk)
    found = await snapshot_of(talk)
    assert len(snapshot_frame(talk.conversation_id, found)) <= MAX_FRAME_BYTES
    seqs = [message["seq"] for message in found.messages]
    assert seqs == list(range(9 - len(seqs), 9))
    assert found.more == (len(seqs) < 8)
    assert len(seqs) == {SMALL: 8, LARGE: 3, LARGEST: 1}[text]
