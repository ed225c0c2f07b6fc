import asyncio
import time

import pytest

from .conftest import answer_of, eventually, written

WHOLE = " ".join(f"w{number}" for number in range(1, 201))


async def asked(people, stack, content):
    """Two devices on node-1 and node-2 watch an answer; return them, the conversation and the writing node."""
    devices = [await people.device(node=node) for node in (0, 1)]
    conversation_id = await devices[0].new_conversation()
    await devices[1].open(conversation_id)
    await devices[0].text(conversation_id, content)
    views = [await written(device, conversation_id, 10 if "words" in content else 0) for device in devices]
    name = views[0].nodes[-1]
    return devices, conversation_id, next(node for node in stack.nodes if node.name == name)


async def next_piece_seconds(devices, conversation_id, began):
    """Return the seconds until any of the devices had a piece of a later attempt."""
    waiting = [asyncio.create_task(written(device, conversation_id, 1, attempt=2)) for device in devices]
    done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    seconds = time.monotonic() - began
    assert all(task.exception() is None for task in done)
    await asyncio.gather(*others)
    return seconds


@pytest.mark.parametrize(("how", "most_seconds"), [("kill", 8), ("terminate", 1)])
async def test_a_dead_nodes_answer_goes_on_elsewhere(people, stack, record_property, how, most_seconds):
    devices, conversation_id, node = await asked(people, stack, "/words 200")
    began = time.monotonic()
    node.kill() if how == "kill" else node.terminate()
    seconds = await next_piece_seconds(devices, conversation_id, began)
    record_property(f"{how}_to_next_piece_seconds", round(seconds, 2))
    print(f"{how}: next new piece after {seconds:.2f} s")
    ends = [await answer_of(device, conversation_id) for device in devices]
    assert [[final["content"] for final in end.finals] for end in ends] == [[WHOLE], [WHOLE]]
    assert ends[0].finals == ends[1].finals
    assert seconds <= most_seconds


async def test_a_taken_over_turn_runs_no_finished_step_again(people, stack):
    ran = len(stack.steps())
    devices, conversation_id, node = await asked(people, stack, "/steps 60")
    await eventually(lambda: len(stack.steps()) >= ran + 10)
    node.kill()
    end = await answer_of(devices[1], conversation_id)
    steps = stack.steps()[ran:]
    assert (end.attempt, end.finals[0]["content"], sorted(set(steps))) == (2, "steps: 60", list(range(1, 61)))
    assert len(steps) - 60 in (0, 1)  # the step that was under way may have written its line already


async def test_a_draining_node_says_bye_and_all_its_clients_are_back_within_ten_seconds(people, stack):
    node = stack.nodes[2]
    devices = [await people.device(node=2, backoff_seconds=(0.5, 30)) for _ in range(20)]
    conversation_id = await devices[0].new_conversation()
    busy = [asyncio.create_task(devices[0].text(conversation_id, f"/words {n}")) for n in range(20, 25)]
    began = time.monotonic()
    node.terminate()
    for device in devices:
        await device.until(lambda d=device: d.link.closes, 10)
        await device.until(lambda d=device: d.link.connected, 10)
    seconds = time.monotonic() - began
    await asyncio.gather(*busy)
    print(f"drain: 20 clients back after {seconds:.2f} s")
    assert [device.link.closes[0] for device in devices] == [1012] * 20
    assert all(device.link.byes[0]["code"] == 1012 for device in devices)
    assert seconds <= 10
