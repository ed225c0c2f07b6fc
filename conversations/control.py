"""What people do to a turn: cancel it, answer its questions. Each is one script, and a fact before anyone hears of it.

A cancelled turn that a node runs is ended by that node, which hears of it by its group, and again with its next
piece or renewal. One that nobody runs (queued, waiting, its node dead) is ended by the script itself.
"""

from typing import Any, NamedTuple

from channels.layers import get_channel_layer
from django.utils.translation import gettext_noop as N_

from . import keys, log
from .announce import node_group, tell_entries
from .errors import Conflict, Forbidden, TooLarge
from .events import Entry, now_text
from .feed import teller
from .messages import new_id
from .models import Turn
from .threads import mapped_errors
from .turns import answered_body, kept_answer

# The entry that tells of it must fit a frame, with room for what is put around it.
ANSWER_BYTES = 128 * 1024
SERVER = ""


class Cancelling(NamedTuple):
    """A cancelled turn: ``node`` is to end it; where that is empty, it has ended."""

    turn_id: str
    node: str


class Answering(NamedTuple):
    """An answer that was taken: whether the turn may go on now, and how often it was claimed before."""

    is_due: bool
    attempts: int


async def cancel_turn(
    *, conversation_id: str, user_id: str, device_id: str, turn_id: str = "", once: str
) -> Cancelling:
    """Cancel the turn (default: the one in flight), durable, and tell the node that runs it.

    What was written of the answer becomes its message. A turn that is cancelled already is a success.
    Raises Conflict for a turn that has ended otherwise or where none is in flight; Forbidden for strangers, for a
    turn that never was, and for a member who neither owns the conversation nor started the turn; Unavailable.
    """
    cancelling = await _cancel(conversation_id, user_id, device_id, turn_id, once)
    if cancelling.node:
        message = {"type": "turn.cancel", "c": conversation_id, "t": cancelling.turn_id, "d": device_id}
        get_channel_layer().group_send_soon(node_group(cancelling.node), message)
    return cancelling


async def end_cancelled(conversation_id: str, turn_id: str) -> None:
    """End a turn that was cancelled while a node ran it, and that has lost this node since."""
    await _cancel(conversation_id, SERVER, "", turn_id, "")


async def _cancel(conversation_id: str, user_id: str, device_id: str, turn_id: str, once: str) -> Cancelling:
    args: list[Any] = [conversation_id, user_id, device_id, turn_id, now_text(), new_id()]
    args += [keys.tag(conversation_id), log.COMMAND_TTL_SECONDS, log.SENT_TTL_SECONDS]
    more = [keys.sent(conversation_id, user_id, f"cmd.{once}")]
    try:
        reply = await log.call("cancel", conversation_id, more, args)
    except Conflict as error:
        reason = N_("This answer has ended already.") if turn_id else N_("No answer is being written here.")
        raise Conflict(reason, data=error.data) from None
    if reply[0] == b"UNKNOWN":
        if user_id != SERVER:
            await _refuse_unknown(conversation_id, turn_id)
        return Cancelling(turn_id, "")
    _, epoch, entries, members, cancelled_id, node = reply
    cancelling = Cancelling(cancelled_id.decode(), node.decode())
    _announce(conversation_id, epoch, entries, members, cancelling.turn_id)
    return cancelling


async def answer_turn(
    *,
    conversation_id: str,
    user_id: str,
    device_id: str,
    turn_id: str,
    interrupt_id: str,
    value: Any,
    once: str,
) -> Answering:
    """Answer a question that the turn waits for, durable; once all are answered, the turn is due. The first wins.

    Raises Conflict where somebody was first or the turn does not wait for this, Forbidden as `cancel_turn` does,
    TooLarge, Unavailable.
    """
    answer = kept_answer(interrupt_id, value)
    if len(answer) > ANSWER_BYTES:
        raise TooLarge(f"The answer is larger than {ANSWER_BYTES} bytes.")
    more = [
        keys.turn(conversation_id, turn_id),
        keys.sent(conversation_id, user_id, f"cmd.{once}"),
        keys.sent(conversation_id, "assistant", turn_id),
    ]
    body = answered_body(turn_id, interrupt_id, value, device_id)
    args = [conversation_id, user_id, turn_id, interrupt_id, body, answer, log.COMMAND_TTL_SECONDS]
    try:
        reply = await log.call("answer", conversation_id, more, args)
    except Conflict as error:
        raise Conflict("This question is closed: it was answered, or the answer has ended.", data=error.data) from None
    if reply[0] == b"UNKNOWN":
        await _refuse_unknown(conversation_id, turn_id)
    _, epoch, entries, members, is_due, attempts = reply
    _announce(conversation_id, epoch, entries, members, turn_id)
    return Answering(is_due == 1, attempts)


def _announce(conversation_id: str, epoch: int, entries: list[Any], members: list[bytes], turn_id: str) -> None:
    if not entries:
        return
    told = [Entry(seq, chain.decode(), kind.decode(), body) for seq, chain, body, kind in entries]
    tell_entries([member.decode() for member in members], conversation_id, epoch, told, turn=(turn_id, 0))
    teller.note(conversation_id)


@mapped_errors()
async def _refuse_unknown(conversation_id: str, turn_id: str) -> None:
    """Redis remembers an ended turn for 7 days, the archive for good. Raises Conflict, or Forbidden: it never was."""
    ended = Turn.objects.filter(pk=turn_id, conversation_id=conversation_id, finished_at__isnull=False)
    if await ended.aexists():
        raise Conflict(N_("This answer has ended already."))
    raise Forbidden(N_("This answer does not exist, or is not yours."))
