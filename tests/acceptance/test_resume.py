import json
from uuid import uuid4

import pytest

from .conftest import answer_of, caught_up, say, written


def raw(client, conversation_id, after=0):
    return [entry.raw for entry in client.mirrors[conversation_id].entries if entry.cursor.seq > after]


async def test_a_cursor_brings_exactly_the_missing_entries_on_another_node_byte_for_byte(people):
    speaker = await people.device(node=0)
    conversation_id = await speaker.new_conversation()
    head = await say(speaker, conversation_id, 10)
    left = await people.device(node=1, open=[conversation_id])
    await caught_up(left, conversation_id=conversation_id, seq=head)
    cursor = left.mirrors[conversation_id].cursor
    await left.stop()
    people.devices.remove(left)
    end = await say(speaker, conversation_id, 15)
    back = await people.device(node=2, open={conversation_id: cursor.as_json()})
    await caught_up(back, speaker, conversation_id=conversation_id, seq=end)
    assert back.mirrors[conversation_id].snapshots == []
    assert raw(back, conversation_id) == raw(speaker, conversation_id, after=head)


async def snapshot_for(people, conversation_id, cursor, node=1):
    wire = await people.wire(node=node)
    await wire.send({"type": "open", "conversation_id": conversation_id, "cursor": cursor})
    first = await wire.until(conversation_id=conversation_id)
    opened = await wire.receive()
    assert (first["type"], opened["type"]) == ("snapshot", "opened")
    assert first["head"] == opened["head"]
    return first


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"epoch": 7}, "epoch"),
        ({"seq": 99}, "diverged"),
        ({"chain": "f" * 16}, "diverged"),
    ],
)
async def test_a_cursor_of_no_use_gets_a_snapshot_that_says_why(people, change, reason):
    speaker = await people.device()
    conversation_id = await speaker.new_conversation()
    head = await say(speaker, conversation_id, 5)
    await caught_up(speaker, conversation_id=conversation_id, seq=head)
    cursor = {**speaker.mirrors[conversation_id].cursor.as_json(), **change}
    snapshot = await snapshot_for(people, conversation_id, cursor)
    assert (snapshot["reason"], len(snapshot["messages"]), snapshot["more"]) == (reason, 5, False)


async def test_no_cursor_gets_the_newest_fifty_messages_and_history_has_the_rest(people):
    speaker = await people.device()
    conversation_id = await speaker.new_conversation()
    await say(speaker, conversation_id, 60)
    snapshot = await snapshot_for(people, conversation_id, None)
    assert (snapshot["reason"], snapshot["more"]) == ("new", True)
    assert [message["seq"] for message in snapshot["messages"]] == list(range(11, 61))
    history = await speaker.command("get_history", conversation_id, before_seq=11, limit=100)
    assert [message["seq"] for message in history["messages"]] == list(range(1, 11))
    assert history["more"] is False


async def test_a_cursor_from_before_a_clearing_gets_a_snapshot(people):
    speaker = await people.device()
    conversation_id = await speaker.new_conversation()
    head = await say(speaker, conversation_id, 5)
    await caught_up(speaker, conversation_id=conversation_id, seq=head)
    cursor = speaker.mirrors[conversation_id].entries[2].cursor.as_json()
    await speaker.command("clear_history", conversation_id)
    snapshot = await snapshot_for(people, conversation_id, cursor)
    assert (snapshot["reason"], snapshot["messages"]) == ("cleared", [])


async def test_ten_thousand_missed_entries_come_and_one_more_is_too_far(people):
    wire, conversation_id = await people.wire_in_a_new_conversation()
    for _ in range(10_001 // 50 + 1):
        texts = [
            {"type": "text", "client_id": uuid4().hex, "content": "x", "conversation_id": conversation_id}
            for _ in range(50)
        ]
        await wire.send(*({**text, "respond": False} for text in texts), {"type": "received", "frames": wire.frames})
        for _ in texts:
            head = (await wire.until(type="ack"))["seq"]
    assert (await snapshot_for(people, conversation_id, {"seq": 0}))["reason"] == "too_far"
    reader = await people.device(node=1)
    history = await reader.command("get_history", conversation_id, limit=1)
    assert history["messages"][0]["seq"] == head


async def test_a_half_written_answer_goes_on_where_it_was_on_another_node(people):
    speaker = await people.device(node=0)
    conversation_id = await speaker.new_conversation()
    await speaker.text(conversation_id, "/words 150")
    await written(speaker, conversation_id, 10)
    late = await people.device(node=1, open=[conversation_id])
    assert [view.n >= 10 for view in late.mirrors[conversation_id].turns.values()] == [True]
    speaker.cut()
    ends = [await answer_of(client, conversation_id) for client in (speaker, late)]
    whole = " ".join(f"w{number}" for number in range(1, 151))
    assert [end.finals[0]["content"] for end in ends] == [whole, whole]
    assert [end.attempt for end in ends] == [1, 1]


async def test_opening_twice_at_once_repeats_nothing_of_the_second(people):
    speaker = await people.device()
    conversation_id = await speaker.new_conversation()
    head = await say(speaker, conversation_id, 20)
    await caught_up(speaker, conversation_id=conversation_id, seq=head)
    cursors = [speaker.mirrors[conversation_id].entries[at].cursor.as_json() for at in (4, 14)]
    wire = await people.wire(node=1)
    opens = [{"type": "open", "conversation_id": conversation_id, "cursor": cursor} for cursor in cursors]
    await wire.send(*opens, {"type": "command", "id": uuid4().hex, "command": "list_devices", "args": {}})
    seqs = []
    while not seqs or seqs[-1] != head:
        frame = await wire.receive()
        seqs += [frame["seq"]] if frame["type"] == "event" else []
    last = seqs[max(at for at, seq in enumerate(seqs) if at == 0 or seq != seqs[at - 1] + 1) :]
    assert last in (list(range(6, head + 1)), list(range(16, head + 1)))


async def test_frames_of_a_batch_are_handled_in_order(people):
    wire, conversation_id = await people.wire_in_a_new_conversation()
    where = {"conversation_id": conversation_id}
    texts = [{"type": "text", "client_id": f"c{n}", "content": f"{n}", "respond": False, **where} for n in range(40)]
    await wire.send(*texts)
    acks = [await wire.until(type="ack") for _ in texts]
    assert [(ack["client_id"], ack["seq"]) for ack in acks] == [(f"c{n}", n + 1) for n in range(40)]
    assert json.dumps(acks).count('"duplicate": false') == 40


async def test_an_older_opening_sends_nothing_after_the_newer_one_has_begun(people):
    wire, conversation_id = await people.wire_in_a_new_conversation()
    speaker = await people.device(node=1)
    await speaker.open(conversation_id)
    head = await say(speaker, conversation_id, 2000, content="x" * 200)
    await caught_up(speaker, conversation_id=conversation_id, seq=head, seconds=30)
    newer = speaker.mirrors[conversation_id].entries[-4].cursor
    about = {"conversation_id": conversation_id}
    for _ in range(20):
        await wire.send({"type": "open", **about, "cursor": {"seq": 0}})
        await wire.until(type="event", seq=400)  # a window, of which the rest waits for this:
        await wire.send({"type": "received", "frames": wire.frames})
        await wire.send({"type": "close", **about}, {"type": "open", **about, "cursor": newer.as_json()})
        seqs = [400]
        while (frame := await wire.answer())["type"] == "event":
            seqs.append(frame["seq"])
        rest = list(range(newer.seq + 1, head + 1))
        assert (frame["type"], seqs) == ("opened", [*range(400, 400 + len(seqs) - len(rest)), *rest])
        await wire.send({"type": "close", **about}, {"type": "received", "frames": wire.frames})
