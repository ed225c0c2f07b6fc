import asyncio
from uuid import uuid4

import pytest

from .conftest import caught_up, say, whole_again


async def test_the_same_client_id_on_three_nodes_at_once_is_one_entry(people):
    devices = [await people.device(node=node) for node in range(3)]
    conversation_id = await devices[0].new_conversation()
    for other in devices[1:]:
        await other.open(conversation_id)
    for round_number in range(10):
        client_id = uuid4().hex
        sending = [device.text(conversation_id, "once", client_id=client_id, respond=False) for device in devices]
        acks = await asyncio.gather(*sending)
        assert {ack["seq"] for ack in acks} == {round_number + 1}
        assert sorted(ack["duplicate"] for ack in acks) == [False, True, True]
    await caught_up(*devices, conversation_id=conversation_id, seq=10)
    assert len(devices[2].mirrors[conversation_id].messages()) == 10


async def test_the_same_client_id_in_another_conversation_is_another_entry(people):
    device = await people.device()
    first, second = await device.new_conversation(), await device.new_conversation()
    acks = [await device.text(each, "hello", client_id="same", respond=False) for each in (first, second)]
    assert [(ack["conversation_id"], ack["duplicate"]) for ack in acks] == [(first, False), (second, False)]


async def test_a_repeat_after_redis_was_killed_gets_the_first_seq(people, stack):
    device = await people.device()
    conversation_id = await device.new_conversation()
    head = await say(device, conversation_id, 5)
    kept = await device.text(conversation_id, "keep me", client_id="kept", respond=False)
    stack.redis.kill()
    await whole_again(stack)
    other = await people.device(node=1, open=[conversation_id])
    again = await other.text(conversation_id, "keep me", client_id="kept", respond=False, retry=True)
    assert (again["seq"], again["duplicate"], again["message_id"]) == (head + 1, True, kept["message_id"])
    await caught_up(other, device, conversation_id=conversation_id, seq=head + 1, seconds=20)


async def test_what_was_acked_is_there_after_redis_and_all_nodes_were_killed(people, stack):
    device = await people.device()
    conversation_id = await device.new_conversation()
    head = await say(device, conversation_id, 50)
    for program in [*(node.program for node in stack.nodes), stack.redis]:
        program.kill()
    await whole_again(stack)
    reader = await people.device(node=2, open=[conversation_id])
    await caught_up(reader, device, conversation_id=conversation_id, seq=head, seconds=20)
    assert len(reader.mirrors[conversation_id].messages()) == 50


def texts(conversation_id, first, count):
    where = {"conversation_id": conversation_id, "respond": False}
    return [
        {"type": "text", "client_id": f"c{number}", "content": f"{number}", **where}
        for number in range(first, first + count)
    ]


async def acks(wire, count):
    """Return (client_id, seq) of so many acks, confirming as they come."""
    found = []
    while len(found) < count:
        ack = await wire.until(type="ack")
        found.append((ack["client_id"], ack["seq"], ack["duplicate"]))
        if len(found) % 100 == 0:
            await wire.send({"type": "received", "frames": wire.frames})
    return found


@pytest.mark.parametrize("count", [300, 1000])
async def test_a_batch_of_as_many_texts_as_fit_is_appended_in_order_and_once(people, count):
    wire, conversation_id = await people.wire_in_a_new_conversation()
    listener = await people.device(node=1, open=[conversation_id])
    await wire.send(*texts(conversation_id, 0, count))
    assert await acks(wire, count) == [(f"c{number}", number + 1, False) for number in range(count)]
    await wire.send(*texts(conversation_id, 0, count))
    assert await acks(wire, count) == [(f"c{number}", number + 1, True) for number in range(count)]
    await caught_up(listener, conversation_id=conversation_id, seq=count)
    assert [said["content"] for said in listener.mirrors[conversation_id].messages()] == [str(n) for n in range(count)]


async def test_a_batch_of_more_frames_than_the_limit_is_refused_whole(people):
    wire, conversation_id = await people.wire_in_a_new_conversation()
    await wire.send(*texts(conversation_id, 0, 1001))
    assert (await wire.answer())["code"] == "TOO_LARGE"
    await wire.send(*texts(conversation_id, 0, 1))
    assert await acks(wire, 1) == [("c0", 1, False)]


async def test_thousands_of_texts_that_wait_for_their_answers_are_appended_in_order_and_once(people):
    wire, conversation_id = await people.wire_in_a_new_conversation()
    listener = await people.device(node=2, open=[conversation_id])
    for batch in range(60):  # within what may be unanswered
        await wire.send(*texts(conversation_id, batch * 100, 100))
    assert await acks(wire, 6000) == [(f"c{number}", number + 1, False) for number in range(6000)]
    await caught_up(listener, conversation_id=conversation_id, seq=6000, seconds=30)


async def test_a_command_sent_twice_changes_once_and_gets_the_first_result(people):
    wires = [await people.wire(node=node) for node in (0, 1)]
    command = {"type": "command", "id": uuid4().hex, "command": "new_conversation", "args": {"title": "one"}}
    results = []
    for wire in wires:
        await wire.send(command)
        results.append((await wire.until(type="result", id=command["id"]))["data"])
    assert results[0] == results[1]
