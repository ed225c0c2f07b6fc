"""The saver's contract, on the real Redis."""

import asyncio
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.types import Interrupt

from conversations import keys as conversation_keys
from conversations import store
from conversations.assistant import keys
from conversations.assistant.given import read_given
from conversations.assistant.outcome import Source
from conversations.assistant.saver import KEEP_TURN_ENDS, FencedRedisSaver
from conversations.errors import Fenced, Unavailable
from conversations.turns import Claim


@pytest.fixture
async def saver():
    made = FencedRedisSaver()
    await made.asetup()
    yield made
    await store.close()


class Thread:
    """One thread's checkpoints, written as LangGraph would write them."""

    def __init__(self, saver):
        self.saver, self.id, self.head = saver, str(uuid4()), None

    def config(self, turn_id=None, attempt=1, **more):
        fence = {"turn_id": turn_id, "attempt": attempt} if turn_id else {}
        return {"configurable": {"thread_id": self.id, "checkpoint_ns": "", **fence, **more}}

    async def claim(self, turn_id, attempt=1):
        await store.client().hset(conversation_keys.turn(self.id, turn_id), "attempt", attempt)

    async def put(self, value, turn_id=None, attempt=1, **more):
        checkpoint = {**empty_checkpoint(), "channel_values": {"messages": [HumanMessage(value, id="1")]}}
        config = self.config(turn_id, attempt, **({"checkpoint_id": self.head} if self.head else {}), **more)
        saved = await self.saver.aput(config, checkpoint, {"source": "loop", "step": 1}, {})
        self.head = saved["configurable"]["checkpoint_id"]
        return saved

    async def write(self, writes, task_id="t1", turn_id=None, attempt=1):
        config = self.config(turn_id, attempt, checkpoint_id=self.head)
        await self.saver.aput_writes(config, writes, task_id)

    async def parent(self):
        return (await self.saver.aget_tuple(self.config())).parent_config["configurable"]["checkpoint_id"]

    async def newest(self):
        found = await self.saver.aget_tuple(self.config())
        return found and found.checkpoint["channel_values"]["messages"][0].content

    async def lives(self):
        """Return the times to live in ms of everything the thread has; -1 is for ever."""
        found = await store.client().keys(f"*checkpoint*:{self.id}*")
        return {await store.client().pttl(key) for key in found}


@pytest.fixture
def thread(saver):
    return Thread(saver)


async def test_a_checkpoint_comes_back_with_its_metadata_parent_and_writes(thread):
    first = await thread.put("one")
    second = await thread.put("two", "turn-1") if await thread.claim("turn-1") is None else None
    await thread.write([("messages", ["a"]), ("count", 2)])
    found = await thread.saver.aget_tuple(thread.config())
    assert found.config == second
    assert found.parent_config == first
    assert found.metadata == {"source": "loop", "step": 1, "turn_id": "turn-1", "attempt": 1}
    assert found.pending_writes == [("t1", "messages", ["a"]), ("t1", "count", 2)]
    assert found.checkpoint["channel_values"]["messages"] == [HumanMessage("two", id="1")]


async def test_an_older_checkpoint_is_found_by_its_id_and_a_missing_one_is_none(thread):
    first = await thread.put("one")
    await thread.put("two")
    found = await thread.saver.aget_tuple(first)
    assert found.checkpoint["channel_values"]["messages"][0].content == "one"
    assert await thread.saver.aget_tuple(thread.config(checkpoint_id="gone")) is None
    assert await Thread(thread.saver).newest() is None


async def test_writes_of_a_task_stay_the_first_but_interrupts_are_replaced(thread):
    await thread.put("one")
    await thread.write([("messages", "first")])
    await thread.write([("messages", "second")])
    await thread.write([("__interrupt__", [Interrupt(1, id="a")])])
    await thread.write([("__interrupt__", [Interrupt(2, id="b")])])
    found = await thread.saver.aget_tuple(thread.config())
    assert sorted(write[1:] for write in found.pending_writes) == [
        ("__interrupt__", [Interrupt(2, id="b")]),
        ("messages", "first"),
    ]


async def test_half_the_writes_of_a_failed_task_are_not_kept(thread):
    await thread.put("one")
    await thread.write([("count", 2), ("__error__", ValueError("secret"))])
    found = await thread.saver.aget_tuple(thread.config())
    assert [(channel, repr(value)) for _, channel, value in found.pending_writes] == [
        ("__error__", "RuntimeError('ValueError')")
    ]


async def test_all_keys_of_a_thread_carry_its_partitions_tag(thread):
    await thread.put("one")
    await thread.write([("messages", "x")])
    found = await store.client().keys(f"*{thread.id}*")
    assert len(found) == 4
    assert {key.decode().split(":")[0] for key in found} == {conversation_keys.tag(thread.id)}


async def test_a_late_writer_is_fenced_and_changes_nothing(thread):
    await thread.claim("turn-1", attempt=2)
    await thread.put("right", "turn-1", attempt=2)
    for attempt in (1, 3):
        with pytest.raises(Fenced):
            await thread.put("wrong", "turn-1", attempt=attempt)
        with pytest.raises(Fenced):
            await thread.write([("messages", "wrong")], turn_id="turn-1", attempt=attempt)
    with pytest.raises(Fenced):
        await thread.put("wrong", "turn-that-is-gone")
    found = await thread.saver.aget_tuple(thread.config())
    assert (await thread.newest(), found.pending_writes) == ("right", [])


async def test_the_list_is_newest_first_within_a_thread_and_across_threads(saver):
    one, other = Thread(saver), Thread(saver)
    for thread, value in ((one, "a"), (other, "b"), (one, "c")):
        await thread.put(value)
    listed = [each async for each in saver.alist(one.config())]
    assert [each.checkpoint["channel_values"]["messages"][0].content for each in listed] == ["c", "a"]
    before = [each async for each in saver.alist(one.config(), before=listed[0].config)]
    assert [each.config for each in before] == [listed[1].config]
    everywhere = [each.config["configurable"]["thread_id"] async for each in saver.alist(None, limit=3)]
    assert everywhere == [one.id, other.id, one.id]


async def test_the_list_is_filtered_by_turn_and_refuses_what_is_not_indexed(thread):
    turn_id = str(uuid4())
    await thread.claim(turn_id)
    await thread.put("other")
    mine = await thread.put("mine", turn_id)
    assert [each.config async for each in thread.saver.alist(None, filter={"turn_id": turn_id})] == [mine]
    with pytest.raises(ValueError, match="colour"):
        [each async for each in thread.saver.alist(None, filter={"colour": "red"})]


async def test_everything_expires_after_the_days_of_the_setting(thread, settings):
    settings.CHECKPOINT_TTL_DAYS = 1
    await thread.put("one")
    await thread.write([("messages", "x")])
    await thread.put("two")
    assert all(86_300_000 < life <= 86_400_000 for life in await thread.lives())


async def test_use_refreshes_the_time_to_live(thread, settings):
    settings.CHECKPOINT_TTL_DAYS = 1
    await thread.put("one")
    settings.CHECKPOINT_TTL_DAYS = 2
    await thread.newest()
    assert min(await thread.lives()) > 86_400_000


async def test_what_waits_for_a_person_never_expires_until_the_turn_goes_on(thread):
    await thread.put("one")
    await thread.write([("__interrupt__", [Interrupt("?", id="a")])])
    await thread.newest()
    assert await thread.lives() == {-1}
    await thread.put("two")
    assert -1 not in await thread.lives()


async def test_a_turn_that_waited_and_was_ended_leaves_no_key_for_ever_and_no_writes(thread):
    await thread.claim("turn-1")
    await thread.put("one", "turn-1")
    await thread.write([("__interrupt__", [Interrupt("?", id="a")])], turn_id="turn-1")
    await thread.saver.aprune_turn(thread.id, "turn-0")
    assert await thread.lives() == {-1}
    await thread.saver.aprune_turn(thread.id, "turn-1")
    assert -1 not in await thread.lives()
    assert await store.client().keys(f"*checkpoint_writes:{thread.id}*") == []


@pytest.mark.parametrize(("is_whole", "ended", "is_copied"), [(True, "", 1), (False, "cancelled", 1), (False, "", 0)])
async def test_another_thread_goes_on_from_a_turns_end_and_never_from_its_middle(thread, is_whole, ended, is_copied):
    await thread.claim("turn-1")
    await thread.put("one", "turn-1")
    await thread.put("two", "turn-1", ended=ended)
    await thread.put("three")
    copy = Thread(thread.saver)
    assert await thread.saver.acopy_turn_end(Source(thread.id, "turn-1", is_whole), copy.id, 7) == is_copied
    assert await copy.newest() == ("two" if is_copied else None)
    await store.client().set(conversation_keys.wishes("1"), "")  # so that nobody asks the database
    given = await read_given(Claim(copy.id, "turn-9", 1, "1", 8, "", [], []))
    assert given.head == (("", 7, False) if is_copied else None)


async def test_pruning_keeps_a_turns_last_checkpoint_only(thread):
    await thread.claim("turn-1")
    for value in ("one", "two", "three"):
        await thread.put(value, "turn-1")
        await thread.write([("messages", value)])
    head = thread.head
    await thread.saver.aprune_turn(thread.id, "turn-1")
    kept = [each.config["configurable"]["checkpoint_id"] async for each in thread.saver.alist(thread.config())]
    assert (kept, await thread.newest()) == ([head], "three")


async def test_a_late_prune_leaves_the_running_turn_alone_and_catches_up_on_older_ones(thread):
    for turn_id in ("turn-1", "turn-2", "turn-3"):
        await thread.claim(turn_id)
        await thread.put(f"{turn_id} begins", turn_id)
        await thread.put(f"{turn_id} ends", turn_id)
    assert await thread.saver.aprune_turn(thread.id, "turn-2") == 2
    listed = [each async for each in thread.saver.alist(thread.config())]
    assert [each.checkpoint["channel_values"]["messages"][0].content for each in listed] == [
        "turn-3 ends",
        "turn-3 begins",
        "turn-2 ends",
        "turn-1 ends",
    ]


async def test_a_rewound_turn_leaves_what_it_began_from_and_a_repeat_changes_nothing(thread):
    for turn_id in ("turn-1", "turn-2", "turn-3"):
        await thread.claim(turn_id)
        await thread.put(f"{turn_id} begins", turn_id)
        await thread.write([("messages", "x")], turn_id=turn_id)
        await thread.put(f"{turn_id} ends", turn_id)
        await thread.saver.aprune_turn(thread.id, turn_id if turn_id != "turn-3" else "turn-0")
    await thread.write([("__interrupt__", [Interrupt("?", id="a")])], turn_id="turn-3")
    for _ in range(2):
        await thread.saver.arewind(thread.config("turn-3"))
        assert await thread.newest() == "turn-2 ends"
        assert await store.client().zcard(keys.order(thread.id)) == 2
        assert len(await store.client().keys(f"*checkpoint*:{thread.id}*")) == 4
        assert -1 not in await thread.lives()


async def test_what_fails_a_second_turn_goes_with_everything(thread):
    await thread.claim("turn-1")
    await thread.put("one", "turn-1")
    start = thread.head
    for turn_id, kept in (("turn-2", "one"), ("turn-3", None)):
        thread.head = start
        await thread.claim(turn_id)
        await thread.put("two", turn_id)
        await thread.saver.arewind(thread.config(turn_id))
        assert await thread.newest() == kept
    assert await store.client().keys(f"*checkpoint*:{thread.id}*") == []


@pytest.mark.parametrize("lost", ["gone", "no JSON"])
async def test_where_the_start_of_a_rewound_turn_is_of_no_use_nothing_is_the_head_and_older_ends_stay(thread, lost):
    for turn_id in ("turn-1", "turn-2", "turn-3"):
        await thread.claim(turn_id)
        await thread.put(f"{turn_id} ends", turn_id)
    document = f"{keys.prefix(thread.id)}:{(await thread.parent())}"
    await store.client().delete(document)
    if lost == "no JSON":
        await store.client().set(document, "text")
    await thread.saver.arewind(thread.config("turn-3"))
    assert await thread.newest() is None
    assert await store.client().zcard(keys.order(thread.id)) == 2


async def test_fifty_turns_leave_twenty_turn_ends(thread):
    for number in range(50):
        await thread.claim(f"turn-{number}")
        await thread.put("begins", f"turn-{number}")
        await thread.put(f"ends {number}", f"turn-{number}")
        await thread.saver.aprune_turn(thread.id, f"turn-{number}")
    assert len(await store.client().keys(f"*checkpoint:{thread.id}*")) == KEEP_TURN_ENDS
    assert await store.client().zcard(keys.order(thread.id)) == KEEP_TURN_ENDS
    assert await thread.newest() == "ends 49"


async def test_a_deleted_thread_leaves_no_key_behind(thread):
    await thread.put("one")
    await thread.write([("messages", "x")])
    await thread.saver.adelete_thread(thread.id)
    assert (await thread.newest(), await store.client().keys(f"*{thread.id}*")) == (None, [])


async def test_many_nodes_may_set_up_at_the_same_moment(saver):
    await store.client().execute_command("FT.DROPINDEX", saver.checkpoints_index.name)
    savers = [FencedRedisSaver() for _ in range(8)]
    await asyncio.gather(*(each.asetup() for each in savers))
    assert await savers[0].checkpoints_index.exists()


async def test_an_unreachable_redis_is_unavailable(settings, unused_tcp_port):
    settings.REDIS_URL = f"redis://127.0.0.1:{unused_tcp_port}/0"
    with pytest.raises(Unavailable):
        await Thread(FencedRedisSaver()).newest()
    await store.close()
