"""What a node may do is told by its own clock: its lease, and how long it has heard of Redis."""

import asyncio

import pytest

from conversations import contact, lease
from conversations.contact import Contact
from conversations.lease import Lease, hold_lease


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch, settings):
    settings.LEASE_SECONDS = 6
    clock = Clock()
    for module in (lease, contact):
        monkeypatch.setattr(module, "clock_seconds", clock)
    return clock


async def test_outside_a_turn_nothing_is_held():
    await hold_lease()


async def test_a_lease_that_has_run_out_holds_until_it_is_renewed(clock):
    held = Lease(asked_at=100)
    held.enter()
    await hold_lease()
    clock.now = 106
    waiting = asyncio.create_task(hold_lease())
    await asyncio.sleep(0)
    held.renewed(asked_at=99)  # was sent before the time that counts already
    await asyncio.sleep(0)
    assert not waiting.done()
    held.renewed(asked_at=105)
    await waiting


def test_a_node_is_fresh_for_a_lease_after_it_first_heard_of_redis(clock):
    met = Contact()
    assert met.is_fresh
    for clock.now in range(100, 108):
        met.heard()
        assert met.is_fresh == (clock.now < 106)


def test_a_node_that_was_cut_off_or_frozen_is_fresh_again(clock):
    met = Contact()
    for clock.now in range(100, 120):
        met.heard()
    clock.now = 123.5
    assert met.is_fresh
    met.heard()
    for clock.now in range(124, 132):
        met.heard()
    assert not met.is_fresh
