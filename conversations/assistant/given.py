"""What a turn is given beside its graph: the message that asks, what was said meanwhile, and people's wishes.

One script reads all that lies with the conversation; the person's own facts come from a copy in Redis, so that no turn
waits for the database.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from conversations import log, people
from conversations.batching import batcher
from conversations.messages import find_message

from . import keys
from .turn_context import Recap

MOST_MESSAGES = 100
MOST_BYTES = 256 * 1024


class Said(NamedTuple):
    """A message that no turn has brought into the state: nobody asked for an answer, or its turn ended without one."""

    id: str
    role: str
    author: str
    content: str
    turn_id: str
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Given:
    """``head_turn`` wrote the newest checkpoint; None where there is none. ``said`` came since, oldest first."""

    text: str
    head_turn: str | None = None
    said: list[Said] = field(default_factory=list)
    topic: str = ""
    title: str = ""
    model: str = ""
    instructions: str = ""
    cleared_seq: int = 0
    recap: Recap | None = None
    username: str = ""
    own_instructions: str = ""


async def read_given(conversation_id: str, seq: int, user_id: str) -> Given:
    """Return what the turn that the message at ``seq`` asks for goes on from. Raises Unavailable."""
    more = [keys.heads(conversation_id), keys.recap(conversation_id)]
    args = [seq, keys.prefix(conversation_id), MOST_MESSAGES, MOST_BYTES]
    asking = batcher().submit("turn_given", log.conversation_keys(conversation_id, *more), args)
    person = await people.find_person(user_id)
    turn, topic, title, model, instructions, cleared, recap, rows = await asking
    messages = [(number, orjson.loads(body)["data"]) for number, body in reversed(rows)]
    mine = [data["content"] for number, data in messages if number == seq]
    return Given(
        text=mine[0] if mine else await find_message(conversation_id, seq),
        head_turn=None if turn is None else turn.decode(),
        said=[_said(data) for number, data in messages if number != seq],
        topic=topic.decode(),
        title=title.decode(),
        model=model.decode(),
        instructions=instructions.decode(),
        cleared_seq=cleared,
        recap=Recap(*orjson.loads(recap)) if recap else None,
        username=person.username,
        own_instructions=person.instructions,
    )


def _said(data: dict[str, Any]) -> Said:
    is_whole = data["role"] == "assistant" and data["status"] == "complete"
    return Said(data["message_id"], data["role"], data["author"], data["content"], data.get("turn_id", ""), is_whole)
