"""The log keeps a message once, in one order, for members only, and can be read from any cursor."""

import asyncio
from typing import Any
from uuid import uuid4

import orjson
import pytest

from conversations import log, services
from conversations.errors import Conflict, Forbidden, TooLarge
from conversations.events import NO_CHAIN, chain_after
from conversations.log import Appended, Cursor, Page, Snapshot
from conversations.messages import append_draft, append_drafts, draft_message
from conversations.models import User
from tests.archive_kit import Talk, new_talk, replay, say

pytestmark = pytest.mark.django_db(transaction=True)


async def say_as(talk: Talk, device_id: str, client_id: str = "", **wanted: Any) -> Appended:
    fields = {"content": "hello", "respond": False, "if_seq": None, "retry": False} | wanted
    draft = draft_message(user_id=talk.user_id, device_id=device_id, client_id=client_id or uuid4().hex, **fields)
    return await append_draft(talk.conversation_id, talk.user_id, device_id, draft)


async def read(talk: Talk, cursor: Cursor | None) -> Page | Snapshot:
    return await log.read(talk.conversation_id, talk.user_id, cursor)


async def test_entries_are_numbered_from_one_without_a_gap() -> None:
    talk = await new_talk()
    assert sorted(where.seq for where in await say(talk, 20)) == list(range(1, 21))


async def test_a_thousand_at_once_are_appended_in_the_order_in_which_they_were_given() -> None:
    talk = await new_talk()
    drafts = [a_draft(talk, f"c{number}") for number in range(1000)]
    drafts[500].retry = True  # asks on its own
    done = await append_drafts(talk.conversation_id, talk.user_id, "phone", drafts + drafts[:700])
    places = [(each.seq, each.duplicate) for each in done if isinstance(each, Appended)]
    assert places == [(n + 1, False) for n in range(1000)] + [(n + 1, True) for n in range(700)]
    said = [orjson.loads(entry.body)["data"]["client_id"] for entry in await replay(talk, Cursor(None, 0, ""))]
    assert said == [f"c{number}" for number in range(1000)]


def a_draft(talk: Talk, client_id: str) -> log.Draft:
    return draft_message(
        user_id=talk.user_id,
        device_id="phone",
        client_id=client_id,
        content="hello",
        respond=False,
        if_seq=None,
        retry=False,
    )


async def test_what_does_not_fit_a_conversation_any_more_is_refused_and_what_is_there_is_found(settings: Any) -> None:
    settings.MAX_MESSAGES_PER_CONVERSATION = 150
    talk = await new_talk()
    drafts = [a_draft(talk, f"c{number}") for number in range(300)]
    for is_again in (False, True):
        done = await append_drafts(talk.conversation_id, talk.user_id, "phone", drafts)
        assert [each.duplicate for each in done[:150] if isinstance(each, Appended)] == [is_again] * 150
        assert [type(each) for each in done[150:]] == [TooLarge] * 150


async def test_the_chain_is_a_running_hash_of_the_bodies() -> None:
    talk = await new_talk()
    await say(talk, 3)
    page = await read(talk, Cursor(None, 0, ""))
    assert isinstance(page, Page)
    chain = NO_CHAIN
    for entry in page.entries:
        chain = chain_after(chain, entry.body)
        assert entry.chain == chain
    assert page.head.chain == chain


async def test_the_same_client_id_is_one_entry_however_many_send_it_at_once() -> None:
    talk = await new_talk()
    sent = await asyncio.gather(*(say_as(talk, f"d{n}", "once", retry=n > 0) for n in range(8)))
    assert {where.seq for where in sent} == {1}
    assert len({where.message_id for where in sent}) == 1
    assert sorted(where.duplicate for where in sent) == [False] + [True] * 7


async def test_the_same_client_id_in_another_conversation_is_another_message() -> None:
    first, second = await new_talk(), await new_talk()
    assert not (await say_as(first, "d", "c1")).duplicate
    assert not (await say_as(second, "d", "c1")).duplicate


async def test_a_stranger_can_neither_write_nor_read() -> None:
    talk, stranger = await new_talk(), await User.objects.acreate(username="stranger")
    as_stranger = talk._replace(user_id=str(stranger.pk))
    with pytest.raises(Forbidden):
        await say_as(as_stranger, "d")
    with pytest.raises(Forbidden):
        await read(as_stranger, None)
    with pytest.raises(Forbidden):
        await log.history(talk.conversation_id, str(stranger.pk), before_seq=0, limit=10)


async def test_if_seq_looks_at_what_other_devices_and_the_assistant_said() -> None:
    talk = await new_talk()
    await say_as(talk, "phone")
    await say_as(talk, "phone", if_seq=0)  # its own messages do not make it stale
    with pytest.raises(Conflict) as refused:
        await say_as(talk, "desk", if_seq=1)
    assert refused.value.data is not None
    assert refused.value.data["head"]["seq"] == 2
    assert (await say_as(talk, "desk", if_seq=2)).seq == 3
    with pytest.raises(Conflict):
        await say_as(talk, "phone", if_seq=2)


async def test_a_repeat_with_a_stale_if_seq_is_still_the_first_message() -> None:
    talk = await new_talk()
    await say_as(talk, "phone", "c1", if_seq=0)
    await say_as(talk, "desk")
    again = await say_as(talk, "phone", "c1", if_seq=0, retry=True)
    assert (again.seq, again.duplicate) == (1, True)


async def test_a_full_conversation_takes_no_more(settings: Any) -> None:
    settings.MAX_MESSAGES_PER_CONVERSATION = 2
    talk = await new_talk()
    await say(talk, 2)
    with pytest.raises(TooLarge):
        await say(talk)


async def test_a_cursor_brings_exactly_what_is_missing() -> None:
    talk = await new_talk()
    await say(talk, 10)
    whole = await read(talk, Cursor(None, 0, ""))
    assert isinstance(whole, Page)
    fourth = whole.entries[3]
    rest = await read(talk, Cursor(whole.head.epoch, fourth.seq, fourth.chain))
    assert isinstance(rest, Page)
    assert rest.entries == whole.entries[4:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c._replace(epoch=c.epoch + 1), "epoch"),
        (lambda c: c._replace(seq=c.seq + 1), "diverged"),
        (lambda c: c._replace(chain="f" * 16), "diverged"),
        (lambda c: c._replace(seq=c.seq - 1), "diverged"),  # another entry's chain
        (lambda c: None, "new"),
    ],
)
async def test_a_cursor_of_no_use_gets_a_snapshot_that_says_why(change: Any, reason: str) -> None:
    talk = await new_talk()
    await say(talk, 3)
    head = (await log.heads([talk.conversation_id]))[talk.conversation_id].position
    found = await read(talk, change(Cursor(*head)))
    assert isinstance(found, Snapshot)
    assert (found.reason, found.head) == (reason, head)


async def test_a_cursor_too_far_back_gets_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST_MISSED", 5)
    talk = await new_talk()
    await say(talk, 6)
    found = await read(talk, Cursor(None, 0, ""))
    assert isinstance(found, Snapshot)
    assert found.reason == "too_far"


async def test_a_cursor_before_a_clearing_gets_a_snapshot_without_what_was_cleared() -> None:
    talk = await new_talk()
    await say(talk, 2, text="secret")
    head = (await log.heads([talk.conversation_id]))[talk.conversation_id].position
    await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c1")
    await say(talk, text="new")
    found = await read(talk, Cursor(*head))
    assert isinstance(found, Snapshot)
    assert found.reason == "cleared"
    assert [message["content"] for message in found.messages] == ["new 0"]


async def test_clearing_twice_with_one_id_clears_once() -> None:
    talk = await new_talk()
    for _ in range(2):
        await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c1")
    assert (await log.heads([talk.conversation_id]))[talk.conversation_id].position.seq == 1


async def test_clearing_waits_for_no_turn_but_refuses() -> None:
    talk = await new_talk()
    await say(talk, respond=True)
    with pytest.raises(Conflict):
        await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c1")


async def test_a_deleted_conversation_is_nobodys_until_it_is_restored() -> None:
    talk = await new_talk()
    await say(talk)
    await services.delete_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id, device_id="d")
    with pytest.raises(Forbidden):
        await read(talk, None)
    assert (await services.list_conversations(user_id=talk.user_id))["items"] == []
    await services.restore_conversation(user_id=talk.user_id, conversation_id=talk.conversation_id)
    found = await read(talk, None)
    assert isinstance(found, Snapshot)
    assert [message["content"] for message in found.messages] == ["hello 0"]


async def test_history_pages_backwards_to_the_first_message() -> None:
    talk = await new_talk()
    for number in range(7):
        await say(talk, text=f"m{number}")
    newest, more = await log.history(talk.conversation_id, talk.user_id, before_seq=0, limit=4)
    oldest, end = await log.history(talk.conversation_id, talk.user_id, before_seq=newest[0]["seq"], limit=4)
    assert [message["seq"] for message in oldest + newest] == list(range(1, 8))
    assert (more, end) == (True, False)


async def test_a_read_position_never_goes_back_and_counts_what_is_unread() -> None:
    talk, other = await new_talk(), "other"
    await say(talk, 5)
    assert await log.mark_read(talk.conversation_id, talk.user_id, 99) == (5, 0)
    assert await log.mark_read(talk.conversation_id, talk.user_id, 2) == (5, 0)
    with pytest.raises(Forbidden):
        await log.mark_read(talk.conversation_id, other, 1)
