"""A second thread of the same talk: what was said up to a place, copied into a conversation of one's own."""

from typing import Any, NamedTuple
from uuid import UUID, uuid5

from django.utils import timezone

from . import feed, keys, log, people, store
from .assistant.outcome import Source
from .batching import batcher
from .errors import Conflict, InvalidMessage
from .events import encode_body
from .feed import teller
from .gist import preview_of
from .messages import asks
from .models import Conversation, Member, Turn
from .superseding import Range, mark, read_ranges

PAGE_MESSAGES = 100
FORK_TOGETHER = 100
# Nobody sees a fork that is being made; one that was given up is erased after this.
FORK_SECONDS = 600

Item = dict[str, Any]  # a message as a history shows it


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
    ranges = await read_ranges(conversation_id)
    questions = await _questions(conversation_id, said, ranges)
    copied = 0
    while copied < len(said) - 1:
        together = said[copied : min(copied + FORK_TOGETHER, len(said) - 1)]
        bodies = [_copied(each, new_id, questions) for each in together]
        copied = await _add(new_id, copied, "", preview_of(together[-1]["content"]), bodies)
    # Somebody may talk in it already, and a turn of theirs goes on from its own state.
    source = None if is_open else _source(conversation_id, said, questions)
    return Copy(new_id, len(said), _copied(said[-1], new_id, questions), preview_of(said[-1]["content"]), source)


async def open_fork(*, user_id: str, copy: Copy) -> None:
    """Show the fork, whole now, to its owner, whose feed is told. May be repeated."""
    new_id = copy.conversation_id
    await _add(new_id, copy.seq - 1, user_id, copy.preview, [copy.last])
    await Member.objects.aget_or_create(conversation_id=new_id, user_id=user_id, defaults={"read_seq": copy.seq})
    brief = await log.brief(new_id)
    data = {"conversation_id": new_id, "title": brief.title if brief else "", "topic": brief.topic if brief else ""}
    await feed.push(user_id, "conversation.created", data, head=0)
    teller.note(new_id)


async def _said_until(conversation_id: str, seq: int) -> list[Item]:
    """Return the messages up to a seq that had not given way by then, oldest first."""
    said: list[Item] = []
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


async def _questions(conversation_id: str, said: list[Item], ranges: list[Range]) -> dict[str, str]:
    """Return which of these messages (their ids) answers which."""
    asking = {each["turn_id"]: each for each in said if each["role"] == "user" and each.get("turn_id")}
    by_seq = {each["seq"]: each for each in said}
    asking |= {each.by: by_seq[each.asked] for each in ranges if each.asked in by_seq}
    turns = {str(each["turn_id"]) for each in said if each["role"] == "assistant" and each.get("turn_id")}
    turns -= asking.keys()
    if turns:  # a failed turn that was tried again has no message of its own
        rows = Turn.objects.filter(pk__in=turns, conversation_id=conversation_id).values_list("pk", "seq")
        asking |= {str(turn_id): by_seq[seq] async for turn_id, seq in rows if seq in by_seq}
    found = {}
    for each in said:
        if each["role"] == "assistant":
            asked = asking.get(each.get("turn_id"))
            found[each["message_id"]] = asked["message_id"] if asked else each.get("answers", "")
    return found


def _source(conversation_id: str, said: list[Item], questions: dict[str, str]) -> Source | None:
    """Return the turn whose end is the state after these messages: the last one answers the one before it."""
    answer = said[-1]
    if not answer.get("turn_id") or len(said) < 2 or questions.get(answer["message_id"]) != said[-2]["message_id"]:
        return None
    return Source(conversation_id, answer["turn_id"], answer["status"] == "complete")


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


def _copied(message: Item, new_id: str, questions: dict[str, str]) -> bytes:
    """Return the entry that says the same in the fork: who, what and when; ids of its own, and no turn.

    A repeat makes the same ids, so that what it adds to a fork that was broken off names what is there.
    """
    data = {name: message[name] for name in ("role", "author", "content", "status")}
    if message["role"] == "user" and not asks(message):
        data["respond"] = False
    if question := questions.get(message["message_id"]):
        data["answers"] = _copied_id(question, new_id)
    return encode_body("message", {"message_id": _copied_id(message["message_id"], new_id), **data}, at=message["at"])


def _copied_id(message_id: str, new_id: str) -> str:
    return str(uuid5(UUID(new_id), message_id))


async def _add(new_id: str, seq: int, owner: str, preview: str, bodies: list[bytes]) -> int:
    script_keys = log.conversation_keys(new_id, keys.erase(keys.tag(new_id)))
    reply = await batcher().submit("fork_add", script_keys, [new_id, seq, owner, preview, *bodies])
    return int(log.checked(reply)[1])
