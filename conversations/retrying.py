"""A failed turn tried again: another turn on the same message, queued as the first one was."""

from typing import Any

from django.utils.translation import gettext_noop as N_

from . import keys, log
from .errors import Conflict
from .messages import new_id
from .models import Message, Turn
from .threads import in_database


async def retry_turn(*, turn_id: str, device_id: str, once: str) -> str:
    """Queue a new turn for the failed turn's message and return its id. Any node finds it within half a second.

    Raises Conflict where the turn has not failed, a turn is in flight, or something was said since; Forbidden where
    whoever asked is no member any more; Unavailable. Repeatable by ``once``.
    """
    conversation_id, seq, author = await in_database(_find_question, turn_id)
    new_turn_id = new_id()
    more = [keys.turn(conversation_id, new_turn_id), keys.sent(conversation_id, author, f"cmd.{once}")]
    args: list[Any] = [conversation_id, author, seq, new_turn_id, device_id, log.COMMAND_TTL_SECONDS]
    try:
        reply = await log.call("retry", conversation_id, more, args)
    except Conflict as error:
        raise Conflict(N_("An answer is being written here already."), data=error.data) from None
    return str(reply[1].decode())


def _find_question(turn_id: str) -> tuple[str, int, str]:
    """Return (conversation, seq, author) of the message that the turn was to answer."""
    turn = Turn.objects.filter(pk=turn_id, status=Turn.Status.FAILED).first()
    if turn is None:
        raise Conflict(N_("This turn has not failed."))
    said = Message.objects.filter(conversation_id=turn.conversation_id, role=Message.Role.USER, seq__gte=turn.seq)
    newest = list(said.order_by("seq").values_list("seq", "author")[:2])
    if not newest or newest[0][0] != turn.seq:
        raise Conflict(N_("The message was erased."))
    if len(newest) > 1:
        raise Conflict(N_("Something was said since; whoever asks again gets an answer."))
    return str(turn.conversation_id), turn.seq, newest[0][1]
