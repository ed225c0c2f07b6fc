"""Another answer, an edited question: what is said twice.

Nothing is taken back: what gave way stays in the log, marked. Where the model goes on from is found when the turn runs
(lua/turn_given.lua): a kept turn-end, else the transcript.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from django.conf import settings

from . import keys, log
from .announce import tell_entries
from .errors import Forbidden, InvalidMessage, TooLarge
from .events import Entry, encode_body, now_text
from .feed import teller
from .gist import preview_of
from .messages import asks
from .models import Conversation, Message, Turn
from .superseding import read_ranges

PAGE_MESSAGES = 100

Item = dict[str, Any]  # a message as a history shows it


async def regenerate_answer(*, user_id: str, device_id: str, conversation_id: str, message_id: str, once: str) -> str:
    """Ask for the last answer anew, and return the turn. Only for whom it was written, or the owner.

    Raises InvalidMessage for what is no answer, Conflict while a turn is in flight or where it is not the last message.
    """
    found = await _find(conversation_id, message_id)
    if found["role"] != "assistant":
        raise InvalidMessage("Only an answer can be written anew.")
    asked = await _asked(conversation_id, found)
    brief = await log.brief(conversation_id)
    if asked["author"] != user_id and (brief is None or brief.members.get(user_id) != "owner"):
        raise Forbidden("Only the one who asked can have this answer written anew.")
    turn_id = str(uuid4())
    args = [found["seq"], asked["seq"], turn_id, turn_id, now_text(), b"", ""]
    return await _supersede(user_id, device_id, conversation_id, turn_id, args, once)


async def edit_message(
    *, user_id: str, device_id: str, conversation_id: str, message_id: str, content: str, once: str
) -> str:
    """Say one's message in other words; it and what followed give way. Returns the turn that answers.

    Empty where the message was said without asking the assistant: so is the edited one.

    Raises Forbidden for another's message, InvalidMessage for none, Conflict while a turn is in flight, TooLarge.
    """
    found = await _find(conversation_id, message_id)
    if found["role"] != "user" or found["author"] != user_id:
        raise Forbidden("Only your own messages can be edited.")
    new_id, turn_id = str(uuid4()), str(uuid4()) if asks(found) else ""
    data = {
        "message_id": new_id,
        "role": "user",
        "author": user_id,
        "device_id": device_id,
        "content": content,
        "status": "complete",
    }
    if turn_id:
        data["turn_id"] = turn_id
    args = [found["seq"], 0, new_id, turn_id, now_text(), encode_body("message", data), preview_of(content)]
    return await _supersede(user_id, device_id, conversation_id, turn_id, args, once)


async def _supersede(
    user_id: str, device_id: str, conversation_id: str, turn_id: str, args: list[Any], once: str
) -> str:
    more = [
        keys.sent(conversation_id, user_id, f"cmd.{once}"),
        keys.superseded(conversation_id),
        keys.turn(conversation_id, turn_id),
    ]
    limits = [settings.MAX_MESSAGES_PER_CONVERSATION, log.COMMAND_TTL_SECONDS]
    reply = await log.call("supersede", conversation_id, more, [conversation_id, user_id, device_id, *args, *limits])
    if reply[0] == b"DUPLICATE":
        return str(reply[1].decode().split(" ")[1])
    if reply[0] == b"FULL":
        raise TooLarge("This conversation is full; start a new one.")
    kinds = ["message.superseded", "message"]
    entries = [
        Entry(seq, chain.decode(), kind, body) for (seq, chain, body), kind in zip(reply[2], kinds, strict=False)
    ]
    tell_entries([member.decode() for member in reply[3]], conversation_id, reply[1], entries)
    teller.note(conversation_id)
    return turn_id


async def _find(conversation_id: str, message_id: str) -> Item:
    """Return the message as a history shows it. Raises InvalidMessage where this conversation has none by this id."""
    archived = await _archived_seq(conversation_id)
    said = Message.objects.filter(message_id=message_id, conversation_id=conversation_id)
    if seq := await said.values_list("seq", flat=True).afirst():
        page, _ = await log.history(conversation_id, "", before_seq=seq + 1, limit=1)
        found = [each for each in page if each["message_id"] == message_id]
    else:
        found = [each async for each in _newest(conversation_id, archived) if each["message_id"] == message_id]
    if not found:
        raise InvalidMessage("There is no such message in this conversation.")
    return found[0]


async def _archived_seq(conversation_id: str) -> int:
    rows = Conversation.objects.filter(pk=conversation_id).values_list("archived_seq", flat=True)
    return await rows.afirst() or 0


async def _newest(conversation_id: str, archived_seq: int, before_seq: int = 0) -> AsyncIterator[Item]:
    """Yield the messages before a seq (0: to the head) that the archive may lack, newest first, and some it has."""
    more = True
    while more:
        page, more = await log.history(conversation_id, "", before_seq=before_seq, limit=PAGE_MESSAGES)
        for each in reversed(page):
            yield each
        if not page or page[0]["seq"] <= archived_seq:
            return
        before_seq = page[0]["seq"]


async def _asked(conversation_id: str, answer: Item) -> Item:
    """Return the message that this one answers. Raises InvalidMessage where nobody can tell which one that is."""
    found: Item | None
    if turn_id := answer.get("turn_id"):
        found = await _asked_by_turn(conversation_id, turn_id, answer["seq"])
    elif message_id := answer.get("answers"):
        found = await _find(conversation_id, message_id)
    else:  # copied before copies said what they answer
        found = await _at(conversation_id, answer["seq"] - 1)
    if found is None or found["role"] != "user":
        raise InvalidMessage("The message that this answers is not known.")
    return found


async def _asked_by_turn(conversation_id: str, turn_id: str, before_seq: int) -> Item | None:
    again = [each.asked for each in await read_ranges(conversation_id) if each.asked and each.by == turn_id]
    archived = await _archived_seq(conversation_id)
    seqs = Turn.objects.filter(pk=turn_id, conversation_id=conversation_id).values_list("seq", flat=True)
    if seq := again[0] if again else await seqs.afirst():
        return await _at(conversation_id, seq)
    newest: Item | None = None
    async for each in _newest(conversation_id, archived, before_seq):
        if each["role"] == "user" and each.get("turn_id") == turn_id:
            return each
        newest = newest or (each if each["role"] == "user" else None)
    # A failed turn tried again has no message of its own: nobody has said anything since, so it answers the newest.
    return newest


async def _at(conversation_id: str, seq: int) -> Item | None:
    """Return the message at this seq, or else None."""
    page, _ = await log.history(conversation_id, "", before_seq=seq + 1, limit=1)
    return page[0] if page and page[0]["seq"] == seq else None
