"""Another answer, an edit and a fork from another node than the one that was talked to, over the wire."""

import pytest

from .conftest import eventually


def ended(device, conversation_id, count):
    """Return whether so many turns have ended on this device."""
    turns = device.mirrors[conversation_id].turns.values()
    return sum(bool(turn.status) for turn in turns) >= count


def shown(messages):
    return [(each["content"], "superseded_by" in each) for each in messages]


async def history_of(device, conversation_id):
    return (await device.command("get_history", conversation_id))["messages"]


async def test_an_answer_anew_an_edit_and_a_fork_from_any_node(people):
    phone, laptop = [await people.device(node=node) for node in (0, 1)]
    room = await phone.new_conversation()
    await laptop.open(room)
    await phone.text(room, "hello")
    await eventually(lambda: ended(laptop, room, 1))
    question, answer = await history_of(laptop, room)
    anew = await laptop.command("regenerate", room, message_id=answer["message_id"])
    await eventually(lambda: ended(phone, room, 2))
    edited = await laptop.command("edit", room, message_id=question["message_id"], content="bye")
    await eventually(lambda: ended(phone, room, 3))
    assert shown(await history_of(phone, room)) == [
        ("hello", True),
        ("echo: hello", True),
        ("echo: hello", True),
        ("bye", False),
        ("echo: bye", False),
    ]
    assert {each["data"]["turn_id"] for each in (anew, edited)} <= set(phone.mirrors[room].turns)
    head = phone.mirrors[room].cursor.seq
    with pytest.raises(Exception, match="INVALID_MESSAGE"):
        await laptop.command("fork", room, seq=head + 1)
    copy = (await laptop.command("fork", room, seq=head))["data"]["conversation_id"]
    await phone.open(copy)
    assert shown(await history_of(phone, copy)) == [("bye", False), ("echo: bye", False)]
    await phone.text(copy, "and on")
    await eventually(lambda: ended(phone, copy, 1))
    assert shown(await history_of(laptop, copy))[-1] == ("echo: and on", False)
