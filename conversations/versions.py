"""Another answer, an edited question, a second thread of the same talk: what is said twice.

Nothing is taken back: what gave way stays in the log, marked. Where the model goes on from is found when the turn runs
(lua/turn_given.lua): a kept turn-end, else the transcript.
"""

from typing import Any, NamedTuple
from uuid import uuid4

from django.conf import settings
from django.utils import timezone

from . import feed, keys, log, people, store
from .announce import tell_entries
from .assistant.outcome import Source
from .batching import batcher
from .errors import Conflict, Forbidden, InvalidMessage, TooLarge
from .events import Entry, encode_body, now_text
from .feed import teller
from .gist import preview_of
from .models import Conversation, Member, Message
from .superseding import Range, mark, read_ranges

PAGE_MESSAGES = 100
FORK_TOGETHER = 100
# Nobody sees a fork that is being made; one that was given up is erased after this.
FORK_SECONDS = 600

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

    Raises Forbidden for another's message, InvalidMessage for none, Conflict while a turn is in flight, TooLarge.
    """
    found = await _find(conversation_id, message_id)
    if found["role"] != "user" or found["author"] != user_id:
        raise Forbidden("Only your own messages can be edited.")
    new_id, turn_id = str(uuid4()), str(uuid4())
    data = {
        "message_id": new_id,
        "role": "user",
        "author": user_id,
        "device_id": device_id,
        "content": content,
        "turn_id": turn_id,
        "status": "complete",
    }
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
    rows = Conversation.objects.filter(pk=conversation_id).values_list("archived_seq", flat=True)
    archived = await rows.afirst() or 0
    said = Message.objects.filter(message_id=message_id, conversation_id=conversation_id)
    seq = await said.values_list("seq", flat=True).afirst()
    before, more = (seq + 1 if seq else 0), True
    page: list[Item]
    while more:
        page, more = await log.history(conversation_id, "", before_seq=before, limit=1 if seq else PAGE_MESSAGES)
        for each in reversed(page):
            if each["message_id"] == message_id:
                return each
        if seq or not page or page[0]["seq"] <= archived:
            break
        before = page[0]["seq"]
    raise InvalidMessage("There is no such message in this conversation.")


async def _asked(conversation_id: str, answer: Item) -> Item:
    """Return the message that this one answers: by its turn, or else the one before it."""
    turn_id = answer.get("turn_id")
    page: list[Item]
    again = [each for each in await read_ranges(conversation_id) if each.asked and each.by == turn_id]
    if again:
        page, _ = await log.history(conversation_id, "", before_seq=again[0].asked + 1, limit=1)
    else:
        page, _ = await log.history(conversation_id, "", before_seq=answer["seq"], limit=PAGE_MESSAGES)
    said = [each for each in reversed(page) if each["role"] == "user"]
    for each in said:
        if turn_id and each.get("turn_id") == turn_id:
            return each
    if not said:
        raise InvalidMessage("Nobody asked for this answer.")
    return said[0]


class Copy(NamedTuple):
    """A conversation that is being made. ``seq`` will be its head, once ``last`` (a body) is in it.

    ``source``: the turn-end to go on from, if the last message is its answer; None where that is open already.
    """

    conversation_id: str
    seq: int
    last: bytes
    preview: str
    source: Source | None


async def copy_conversation(*, user_id: str, conversation_id: str, seq: int, new_id: str) -> Copy:
    """Copy what was said up to a seq into the new conversation ``new_id``, which stays hidden until `open_fork`.

    What had given way by then is left out. May be repeated. Raises InvalidMessage beyond the head or before a
    clearing, Conflict while a turn is in flight, TooLarge when the user has MAX_CONVERSATIONS_PER_USER.
    """
    head = (await log.heads([conversation_id])).get(conversation_id)
    if head is None or not 1 <= seq <= head.position.seq:
        raise InvalidMessage("There is no such place in this conversation.")
    if head.turn is not None:
        raise Conflict("An answer is being written.", data={"head": head.position.wire()})
    said = await _said_until(conversation_id, seq)
    if not said:
        raise InvalidMessage("Nothing was said up to there, or it was cleared.")
    is_open = await _prepare(user_id, conversation_id, new_id)
    bodies = [_copied(each) for each in said]
    copied = 0
    while copied < len(said) - 1:
        together = slice(copied, min(copied + FORK_TOGETHER, len(said) - 1))
        copied = await _add(new_id, copied, "", preview_of(said[together][-1]["content"]), bodies[together])
    # Somebody may talk in it already, and a turn of theirs goes on from its own state.
    source = None if is_open else _source(conversation_id, said, await read_ranges(conversation_id))
    return Copy(new_id, len(said), bodies[-1], preview_of(said[-1]["content"]), source)


async def open_fork(*, user_id: str, copy: Copy) -> None:
    """Show the fork, whole now, to its owner, whose feed is told. May be repeated."""
    new_id = copy.conversation_id
    await _add(new_id, copy.seq - 1, user_id, copy.preview, [copy.last])
    await Member.objects.aget_or_create(conversation_id=new_id, user_id=user_id, defaults={"read_seq": copy.seq})
    brief = await log.brief(new_id)
    data = {"conversation_id": new_id, "title": brief.title if brief else "", "topic": brief.topic if brief else ""}
    await feed.push(user_id, "conversation.created", data, head=0)
    teller.note(new_id)


async def _said_until(conversation_id: str, seq: int) -> list[dict[str, Any]]:
    """Return the messages up to a seq that had not given way by then, oldest first."""
    said: list[dict[str, Any]] = []
    before, more = seq + 1, True
    while more:
        page, more = await log.history(conversation_id, "", before_seq=before, limit=PAGE_MESSAGES)
        said = page + said
        if not page:
            break
        before = page[0]["seq"]
    for each in said:
        each.pop("superseded_by", None)
    mark(said, [each for each in await read_ranges(conversation_id) if each.at <= seq])
    return [each for each in said if "superseded_by" not in each]


def _source(conversation_id: str, said: list[dict[str, Any]], ranges: list[Range]) -> Source | None:
    """Return the turn whose end is the state after these messages: the last one answers the one before it."""
    answer, turn_id = said[-1], said[-1].get("turn_id")
    if answer["role"] != "assistant" or not turn_id or len(said) < 2:
        return None
    again = {each.asked for each in ranges if each.by == turn_id}
    asked = said[-2]
    follows = asked.get("turn_id") == turn_id or asked["seq"] in again
    return Source(conversation_id, turn_id, answer["status"] == "complete") if follows else None


async def _prepare(user_id: str, conversation_id: str, new_id: str) -> bool:
    """Make the row and a log without members. The mark has both erased should nobody come to open them.

    Returns whether it is open already: a repeat, whose result was lost.
    """
    if (made := await log.brief(new_id)) and made.members:
        return True
    await people.check_room(user_id)
    brief = await log.brief(conversation_id)
    title, topic = (brief.title, brief.topic) if brief else ("", "")
    await Conversation.objects.aget_or_create(
        pk=new_id, defaults={"owner_id": user_id, "title": title, "topic": topic, "last_active_at": timezone.now()}
    )
    later = await store.now_ms() + FORK_SECONDS * 1000
    with store.mapped_errors():
        await store.client().zadd(keys.erase(keys.tag(new_id)), {new_id: later})
    await log.create(new_id, meta={"title": title, "topic": topic}, members={})
    return False


def _copied(message: dict[str, Any]) -> bytes:
    """Return the entry that says the same in the fork: who, what and when; ids of its own, and no turn."""
    data = {name: message[name] for name in ("role", "author", "content", "status")}
    return encode_body("message", {"message_id": str(uuid4()), **data}, at=message["at"])


async def _add(new_id: str, seq: int, owner: str, preview: str, bodies: list[bytes]) -> int:
    script_keys = log.conversation_keys(new_id, keys.erase(keys.tag(new_id)))
    reply = await batcher().submit("fork_add", script_keys, [new_id, seq, owner, preview, *bodies])
    return int(log.checked(reply)[1])
