"""Several people on several nodes: one order for all, and nothing more for who is gone."""

import asyncio

import pytest

from chatproject.demo.client import Answered

from .conftest import caught_up, say, written

HEAL_SECONDS = 5


@pytest.fixture(scope="module")
def mute(stack):
    """A node whose channel layer drops every message that it is given."""
    node = stack.add_node("node-silent", TETHER_LAYER_DROP="1")
    yield node
    node.kill()


async def invite(owner, conversation_id, username):
    result = await owner.command("invite", conversation_id, username=username)
    assert result["data"] == {}


def told(device, conversation_id):
    entries = [entry for entry in device.feed_entries if entry["data"].get("conversation_id") == conversation_id]
    return [entry["event"] for entry in entries]


def heads(*devices, conversation_id):
    return [device.mirrors[conversation_id].cursor for device in devices]


async def test_everybody_on_every_node_has_one_order_and_a_newcomer_all_of_it(people):
    alice = await people.device("alice", node=0)
    guests = [await people.device("mallory", node=node) for node in (1, 2)]
    room = await alice.new_conversation()
    await say(alice, room, 5)
    await invite(alice, room, "mallory")
    for guest in guests:
        await guest.until(lambda g=guest: told(g, room)[:1] == ["conversation.created"], 5)
        await guest.open(room)
    seqs = await asyncio.gather(*(say(device, room, 20) for device in (alice, *guests)))
    await caught_up(alice, *guests, conversation_id=room, seq=max(seqs))
    assert len(set(heads(alice, *guests, conversation_id=room))) == 1
    assert heads(alice, conversation_id=room)[0].seq == 5 + 1 + 60


async def test_who_is_removed_is_shut_out_on_every_node_in_the_middle_of_an_answer(people):
    alice = await people.device("alice", node=0)
    room = await alice.new_conversation()
    await invite(alice, room, "mallory")
    wires = [await people.wire("mallory", node=node, open={room: None}) for node in (1, 2)]
    for wire in wires:
        await wire.until(type="opened")
    asking = asyncio.create_task(alice.text(room, "/words 60"))
    await written(alice, room, 3)
    for wire in wires:
        await wire.until(type="delta", n=3)
    await alice.command("remove_member", room, username="mallory")
    for wire in wires:
        refusal = await wire.until(type="error", conversation_id=room)
        assert (refusal["code"], refusal.get("id")) == ("FORBIDDEN", None)
    await asking
    await say(alice, room, 5)
    for wire in wires:
        assert await after_a_command(wire) == []
        for name in ("get_history", "leave", "typing", "pin"):
            await wire.send({"type": "command", "id": name, "command": name, "conversation_id": room, "args": {}})
            assert (await wire.until(id=name))["code"] == "FORBIDDEN"
        await wire.send({"type": "text", "client_id": "late", "content": "let me in", "conversation_id": room})
        assert (await wire.until(client_id="late"))["code"] == "FORBIDDEN"


async def after_a_command(wire):
    """Return the frames about conversations that come before the answer to a question."""
    await wire.send({"type": "command", "id": "probe", "command": "list_devices", "args": {}})
    frames = []
    while (frame := await wire.receive()).get("id") != "probe":
        frames.append(frame)
    return [frame for frame in frames if frame["type"] in ("event", "delta", "step", "snapshot", "opened")]


async def test_who_is_removed_is_shut_out_even_where_no_word_of_it_arrives(people, mute):
    alice = await people.device("alice", urls=[mute.url])
    room = await alice.new_conversation()
    await invite(alice, room, "mallory")
    wire = await people.wire("mallory", node=1, open={room: None})
    await wire.until(type="opened")
    await alice.command("remove_member", room, username="mallory")
    await say(alice, room, 3)
    async with asyncio.timeout(HEAL_SECONDS):
        frames = []
        while (frame := await wire.receive())["type"] != "error":
            frames.append(frame["type"])
    assert (frame["code"], frame["conversation_id"]) == ("FORBIDDEN", room)
    assert "event" not in frames


async def test_who_leaves_is_out_on_their_other_devices_and_may_come_back(people):
    alice, guest = await people.device("alice"), await people.device("mallory", node=1)
    room = await alice.new_conversation()
    await invite(alice, room, "mallory")
    other = await people.wire("mallory", node=2, open={room: None})
    await other.until(type="opened")
    await guest.command("leave", room)
    assert (await other.until(type="error", conversation_id=room))["code"] == "FORBIDDEN"
    with pytest.raises(Answered) as refused:
        await guest.command("leave", room)
    assert refused.value.code == "FORBIDDEN"
    await guest.until(lambda: told(guest, room)[-1:] == ["conversation.deleted"], 5)
    await invite(alice, room, "mallory")
    await other.send({"type": "open", "conversation_id": room, "cursor": {"seq": 0}})
    await other.until(type="opened", conversation_id=room)
    await alice.text(room, "welcome back", respond=False)
    assert (await other.until(type="event", event="message"))["data"]["content"] == "welcome back"


async def test_a_search_on_any_node_finds_what_was_just_said_to_its_members_only(people):
    alice, guest = await people.device("alice"), await people.device("mallory", node=1)
    room = await alice.new_conversation()
    ack = await alice.text(room, "我们明天去北京 by night train", respond=False)
    assert hits(await guest.command("search", query="北京"), room) == []
    await invite(alice, room, "mallory")
    for query in ("北京", "trains"):
        assert hits(await guest.command("search", query=query), room) == [ack["seq"]]
    await guest.command("leave", room)
    assert hits(await guest.command("search", query="北京"), room) == []


def hits(result, conversation_id):
    return [item["seq"] for item in result["data"]["items"] if item["conversation_id"] == conversation_id]
