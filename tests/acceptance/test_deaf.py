"""The channel layer may lose everything: what it carries is only a hint."""

import pytest

from chatproject.demo.client import Answered

from .conftest import answer_of, caught_up

HEAL_SECONDS = 4  # well before the next heartbeat
WHOLE = " ".join(f"w{number}" for number in range(1, 41))


@pytest.fixture(scope="module")
def mute(stack):
    """A node whose channel layer drops every message that it is given."""
    node = stack.add_node("node-mute", TETHER_LAYER_DROP="1")
    yield node
    assert node.readiness()["layer_dropped"] > 0
    node.kill()


async def test_an_entry_that_nobody_was_told_of_arrives_within_seconds(people, mute):
    speaker = await people.device(urls=[mute.url])
    listeners = [await people.device(node=0), await people.device(urls=[mute.url])]
    conversation_id = await speaker.new_conversation()
    for listener in listeners:
        await listener.open(conversation_id)
    ack = await speaker.text(conversation_id, "is anybody there?", respond=False)
    await caught_up(speaker, *listeners, conversation_id=conversation_id, seq=ack["seq"], seconds=HEAL_SECONDS)


async def test_a_feed_entry_that_nobody_was_told_of_arrives_within_seconds(people, mute):
    speaker = await people.device("dora", urls=[mute.url])
    listeners = [await people.device("dora", node=0), await people.device("dora", urls=[mute.url])]
    conversation_id = await speaker.new_conversation()
    await speaker.command("pin", conversation_id)
    for listener in listeners:
        entries = listener.feed_entries
        await listener.until(lambda e=entries: e and e[-1]["event"] == "conversation.pinned", HEAL_SECONDS)
        assert [entry["event"] for entry in entries] == ["conversation.created", "conversation.pinned"]


async def test_an_answer_that_nobody_was_told_of_is_whole_on_every_device(people, mute):
    speaker = await people.device(urls=[mute.url])
    listener = await people.device(node=0)
    conversation_id = await speaker.new_conversation()
    await listener.open(conversation_id)
    await speaker.text(conversation_id, "/words 40")
    ends = [await answer_of(device, conversation_id) for device in (speaker, listener)]
    assert [[final["content"] for final in end.finals] for end in ends] == [[WHOLE], [WHOLE]]


def is_deleted(mirror):
    return mirror.entries and mirror.entries[-1].event == "conversation.deleted"


@pytest.mark.parametrize("is_noticed", [True, False], ids=["after a poll", "at once"])
async def test_a_conversation_that_was_deleted_and_restored_goes_on_wherever_it_is_open(people, mute, is_noticed):
    owner, speaker = await people.device(node=1), await people.device(urls=[mute.url])
    room, other = await owner.new_conversation(), await speaker.new_conversation()
    listener = await people.device(node=0, open=[room, other])
    await speaker.open(room)
    await owner.command("delete", room)
    for device in (owner, listener, speaker):
        await device.until(lambda m=device.mirrors[room]: is_deleted(m), HEAL_SECONDS)
    with pytest.raises(Answered) as refused:
        await owner.text(room, "is it there?", respond=False)
    assert refused.value.code == "FORBIDDEN"
    if is_noticed:  # what only its node's poll can tell has come: so that poll has seen the deletion, too
        ack = await speaker.text(other, "time goes by", respond=False)
        await caught_up(listener, conversation_id=other, seq=ack["seq"], seconds=HEAL_SECONDS)
    await owner.command("restore", room)
    ack = await speaker.text(room, "we are back", respond=False)
    await caught_up(owner, listener, speaker, conversation_id=room, seq=ack["seq"], seconds=HEAL_SECONDS)
    assert [len(device.mirrors[room].snapshots) for device in (owner, listener, speaker)] == [0, 0, 0]
