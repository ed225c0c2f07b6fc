"""An old snapshot and the events after it give a fresh snapshot: for every kind of entry that this server writes."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from conversations import services, versions
from conversations.events import Entry, message_item
from conversations.gist import title_of
from conversations.log import Snapshot
from tests.archive_kit import Talk, finish_turn, new_talk, say, snapshot_of, start_turn, stream_of

pytestmark = pytest.mark.django_db(transaction=True)

Shown = dict[str, Any]


def shown(snapshot: Snapshot) -> Shown:
    """What a device shows of a conversation, but for pieces, which deltas bring."""
    return {
        "title": snapshot.title,
        "topic": snapshot.topic,
        "messages": snapshot.messages,
        "turns": {turn.turn_id: turn.attempt for turn in snapshot.turns},
    }


def apply(state: Shown, entry: Entry) -> None:
    """What a device does with an entry; docs/protocol.md says the same."""
    data = orjson.loads(entry.body)["data"]
    match entry.kind:
        case "message":
            state["messages"].append(message_item(entry.seq, entry.body))
            state["title"] = state["title"] or title_of(data["content"])
            if data["role"] == "user" and "turn_id" in data:
                state["turns"][data["turn_id"]] = 0
        case "turn.started":
            state["turns"][data["turn_id"]] = data["attempt"]
        case "turn.finished":
            del state["turns"][data["turn_id"]]
        case "conversation.renamed":
            state["title"] = data["title"]
        case "topic.switched":
            state["topic"] = data["topic"]
        case "history.cleared":
            state["messages"] = []
        case "message.superseded":
            for message in state["messages"]:
                if data["from_seq"] <= message["seq"] <= data["to_seq"]:
                    message.setdefault("superseded_by", data["by"])


async def ask_and_answer(talk: Talk) -> None:
    await say(talk, respond=True)
    await finish_turn(await start_turn(talk), "answer")


async def ask_and_wait(talk: Talk) -> None:
    await say(talk, respond=True)
    await start_turn(talk)


async def rename(talk: Talk) -> None:
    await services.rename_conversation(
        user_id=talk.user_id, conversation_id=talk.conversation_id, title="New name", once="r"
    )


async def switch(talk: Talk) -> None:
    await services.switch_topic(user_id=talk.user_id, conversation_id=talk.conversation_id, topic="Tea", once="t")


async def clear(talk: Talk) -> None:
    await services.clear_history(user_id=talk.user_id, conversation_id=talk.conversation_id, once="c")


async def regenerate(talk: Talk) -> None:
    await ask_and_answer(talk)
    for number in range(2):  # the second one leaves the first one's mark alone
        answer = (await snapshot_of(talk)).messages[-1]
        await versions.regenerate_answer(**of(talk), message_id=answer["message_id"], once=f"g{number}")
        await finish_turn(await start_turn(talk), "another")


async def edit(talk: Talk) -> None:
    await regenerate(talk)
    asked = (await snapshot_of(talk)).messages[1]
    await versions.edit_message(**of(talk), message_id=asked["message_id"], content="else", once="e")
    await start_turn(talk)


async def edit_what_asked_nothing(talk: Talk) -> None:
    await regenerate(talk)
    first = (await snapshot_of(talk)).messages[0]
    await versions.edit_message(**of(talk), message_id=first["message_id"], content="else", once="e")


def of(talk: Talk) -> dict[str, str]:
    return {"user_id": talk.user_id, "device_id": "phone", "conversation_id": talk.conversation_id}


ACTS = [say, ask_and_answer, ask_and_wait, rename, switch, clear, regenerate, edit, edit_what_asked_nothing]


@pytest.mark.parametrize("act", ACTS)
async def test_an_old_snapshot_and_the_events_give_a_fresh_one(act: Callable[[Talk], Awaitable[Any]]) -> None:
    talk = await new_talk()
    await say(talk)
    if act is clear:
        await rename(talk)  # a title that people gave stays; one made of the first words is erased with them
    old = await snapshot_of(talk)
    state = shown(old)
    await act(talk)
    events = [Entry(*row) for row in await stream_of(talk) if row[0] > old.head.seq]
    for entry in events:
        apply(state, entry)
    assert events
    assert state == shown(await snapshot_of(talk))
