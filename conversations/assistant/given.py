"""What a turn is given beside its message: whose state it goes on from, and what people want of the assistant."""

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from conversations import keys as conversation_keys
from conversations import log
from conversations.turns import Claim
from conversations.wishes import find_wishes

from . import keys
from .fence import run
from .turn_context import Recap


class HeadTurn(NamedTuple):
    """The turn that the head checkpoint is of. ``seq``: its message's, 0 if unknown; ``ended``: broken off, closed.

    Without a turn_id it is a fork's that has had none, or cannot be read.
    """

    turn_id: str
    seq: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Given:
    """``head`` is None without any checkpoint; ``topic`` and ``model`` are the owner's choice, ``title`` the log's."""

    head: HeadTurn | None = None
    topic: str = ""
    title: str = ""
    model: str = ""
    instructions: str = ""
    cleared_seq: int = 0
    recap: Recap | None = None
    own_instructions: str = ""


async def read_given(claimed: Claim) -> Given:
    """Return what a claimed turn is given. The head checkpoint is its start from then on, or there is none.

    Where the turn answers an older message anew, or the head belongs to what gave way, the head goes back to the newest
    turn-end that is left of what was before, or away. Asking again changes nothing. Raises Fenced, Unavailable.
    """
    conversation_id = claimed.conversation_id
    more = [
        keys.heads(conversation_id),
        keys.order(conversation_id),
        keys.recap(conversation_id),
        conversation_keys.turn(conversation_id, claimed.turn_id),
        conversation_keys.superseded(conversation_id),
    ]
    args = [keys.prefix(conversation_id), claimed.attempt, claimed.turn_id, claimed.seq]
    asking = run("turn_given", log.conversation_keys(conversation_id, *more), args)
    own_instructions, reply = await asyncio.gather(find_wishes(claimed.user_id), asking)
    head, topic, title, model, instructions, cleared, recap = reply
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
