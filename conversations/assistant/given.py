"""What a turn is given beside its message: whose state it goes on from, and what people want of the assistant."""

from dataclasses import dataclass
from typing import NamedTuple

import orjson

from conversations import log
from conversations.batching import batcher
from conversations.wishes import find_wishes

from . import keys
from .turn_context import Recap


class HeadTurn(NamedTuple):
    """The turn that the head checkpoint is of. ``seq``: its message's, 0 if unknown; ``ended``: broken off, closed.

    Without a turn_id it cannot be read.
    """

    turn_id: str
    seq: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Given:
    """``head`` is None without any checkpoint; ``topic`` and ``title`` are people's, ``model`` the owner's choice."""

    head: HeadTurn | None = None
    topic: str = ""
    title: str = ""
    model: str = ""
    instructions: str = ""
    cleared_seq: int = 0
    recap: Recap | None = None
    own_instructions: str = ""


async def read_given(conversation_id: str, user_id: str) -> Given:
    """Return what a turn that this user asked for is given. Ask under its fence. Raises Unavailable."""
    more = [keys.heads(conversation_id), keys.recap(conversation_id)]
    script_keys = log.conversation_keys(conversation_id, *more)
    asking = batcher().submit("turn_given", script_keys, [keys.prefix(conversation_id)])
    own_instructions = await find_wishes(user_id)
    head, topic, title, model, instructions, cleared, recap = await asking
    return Given(
        head=None if head is None else HeadTurn(head[0].decode(), head[1], head[2] != b""),
        topic=topic.decode(),
        title=title.decode(),
        model=model.decode(),
        instructions=instructions.decode(),
        cleared_seq=cleared,
        recap=Recap(*orjson.loads(recap)) if recap else None,
        own_instructions=own_instructions,
    )
