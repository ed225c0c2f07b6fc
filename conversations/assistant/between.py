"""What the log has between two turns that the graph has never seen: said without asking, or by turns cut short.

The log is the truth, a checkpoint a copy: what a cancelled turn had written before its node died, or what was asked
and cancelled before its turn began, is no step of any graph. The next turn takes it in with its own message.
"""

from typing import Any, NamedTuple

import orjson
from langchain_core.messages import AIMessage, BaseMessage

from conversations import keys as conversation_keys
from conversations import people
from conversations.batching import batcher
from conversations.superseding import read_ranges

from .given import HeadTurn
from .speakers import spoken

KINDS = {b"message", b"turn.finished"}
MOST_ENTRIES = 400
MOST_LATE_ENTRIES = 100
MOST_MESSAGES = 40


class Between(NamedTuple):
    """``is_cut``: the head's turn was ended where it was, without a turn-end checkpoint."""

    said: list[BaseMessage]
    is_cut: bool


async def read_between(conversation_id: str, head: HeadTurn, before_seq: int, *, has_company: bool) -> Between:
    """Return what was said after the head turn's message and before a seq, oldest first, but what its state holds.

    What gave way is left out. Answers may stand behind that seq: who asks does not wait for them. The newest 40
    messages among the newest 400 entries, as far as the stream has them. In a log that was rebuilt since, places
    have moved, and an answer may come twice. ``has_company``: people are named, and what they said to each other is
    marked. Raises Unavailable.
    """
    if not head.seq or before_seq <= head.seq:
        return Between([], False)
    log = conversation_keys.log(conversation_id)
    front = batcher().command("XREVRANGE", log, f"({before_seq}-0", f"({head.seq}-0", "COUNT", MOST_ENTRIES)
    late = batcher().command("XRANGE", log, f"({before_seq}-0", "+", "COUNT", MOST_LATE_ENTRIES)
    entries = [_entry(row) for row in [*(await front)[::-1], *await late]]
    ranges = await read_ranges(conversation_id, head.seq)
    by_turn = {each.asked: each.by for each in ranges if each.asked}  # the turn that answered a message last
    asked: list[dict[str, Any]] = []
    answers: dict[str, AIMessage] = {}
    is_cut = False
    for seq, kind, data in entries:
        if kind == b"turn.finished" and data["turn_id"] == head.turn_id:
            is_cut = data["status"] != "done" and not head.ended
        if kind != b"message" or any(each.from_seq <= seq <= each.to_seq for each in ranges):
            continue
        if data["role"] == "user" and seq < before_seq:
            asked.append(data | {"turn_id": by_turn.get(seq, data.get("turn_id", ""))})
        elif data["role"] == "assistant" and data.get("turn_id"):
            answers[data["turn_id"]] = AIMessage(data["content"], id=f"{data['turn_id']}-{data['status']}")
    said: list[BaseMessage] = [answers[head.turn_id]] if is_cut and head.turn_id in answers else []
    names = await people.names({each["author"] for each in asked}) if has_company else {}
    for each in asked:
        turn_id = each["turn_id"]
        # Its id makes a message one, however often it is handed in.
        message_id = f"{turn_id}-said" if turn_id else each["message_id"]
        name = names.get(each["author"], people.GONE) if has_company else ""
        said.append(spoken(each["content"], message_id=message_id, name=name, overheard=has_company and not turn_id))
        if turn_id in answers:
            said.append(answers[turn_id])
    return Between(said[-MOST_MESSAGES:], is_cut)


def _entry(row: Any) -> tuple[int, bytes, dict[str, Any]]:
    """Return seq, kind and, where it matters here, data."""
    number, (_, kind, _, _, _, body, *_) = row
    data = orjson.loads(body)["data"] if kind in KINDS else {}
    return int(number.split(b"-")[0]), kind, data
