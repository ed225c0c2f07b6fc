"""A turn goes on whatever becomes of its node; who comes back late changes nothing."""

import asyncio
import os

import pytest
from redis import Redis

from chatproject.chaos.proxy import Proxy
from conversations.faults import KILLED

from .conftest import answer_of, eventually, written

CUT_OFF_SECONDS = 20 if os.environ.get("SOAK") else 5
BRIEF = {"LEASE_SECONDS": "2", "LOG_LEVEL": "INFO"}
STEPS = 200  # two seconds
POINTS = ["turn.claim", "checkpoint.stored:6", "checkpoint.task_stored:4", "turn.finish"]
if os.environ.get("SOAK"):
    POINTS += ["checkpoint.stored:2", "turn.pieces", "turn.ended"]


def ran_since(stack, ran):
    return stack.steps()[ran:]


def kept(stack, conversation_id):
    """Return the conversation's log and checkpoints as they are in Redis, and its pieces."""
    with Redis.from_url(stack.redis_url) as redis:
        names = redis.keys(f"*:checkpoint*:{conversation_id}*") + redis.keys(f"*:log:{conversation_id}")
        return {name: redis.dump(name) for name in names} | {b"pieces": redis.keys("*:pieces:*")}


async def ill_node(stack, name, proxy=None, **env):
    way = {"REDIS_URL": proxy.redis_url} if proxy else {}
    node = stack.prepare_node(name, **BRIEF, **way, **env)
    await asyncio.to_thread(node.wait_until_ready)
    return node


async def freeze(node, proxy):
    node.freeze()
    yield
    node.thaw()


async def cut_off(node, proxy):
    proxy.cut()
    began = asyncio.get_running_loop().time()
    yield
    await asyncio.sleep(began + CUT_OFF_SECONDS - asyncio.get_running_loop().time())
    assert proxy.held_bytes  # what comes late does come
    proxy.mend()


@pytest.mark.parametrize("harm", [freeze, cut_off])
async def test_a_turn_leaves_a_node_that_is_away_and_when_it_comes_back_nothing_changes(people, stack, harm):
    proxy = await Proxy(stack.redis_port).start()
    node = await ill_node(stack, f"node-{harm.__name__}", proxy)
    try:
        near, far = await people.device(urls=[node.url]), await people.device(node=0)
        conversation_id = await near.new_conversation()
        await far.open(conversation_id)
        ran = len(stack.steps())
        await near.text(conversation_id, f"/steps {STEPS}")
        await eventually(lambda: len(ran_since(stack, ran)) >= 20)
        away = harm(node, proxy)
        await anext(away)
        end = await answer_of(far, conversation_id)
        before = kept(stack, conversation_id)
        await anext(away, None)
        await eventually(lambda: "turn.lost" in node.program.output, 15)
        late = await answer_of(near, conversation_id)
        assert (end.attempt, end.status, late.finals) == (2, "done", end.finals)
        assert [final["content"] for final in end.finals] == [f"steps: {STEPS}"]
        assert ran_since(stack, ran) == list(range(1, STEPS + 1))
        assert kept(stack, conversation_id) == before
    finally:
        node.kill()
        await proxy.stop()


async def test_an_outage_of_redis_longer_than_a_lease_takes_no_turn_from_a_living_node(people, stack):
    devices = [await people.device(node=node) for node in (0, 1)]
    conversation_id = await devices[0].new_conversation()
    await devices[1].open(conversation_id)
    await devices[0].text(conversation_id, "/words 1000")
    await written(devices[1], conversation_id, 10)
    stack.redis.kill()
    await asyncio.sleep(6.5)
    stack.start_redis()
    await asyncio.to_thread(stack.wait_for_redis)
    ends = [await answer_of(device, conversation_id, 40) for device in devices]
    whole = " ".join(f"w{number}" for number in range(1, 1001))
    assert [(end.started, [final["content"] for final in end.finals]) for end in ends] == [(1, [whole])] * 2


@pytest.mark.parametrize("at", POINTS)
async def test_a_kill_between_any_two_writes_leaves_one_whole_answer_and_each_step_run_once(people, stack, at):
    node = await ill_node(stack, f"node-at-{at.replace(':', '-')}", TETHER_FAULT=at)
    near, far = await people.device(urls=[node.url, *stack.urls()]), await people.device(node=1)
    conversation_id = await near.new_conversation()
    await far.open(conversation_id)
    ran = len(stack.steps())
    question, answer = ("/fail", None) if at == "turn.ended" else ("/steps 6", "steps: 6")
    await near.text(conversation_id, question)
    ends = [await answer_of(device, conversation_id) for device in (near, far)]
    assert await asyncio.to_thread(node.program.process.wait, 5) == KILLED
    assert ends[0].finals == ends[1].finals
    assert [final["content"] for final in ends[0].finals] == ([answer] if answer else [])
    assert ends[0].status == ("done" if answer else "failed")
    assert ends[0].started == (1 if at == "turn.finish" else 2)
    assert ran_since(stack, ran) == (list(range(1, 7)) if answer else [])
