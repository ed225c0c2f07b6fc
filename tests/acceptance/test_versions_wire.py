"""Another answer, an edit and a fork from another node than the one that was talked to, over the wire."""

import pytest

from chatproject.demo.client import Answered

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
    with pytest.raises(Answered, match="INVALID_MESSAGE"):
        await laptop.command("fork", room, seq=head + 1)
    copy = (await laptop.command("fork", room, seq=head))["data"]["conversation_id"]
    await phone.open(copy)
    assert shown(await history_of(phone, copy)) == [("bye", False), ("echo: bye", False)]
    await phone.text(copy, "and on")
    await eventually(lambda: ended(phone, copy, 1))
    assert shown(await history_of(laptop, copy))[-1] == ("echo: and on", False)


async def test_what_is_not_ones_own_or_not_there_is_refused_and_the_talk_goes_on(people):
    alice, mallory = await people.device("alice", node=0), await people.device("mallory", node=1)
    room = await alice.new_conversation()
    await alice.command("invite", room, username="mallory")
    await alice.text(room, "hello")
    await eventually(lambda: ended(alice, room, 1))
    question, answer = await history_of(alice, room)
    head = alice.mirrors[room].cursor
    for code, command, args in (
        ("FORBIDDEN", "edit", {"message_id": question["message_id"], "content": "not hers"}),
        ("FORBIDDEN", "edit", {"message_id": answer["message_id"], "content": "nobody's"}),
        ("FORBIDDEN", "regenerate", {"message_id": answer["message_id"]}),
        ("INVALID_MESSAGE", "regenerate", {"message_id": question["message_id"]}),
        ("INVALID_MESSAGE", "edit", {"message_id": room, "content": "no such message"}),
        ("INVALID_MESSAGE", "fork", {"seq": head.seq + 1}),
    ):
        with pytest.raises(Answered, match=code):
            await mallory.command(command, room, **args)
    assert alice.mirrors[room].cursor == head
    copy = (await mallory.command("fork", room, seq=head.seq))["data"]["conversation_id"]
    await mallory.open(copy)
    await mallory.text(copy, "of her own")
    await eventually(lambda: ended(mallory, copy, 1))
    await alice.text(room, "still there?")
    await eventually(lambda: ended(alice, room, 2))
    with pytest.raises(Answered, match="FORBIDDEN"):
        await alice.command("get_history", copy)
    assert shown(await history_of(alice, room))[-1] == ("echo: still there?", False)
