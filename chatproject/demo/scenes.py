"""The three demonstrations. Each takes five devices on three nodes and returns its counts."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from .processes import Cluster
from .remote import DeviceFailed, RemoteDevice
from .report import Scene

MESSAGES = 20  # from each device, in the first scene
WORDS = 200
KILL_AT_PIECE = 20
TAKEOVER_SECONDS = 8
WAIT_SECONDS = 40

Say = Callable[[str], None]
Devices = list[RemoteDevice]


async def all_do(devices: Devices, order: str, **args: Any) -> list[Any]:
    """Give the same order to all at once; return their results in order."""
    return await asyncio.gather(*(device.do(order, **args) for device in devices))


async def conversation_for(devices: Devices) -> str:
    """Make a conversation on the first device and open it on the others."""
    conversation_id: str = await devices[0].do("new_conversation")
    await all_do(devices[1:], "open", conversation_id=conversation_id)
    return conversation_id


async def consistency(devices: Devices, cluster: Cluster, say: Say) -> Scene:
    """All speak at once, on three nodes, while sockets are cut: all see one order."""
    scene = Scene("1 consistency across servers")
    conversation_id = await conversation_for(devices)
    say(f"five devices send {MESSAGES} messages each at the same moment, two sockets are cut meanwhile")
    sending = [
        asyncio.create_task(
            device.do(
                "say",
                conversation_id=conversation_id,
                texts=[f"{device.device_id} says {number}" for number in range(MESSAGES)],
                respond=False,
            )
        )
        for device in devices
    ]
    await all_do(devices[1:3], "cut")
    head = max(await asyncio.gather(*sending))
    seconds = WAIT_SECONDS
    await all_do(devices, "reach", conversation_id=conversation_id, seq=head, seconds=seconds)
    say(f"all five stand at entry {head}")
    scene.check(head == MESSAGES * len(devices), f"the head is {head}, not {MESSAGES * len(devices)}")
    return scene


async def recovery(devices: Devices, cluster: Cluster, say: Say) -> Scene:
    """The node that writes an answer is killed in the middle; the answer goes on elsewhere, once."""
    scene = Scene("2 breakpoint recovery", needed=("sent", "acked", "delivered", "before kill", "after kill"))
    conversation_id = await conversation_for(devices)
    where = {"conversation_id": conversation_id, "seconds": WAIT_SECONDS}
    await devices[0].do("say", conversation_id=conversation_id, texts=[f"/words {WORDS}"], respond=True)
    before = await asyncio.gather(*(device.do("watch", attempt=1, n=KILL_AT_PIECE, **where) for device in devices))
    node = before[0]["nodes"][-1]
    pid = cluster.kill_node(node)
    killed = time.monotonic()
    say(f"kill -9 of {node} (pid {pid}) at piece {before[0]['n']} of the answer")
    attempt = before[0]["attempt"] + 1
    others = [device for device, seen in zip(devices, before, strict=True) if not seen["status"]]
    first = [asyncio.create_task(device.do("watch", attempt=attempt, n=1, **where)) for device in others]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    seconds = time.monotonic() - killed
    say(f"the next new piece came after {seconds:.1f} s, written under a higher attempt")
    scene.check(seconds <= TAKEOVER_SECONDS, f"the next piece took {seconds:.1f} s")
    await asyncio.gather(*first)
    after = await all_do(devices, "finish", **where)
    say(f"the answer is whole on all five devices, attempt {after[0]['attempt']}")
    scene.counts["before kill"] = sum(seen["pieces"] for seen in before)
    scene.counts["after kill"] = sum(end["pieces"] for end in after) - scene.counts["before kill"]
    whole = " ".join(f"w{number}" for number in range(1, WORDS + 1))
    for end in after:
        scene.check(end["finals"] == [whole], f"final messages: {[text[:40] for text in end['finals']]}")
        scene.check(end["attempt"] >= attempt, f"the attempt is {end['attempt']}, as before the kill")
        scene.check(end["message_ids"] == after[0]["message_ids"], "the final messages differ")
    return scene


async def three_devices(devices: Devices, cluster: Cluster, say: Say) -> Scene:
    """One user goes from device to device; each knows what the others did."""
    scene = Scene("3 one user on three devices")
    phone, laptop, tablet = devices[:3]
    await asyncio.to_thread(cluster.wait_until_ready)  # the killed node has been started again
    nodes = await all_do(devices[:3], "go_home", seconds=WAIT_SECONDS)
    say("phone, laptop and tablet are on " + ", ".join(nodes))
    scene.check(len(set(nodes)) == 3, f"the three devices are on {nodes}")
    conversation_id = await conversation_for([phone, laptop])
    say("the phone asks, the laptop on another node watches the answer being written")
    await phone.do("say", conversation_id=conversation_id, texts=["/words 30"], respond=True)
    seen = await laptop.do("watch", conversation_id=conversation_id, attempt=1, n=5, seconds=WAIT_SECONDS)
    scene.check(not seen["status"], "the laptop saw the answer only when it was finished")
    say("the tablet joins in the middle of the answer, on the third node")
    await tablet.do("open", conversation_id=conversation_id)
    ends = await all_do(devices[:3], "finish", conversation_id=conversation_id, seconds=WAIT_SECONDS)
    scene.check(all(end["finals"] == ends[0]["finals"] for end in ends), "the answers differ")
    say("the phone loses its network and comes back; laptop and tablet go on meanwhile")
    await phone.do("cut")
    said = [
        device.do("say", conversation_id=conversation_id, texts=[f"from {device.device_id}"], respond=False)
        for device in (laptop, tablet, phone)
    ]
    head = max(await asyncio.gather(*said))
    await all_do(devices[:3], "reach", conversation_id=conversation_id, seq=head, seconds=WAIT_SECONDS)
    say("the laptop marks it read; the other devices hear of it")
    await laptop.do("command", name="mark_read", conversation_id=conversation_id, args={"seq": head})
    try:
        await asyncio.gather(
            *(
                device.do("fed", event="conversation.read", conversation_id=conversation_id, seconds=10)
                for device in (phone, tablet)
            )
        )
    except DeviceFailed as failed:
        scene.check(False, f"the read position did not arrive: {failed}")
    return scene
