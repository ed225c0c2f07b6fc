"""Who is in a conversation: invite, remove, leave. The log decides; rows and feeds follow.

Each verb may be repeated: the log does it once for each ``once``, and what follows looks whether it is news. What a
crash leaves undone after the log, the archiver does: it compares the rows with the log's members when it copies.
"""

from typing import Any

from . import feed, keys, log, people, services
from .announce import tell_entries, tell_users
from .errors import Conflict, Forbidden, TooLarge
from .events import Entry, encode_body
from .feed import teller
from .models import Member
from .seats import give_seat, take_seat
from .threads import in_database

# Every message is announced to each of them.
MOST_MEMBERS = 100
TRIES = 10
NOBODY = "There is nobody of this name."
NOT_YOURS = "This conversation does not exist, or is not yours."


async def invite_member(*, user_id: str, conversation_id: str, username: str, once: str) -> None:
    """Log `member.joined` and tell everybody; the newcomer may read everything that was said. Only the owner may.

    Who is a member already stays one. Raises Forbidden, also where nobody has this name, TooLarge where the
    conversation or the newcomer's list is full.
    """
    await check_owner(conversation_id, user_id)
    guest = await people.find(username)
    if guest is None:
        raise Forbidden(NOBODY)
    if await people.has_full_list(guest):
        raise TooLarge("This person has as many conversations as this server allows.")
    data = {"user_id": guest, "username": username, "role": Member.Role.MEMBER, "by": user_id}
    body = encode_body("member.joined", data)
    args = [conversation_id, user_id, guest, body, MOST_MEMBERS, log.COMMAND_TTL_SECONDS]
    reply = await log.call("invite", conversation_id, [_sent(conversation_id, user_id, once)], args)
    if reply[0] == b"FULL":
        raise TooLarge("This conversation has as many members as it can.")
    _announce(conversation_id, reply, "member.joined", body)
    if seq := reply[2]:
        await in_database(give_seat, conversation_id, seq, guest)
        await feed.tell_joined(guest, conversation_id, seq)


async def remove_member(*, user_id: str, conversation_id: str, username: str, device_id: str, once: str) -> None:
    """Log `member.left`; the removed one gets nothing more, on any node. Only the owner may.

    Raises Forbidden, also where this is nobody, or no member. Who names oneself leaves.
    """
    await check_owner(conversation_id, user_id)
    gone = await people.find(username, also_disabled=True)
    if gone is None:
        raise Forbidden(NOBODY)
    if gone == user_id:
        about = {"user_id": user_id, "conversation_id": conversation_id}
        await leave_conversation(**about, device_id=device_id, once=once)
        return
    data = {"user_id": gone, "username": username, "by": user_id}
    reply = await _depart(conversation_id, user_id, gone, once, Member.Role.MEMBER, data)
    if reply[0] == b"ABSENT":
        raise Forbidden(NOBODY)
    if reply[0] == b"AGAIN":  # an owner has another role; so whoever asks owns it no longer
        raise Forbidden(NOT_YOURS)


async def leave_conversation(*, user_id: str, conversation_id: str, device_id: str, once: str) -> None:
    """Log `member.left`. The owner's place goes to whoever has been here longest; the last one's leaving deletes.

    Raises Forbidden, Conflict where others come and go faster than this can look.
    """
    data = {"user_id": user_id, "username": await people.name(user_id)}
    role, heir = Member.Role.MEMBER, ""
    for _ in range(TRIES):
        more = {"owner": heir} if heir else {}
        try:
            reply = await _depart(conversation_id, user_id, user_id, once, role, data | more)
        except Forbidden:  # unless this one deleted it by leaving, and did not hear of it
            await _delete_alone(conversation_id, user_id, device_id, once)
            return
        if reply[0] != b"AGAIN":
            return
        roles, joined = _seats(reply)
        role, heir = Member.Role(roles[user_id]), ""
        if len(roles) > 1:
            heir = _heir(roles, joined, user_id) if role == Member.Role.OWNER else ""
        elif await _delete_alone(conversation_id, user_id, device_id, once):
            return
    raise Conflict("Others came or went at the same moment; try again.")


async def _delete_alone(conversation_id: str, user_id: str, device_id: str, once: str) -> bool:
    """Delete it, if nobody has come meanwhile; return whether it is deleted. Raises Forbidden, but for the owner."""
    about = {"user_id": user_id, "conversation_id": conversation_id, "device_id": device_id}
    # Another name than the departure's: that one would take a restored conversation's owner out.
    return await services.delete_conversation(**about, once=f"{once}.alone", only_alone=True)


async def check_owner(conversation_id: str, user_id: str) -> None:
    """Before any name is looked up, so that nobody else learns which names exist."""
    reply = await log.call("member", conversation_id, [], [user_id])
    if reply[1] != b"owner":
        raise Forbidden(NOT_YOURS)


async def _depart(conversation_id: str, asks: str, gone: str, once: str, role: str, data: dict[str, Any]) -> Any:
    """Take the member out and tell everybody, also where an earlier call did and died before it told."""
    body, heir = encode_body("member.left", data), data.get("owner", "")
    args = [conversation_id, asks, gone, role, heir, body, log.COMMAND_TTL_SECONDS]
    reply = await log.call("depart", conversation_id, [_sent(conversation_id, asks, once)], args)
    if reply[0] in (b"OK", b"DUPLICATE"):
        # First, so that nothing more is sent to whoever is gone: each socket asks the log whether it may go on.
        tell_users([gone], {"type": "departed", "c": conversation_id})
        _announce(conversation_id, reply, "member.left", body)
        await in_database(take_seat, conversation_id, reply[2], gone, heir)
        await services.forget_reserved(gone)
        await feed.tell_left(gone, conversation_id, reply[2])
    return reply


def _announce(conversation_id: str, reply: Any, kind: str, body: bytes) -> None:
    if reply[0] == b"OK":
        _, epoch, seq, chain, members = reply
        entry = Entry(seq, chain.decode(), kind, body)
        tell_entries([member.decode() for member in members], conversation_id, epoch, [entry])
    teller.note(conversation_id)


def _sent(conversation_id: str, user_id: str, once: str) -> str:
    return keys.sent(conversation_id, user_id, f"cmd.{once}")


def _seats(reply: Any) -> tuple[dict[str, str], dict[str, int]]:
    """Return the roles, and at which seq each member came; whoever began it is not among the latter."""
    roles = log.pairs(reply[1])
    joined = {name[1:]: int(value) for name, value in log.pairs(reply[2]).items() if name[0] == "j"}
    return roles, joined


def _heir(roles: dict[str, str], joined: dict[str, int], leaving: str) -> str:
    """Return who has been here longest of those who stay."""
    return min((user for user in roles if user != leaving), key=lambda user: (joined.get(user, 0), int(user)))
