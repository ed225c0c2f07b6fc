"""The archiver leaves a busy node nearly all of its processor."""

import pytest

from conversations.pacing import BUSY_SHARE, LONGEST_REST_SECONDS, Pace, rest_seconds


def test_on_a_busy_node_the_work_is_a_small_share_of_the_time() -> None:
    used = 0.02
    assert used / (used + rest_seconds(used, is_idle=False)) == pytest.approx(BUSY_SHARE)


def test_on_an_idle_node_it_rests_less() -> None:
    assert rest_seconds(0.02, is_idle=True) < rest_seconds(0.02, is_idle=False) / 10


def test_no_rest_is_so_long_that_another_takes_the_lease() -> None:
    assert rest_seconds(60, is_idle=False) == LONGEST_REST_SECONDS < 5


async def test_the_work_that_was_done_is_rested_from_once() -> None:
    pace = Pace()
    assert await pace.in_database(sum, range(100_000)) == 4999950000
    assert pace._used_seconds > 0
    await pace.rest(0)
    assert pace._used_seconds == 0
