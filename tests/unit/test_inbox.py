"""What one socket may make the node hold before anybody has looked at it."""

import asyncio
import tracemalloc

from realtime.codes import CloseCode
from realtime.inbox import MAX_UNREAD_BYTES, Inbox

AUTH = '{"type":"auth","device_id":"phone"}'
BATCH = "[" + ",".join(['{"type":"heartbeat"}'] * 1000) + "]"


async def a_slow_door(frame):
    await asyncio.Event().wait()


def an_inbox(closed):
    inbox = Inbox("c1", a_slow_door, lambda frame: None, lambda code, reason, retry_after: closed.append(code))
    inbox.take(AUTH)
    return inbox


async def test_frames_that_wait_take_what_they_took_on_the_wire_not_what_they_take_parsed():
    closed = []
    inbox = an_inbox(closed)
    tracemalloc.start()
    try:
        for number in range(40):
            inbox.take(BATCH + " " * number)  # a text of its own each
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 40 * len(BATCH) < held_bytes < 2 * MAX_UNREAD_BYTES
    assert closed == []
    await inbox.stop()


async def test_who_has_not_come_in_may_leave_a_mebibyte_at_the_door():
    closed = []
    inbox = an_inbox(closed)
    taken = 0
    while not closed:
        inbox.take("x" * 200_000)
        taken += 1
    assert (taken, closed) == (6, [CloseCode.RATE])
    await inbox.stop()
