"""The queue of turns: claim, attempt, fence, pieces, finish. Every change is one script; losing a race is normal.

A turn belongs to whoever holds its current `attempt`; each write of an older one is refused. A claim whose lease
ends without renewal is due again, so a dead node's turn goes to another one. All times are Redis' own.
"""

from typing import Any, NamedTuple

import orjson
from django.conf import settings

from . import keys, log
from .announce import tell_entries, tell_users
from .batching import batcher
from .errors import Fenced, TurnCancelled
from .events import Entry, encode_body
from .faults import point
from .lease import clock_seconds
from .marks import find_marked

MOST_DUE = 500


class Claim(NamedTuple):
    """A turn that this node may run now, under ``attempt``."""

    conversation_id: str
    turn_id: str
    attempt: int
    user_id: str
    seq: int
    declined_by: str
    interrupts: list[dict[str, Any]]
    members: list[str]
    answers: list[dict[str, Any]] = []  # {interrupt_id, value}; never changed
    # Leases in a row that ended without a new checkpoint or piece, this node's clock when the claim was sent.
    lapses: int = 0
    asked_at: float = 0.0
    written: str = ""  # the longest that an earlier attempt has written of the answer


class Missed(NamedTuple):
    """Why a claim was lost: the head turn and its attempt (empty: none is left), and whether it is leased.

    ``cancelled``: nobody may run it any more, `end_cancelled` ends it.
    """

    turn_id: str
    attempt: int
    leased: bool
    cancelled: bool = False


def lease_ms() -> int:
    return int(settings.LEASE_SECONDS * 1000)


async def claim(
    conversation_id: str, turn_id: str, attempts: int, node: str, *, patient: bool = False
) -> Claim | Missed:
    """Take the turn if it is the conversation's next, due, and had ``attempts`` so far; log `turn.started`.

    ``patient``: not if another node's lease on it has lapsed, which may still be there (contact.py).
    """
    asked_at = clock_seconds()
    body = encode_body("turn.started", {"turn_id": turn_id, "attempt": attempts + 1, "node": node})
    more = [keys.turn(conversation_id, turn_id), keys.pieces(conversation_id, turn_id)]
    reply = await batcher().submit(
        "claim",
        log.conversation_keys(conversation_id, *more),
        [conversation_id, turn_id, attempts, node, lease_ms(), body, "1" if patient else ""],
    )
    if reply[0] == 0:
        return Missed(reply[1].decode(), reply[2], reply[3] == 1, reply[3] == 2)
    point("turn.claim")
    _, epoch, seq, chain, user, message_seq, declined_by, interrupts, members, answers, lapses, written = reply
    claimed = Claim(
        conversation_id,
        turn_id,
        attempts + 1,
        user.decode(),
        message_seq,
        declined_by.decode(),
        orjson.loads(interrupts),
        [member.decode() for member in members],
        orjson.loads(b"[%b]" % answers),
        lapses,
        asked_at,
        written.decode(),
    )
    tell_entries(
        claimed.members,
        conversation_id,
        epoch,
        [Entry(seq, chain.decode(), "turn.started", body)],
        turn=(turn_id, claimed.attempt),
    )
    return claimed


async def find_due(most: int = MOST_DUE) -> list[str]:
    """Return conversations whose head turn may be claimed, over all partitions, the longest due first."""
    return await find_marked(keys.due, most)


async def head_turn(conversation_id: str) -> tuple[str, int] | None:
    """Return the head turn and its attempts so far."""
    found = (await log.heads([conversation_id])).get(conversation_id)
    return (found.turn[0], found.turn[1]) if found and found.turn else None


async def add_pieces(claimed: Claim, first: int, pieces: list[str]) -> None:
    """Store pieces ``first``… durable, renew the lease, then announce them. No pieces: only renew.

    Raises Fenced when the attempt is over, TurnCancelled when the turn is (the pieces are stored and announced),
    Unavailable (retry with the same numbers: a repeat is a success).
    """
    more = [
        keys.turn(claimed.conversation_id, claimed.turn_id),
        keys.pieces(claimed.conversation_id, claimed.turn_id),
    ]
    reply = await batcher().submit(
        "pieces",
        log.conversation_keys(claimed.conversation_id, *more),
        [claimed.conversation_id, claimed.turn_id, claimed.attempt, lease_ms(), first, *pieces],
    )
    if reply == 0:
        raise Fenced(claimed.turn_id)
    if pieces:
        point("turn.pieces")
    members, cancelled_by = reply
    claimed.members[:] = [member.decode() for member in members]  # people come and go while an answer is written
    for n, text in enumerate(pieces, start=first):
        tell_users(claimed.members, piece_message(claimed, n, text))
    if cancelled_by:
        raise TurnCancelled(cancelled_by.decode())


def piece_message(claimed: Claim, n: int, text: str) -> dict[str, Any]:
    """Return the announcement of piece n, with the `delta` frame as every device gets it."""
    frame = orjson.dumps(
        {
            "type": "delta",
            "conversation_id": claimed.conversation_id,
            "turn_id": claimed.turn_id,
            "attempt": claimed.attempt,
            "n": n,
            "text": text,
        }
    )
    return {
        "type": "piece",
        "c": claimed.conversation_id,
        "t": claimed.turn_id,
        "a": claimed.attempt,
        "n": n,
        "f": frame,
    }


async def finish(
    claimed: Claim,
    *,
    message_id: str,
    message: bytes,
    finished: bytes,
    preview: str,
    usage: dict[str, Any],
    status: str = "done",
    language: str = "",
) -> None:
    """End the turn: its message (unless empty), `turn.finished`, the next turn due; all or nothing, once.

    A repeat after a lost reply is a success. Raises TurnCancelled (it can only end with that ``status``), Fenced,
    Forbidden (deleted meanwhile), Unavailable.
    """
    more = [
        keys.turn(claimed.conversation_id, claimed.turn_id),
        keys.pieces(claimed.conversation_id, claimed.turn_id),
        keys.sent(claimed.conversation_id, "assistant", claimed.turn_id),
    ]
    args = [
        claimed.conversation_id,
        claimed.turn_id,
        claimed.attempt,
        message,
        message_id or "-",
        finished,
        preview,
        orjson.dumps(usage),
        log.SENT_TTL_SECONDS,
        status,
        language,
    ]
    await _fenced("finish", claimed, more, args, ["message", "turn.finished"] if message else ["turn.finished"])


async def release(claimed: Claim, *, interrupts: list[dict[str, Any]] | None = None) -> None:
    """Give up the lease: for another node, due now; or, with interrupts, until a person has answered.

    Raises TurnCancelled (it does not begin to wait), Fenced, Forbidden, Unavailable.
    """
    more = [keys.turn(claimed.conversation_id, claimed.turn_id)]
    args: list[Any] = [claimed.conversation_id, claimed.turn_id, claimed.attempt, "queued", "", "", ""]
    if interrupts is not None:
        body = encode_body("turn.waiting", {"turn_id": claimed.turn_id, "interrupts": interrupts})
        args[3:] = ["waiting", "turn.waiting", body, orjson.dumps(interrupts)]
    await _fenced("release", claimed, more, args, ["turn.waiting"])


async def log_answer(claimed: Claim, *, interrupt_id: str, value: Any) -> None:
    """Log that the question was declined by whoever wrote on, once, before the turn goes on."""
    body = answered_body(claimed.turn_id, interrupt_id, value, claimed.declined_by)
    more = [keys.turn(claimed.conversation_id, claimed.turn_id)]
    answer = kept_answer(interrupt_id, value)
    args = [claimed.conversation_id, claimed.turn_id, claimed.attempt, body, interrupt_id, answer]
    await _fenced("answered", claimed, more, args, ["turn.answered"])


def answered_body(turn_id: str, interrupt_id: str, value: Any, device_id: str) -> bytes:
    data = {"turn_id": turn_id, "interrupt_id": interrupt_id, "value": value, "device_id": device_id}
    return encode_body("turn.answered", data)


def kept_answer(interrupt_id: str, value: Any) -> bytes:
    """Return an answer as the turn's hash keeps it."""
    return orjson.dumps({"interrupt_id": interrupt_id, "value": value})


async def _fenced(name: str, claimed: Claim, more: list[str], args: list[Any], kinds: list[str]) -> None:
    """Run a script that pushes entries under the fence, and announce them."""
    reply = await batcher().submit(name, log.conversation_keys(claimed.conversation_id, *more), args)
    if reply[0] == b"FENCED":
        raise Fenced(claimed.turn_id)
    if reply[0] == b"CANCELLED":
        raise TurnCancelled(reply[1].decode())
    log.checked(reply)
    point(f"turn.{name}")
    if reply[0] == b"DUPLICATE":
        return
    entries = [
        Entry(seq, chain.decode(), kind, body) for (seq, chain, body, *_), kind in zip(reply[2], kinds, strict=False)
    ]
    if entries:
        members = [member.decode() for member in reply[3]]
        turn = (claimed.turn_id, claimed.attempt)
        tell_entries(members, claimed.conversation_id, reply[1], entries, turn=turn)
