"""What was said and gave way to another answer or an edit: kept, marked, and left out of what the model is shown."""

from bisect import bisect_left
from typing import Any, NamedTuple

from . import keys
from .batching import batcher


class Range(NamedTuple):
    """Messages from one seq to another gave way at seq ``at`` to ``by``, a message or a turn.

    ``asked`` is the message that this turn answers anew; 0 where a message was edited.
    """

    from_seq: int
    to_seq: int
    at: int
    by: str
    asked: int

    def member(self) -> str:
        """As it stands in the sorted set; supersede.lua writes the same."""
        return " ".join(map(str, self))


async def read_ranges(conversation_id: str, from_seq: int = 0) -> list[Range]:
    """Return the ranges that reach to a seq or beyond it, in the order in which they came. Raises Unavailable."""
    found = await batcher().command("ZRANGEBYSCORE", keys.superseded(conversation_id), from_seq, "+inf")
    fields = [member.decode().split(" ") for member in found]
    ranges = [Range(int(first), int(last), int(at), by, int(asked)) for first, last, at, by, asked in fields]
    return sorted(ranges, key=lambda each: each.at)


def mark(messages: list[dict[str, Any]], ranges: list[Range]) -> None:
    """Put `superseded_by` on what gave way. What had given way already stays with what took its place first.

    The messages in the order of their seqs, the ranges in theirs. Each is looked at about once: a conversation may have
    tens of thousands of both, and nobody else's waits meanwhile.
    """
    seqs = [message["seq"] for message in messages]
    standing = list(range(len(seqs) + 1))  # of each place itself, or a later one: what has not given way is there
    for each in ranges:
        index = _first_standing(standing, bisect_left(seqs, each.from_seq))
        while index < len(seqs) and seqs[index] <= each.to_seq:
            messages[index]["superseded_by"] = each.by
            standing[index] = index + 1
            index = _first_standing(standing, index)


def _first_standing(standing: list[int], index: int) -> int:
    while standing[index] != index:
        standing[index] = standing[standing[index]]
        index = standing[index]
    return index


def runs_of(gave_way: set[int], others: set[int]) -> list[tuple[int, int]]:
    """Return the fewest (first, last) that hold all seqs that gave way and none of the others."""
    runs: list[tuple[int, int]] = []
    for seq, is_other in sorted([*((seq, False) for seq in gave_way), *((seq, True) for seq in others)]):
        if is_other:
            runs.append((0, 0))
        elif runs and runs[-1][0]:
            runs[-1] = (runs[-1][0], seq)
        else:
            runs.append((seq, seq))
    return [run for run in runs if run[0]]
