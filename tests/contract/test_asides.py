"""What stands between the messages is the same for who was there and for who comes later, wherever it is read from."""

from typing import Any
from uuid import uuid4

import orjson
import pytest
from asgiref.sync import sync_to_async

from conversations import asides, first_paint, keys, log, memberships, services, turns, versions
from conversations.events import encode_body
from conversations.models import Conversation, User
from tests.archive_kit import Talk, archive_all, finish_turn, new_talk, redis, say, snapshot_of, start_turn, stream_of

pytestmark = pytest.mark.django_db(transaction=True)


async def fail_turn(talk: Talk) -> None:
    """Let the turn of what was just said fail without a word."""
    claimed = await start_turn(talk)
    data = {"turn_id": claimed.turn_id, "status": "failed", "error": "It rains."}
    finished = encode_body("turn.finished", data)
    await turns.finish(claimed, message_id="", message=b"", finished=finished, preview="", usage={}, status="failed")


async def a_talk_with_asides() -> Talk:
    talk = await new_talk()
    guest = await User.objects.acreate(username=f"u{uuid4().hex[:12]}")
    about = {"user_id": talk.user_id, "conversation_id": talk.conversation_id}
    await memberships.invite_member(**about, username=guest.username, once="i")
    await say(talk, respond=True)
    await finish_turn(await start_turn(talk), "answer")
    await services.switch_topic(**about, topic="Tea", once="t")
    await say(talk, respond=True)
    await fail_turn(talk)
    return talk


async def told(talk: Talk, from_seq: int = 0, before_seq: int = 0) -> list[dict[str, Any]]:
    return await asides.read_asides(talk.conversation_id, talk.user_id, from_seq=from_seq, before_seq=before_seq)


def kinds(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["event"] for entry in entries]


async def test_they_are_the_logs_own_entries_without_those_that_say_nothing() -> None:
    talk = await a_talk_with_asides()
    entries = await told(talk)
    assert kinds(entries) == ["member.joined", "topic.switched", "turn.finished"]
    by_seq = {seq: orjson.loads(body) for seq, _, _, body in await stream_of(talk)}
    assert entries == [{"seq": entry["seq"], **by_seq[entry["seq"]]} for entry in entries]
    assert entries[-1]["data"]["error"] == "It rains."


async def test_pages_of_the_history_share_them_out() -> None:
    talk = await a_talk_with_asides()
    everything = await told(talk)
    newest, more = await log.history(talk.conversation_id, talk.user_id, before_seq=0, limit=1)
    cut = newest[0]["seq"]
    assert more
    assert await told(talk, before_seq=cut) + await told(talk, from_seq=cut) == everything


async def test_the_archive_and_the_first_paint_tell_them_alike() -> None:
    talk = await a_talk_with_asides()
    live = await told(talk)
    await archive_all()
    row = await Conversation.objects.aget(pk=talk.conversation_id)
    assert (await sync_to_async(first_paint.show_conversation)(row))["entries"] == live
    for kept in (3, 0):  # the stream's newest entries, and none
        await redis().xtrim(keys.log(talk.conversation_id), maxlen=kept, approximate=False)
        assert await told(talk) == live


async def test_a_log_that_redis_holds_whole_is_read_without_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = await a_talk_with_asides()
    asked: list[Any] = []
    monkeypatch.setattr(asides, "archived_asides", lambda *given: asked.append(given) or [])
    assert kinds(await told(talk)) == ["member.joined", "topic.switched", "turn.finished"]
    assert asked == []
    await redis().xtrim(keys.log(talk.conversation_id), maxlen=3, approximate=False)
    await told(talk)
    assert len(asked) == 1


async def test_what_gave_way_takes_its_failure_along() -> None:
    talk = await a_talk_with_asides()
    asked = (await snapshot_of(talk)).messages[-1]
    about = {"user_id": talk.user_id, "device_id": "phone", "conversation_id": talk.conversation_id}
    await versions.edit_message(**about, message_id=asked["message_id"], content="again", once="e")
    assert kinds(await told(talk)) == ["member.joined", "topic.switched"]
    await archive_all()
    row = await Conversation.objects.aget(pk=talk.conversation_id)
    painted = await sync_to_async(first_paint.show_conversation)(row)
    assert kinds(painted["entries"]) == ["member.joined", "topic.switched"]


async def test_a_clearing_erases_those_before_it_and_is_one_itself() -> None:
    talk = await a_talk_with_asides()
    await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c")
    assert kinds(await told(talk)) == ["history.cleared"]
    await archive_all()
    await redis().xtrim(keys.log(talk.conversation_id), maxlen=0, approximate=False)
    assert kinds(await told(talk)) == ["history.cleared"]


async def test_they_leave_room_in_a_frame() -> None:
    talk = await new_talk()
    for number in range(30):
        await services.switch_topic(
            user_id=talk.user_id,
            conversation_id=talk.conversation_id,
            topic=f"{number} " + "t" * 1500,
            once=str(number),
        )
    entries = await told(talk)
    assert entries[-1]["data"]["topic"].startswith("29 ")
    assert len(orjson.dumps(entries)) < asides.MOST_BYTES * 1.2
