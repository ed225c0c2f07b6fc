"""The commands: membership first, then the arguments, then the verb. A repeat within 24 h gets the first result."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from django.urls import reverse

from conversations import (
    control,
    devices,
    feed,
    keys,
    log,
    memberships,
    ratings,
    search,
    services,
    sharing,
    store,
    versions,
)
from conversations.announce import tell_users
from conversations.audit.actor import acting
from conversations.errors import Forbidden, InvalidMessage, UnknownCommand
from conversations.events import time_text
from conversations.models import User
from conversations.threads import in_database, mapped_errors

from . import outgoing
from .command_frames import COMMANDS
from .frames import Command, parse_args

if TYPE_CHECKING:  # a connection carries commands out; commands only need its type
    from .connection import Connection

KEPT_SECONDS = log.COMMAND_TTL_SECONDS


class Call:
    """One command as its handler sees it."""

    def __init__(self, connection: "Connection", command: Command, conversation_id: str) -> None:
        self.user_id = connection.user_id
        self.device_id = connection.device_id
        self.node = connection.node
        self.id = command.id
        self.command = command.command
        self.conversation_id = conversation_id
        self.args: Any = None


Handler = Callable[[Call], Awaitable[dict[str, Any]]]


@mapped_errors()
async def run(connection: "Connection", command: Command) -> bytes:
    """Carry the command out and return its `result` (or `history`) frame.

    Raises Forbidden before anything else where the conversation is not the user's, UnknownCommand, InvalidMessage,
    Unavailable.
    """
    spec = COMMANDS.get(command.command)
    about = spec is None or spec.about_conversation
    conversation_id = command.conversation_id or (connection.conversation_id if about else "")
    call = Call(connection, command, conversation_id)
    # The first result of this user's own command; what it was about may be gone since.
    kept = await _kept(call) if command.command in HANDLERS and command.command not in READ_ONLY else None
    if kept is not None and kept.is_of(command):
        return outgoing.result(call.id, call.command, kept.data)
    if conversation_id and command.command not in LOOK_FOR_THEMSELVES:
        await log.check_member(conversation_id, call.user_id)
    handler = HANDLERS.get(command.command)
    if handler is None:
        raise UnknownCommand("This server does not have this command.")
    if kept is not None:  # else it would not be carried out, and be told that it was
        raise InvalidMessage("This id was used for another command.")
    call.args = parse_args(command)
    if command.command == "get_history":
        return await _history(call)
    if command.command in READ_ONLY:
        return outgoing.result(call.id, call.command, await handler(call))
    return outgoing.result(call.id, call.command, await _once(call, command, handler))


class Kept(NamedTuple):
    """A command's first result, and which command that was."""

    command: str
    conversation_id: str | None
    data: dict[str, Any]

    def is_of(self, command: Command) -> bool:
        """Whether this command may be the same one; a repeat may name the conversation that the first one did not."""
        ids = {self.conversation_id, command.conversation_id} - {None}
        return command.command == self.command and len(ids) <= 1


async def _once(call: Call, command: Command, handler: Handler) -> dict[str, Any]:
    """Carry out and keep the result. What a handler logs is logged once by the same id, whoever dies between."""
    data = await handler(call)
    with store.mapped_errors():
        key = keys.command(call.user_id, call.id)
        kept = orjson.dumps([command.command, command.conversation_id, data])
        await store.client().set(key, kept, ex=KEPT_SECONDS, nx=True)
    return data


async def _kept(call: Call) -> Kept | None:
    with store.mapped_errors():
        kept = await store.client().get(keys.command(call.user_id, call.id))
    return None if kept is None else Kept(*orjson.loads(kept))


async def _new_conversation(call: Call) -> dict[str, Any]:
    # The id is reserved before anything is made, so that a repeat after a crash makes the same one.
    reserved = await services.reserve_id(keys.command(call.user_id, f"{call.id}.new"), ttl_seconds=KEPT_SECONDS)
    conversation_id = await services.create_conversation(
        user_id=call.user_id,
        conversation_id=reserved,
        title=call.args.title or "",
        topic=call.args.topic or "",
    )
    return {"conversation_id": conversation_id}


async def _list_conversations(call: Call) -> dict[str, Any]:
    return await services.list_conversations(
        user_id=call.user_id,
        archived=call.args.archived,
        before=call.args.before or "",
        limit=call.args.limit,
    )


async def _history(call: Call) -> bytes:
    found, more = await log.history(
        call.conversation_id, call.user_id, before_seq=call.args.before_seq or 0, limit=call.args.limit
    )
    return outgoing.encode(
        {
            "type": "history",
            "id": call.id,
            "conversation_id": call.conversation_id,
            "messages": found,
            "more": more,
        }
    )


async def _get_history(call: Call) -> dict[str, Any]:
    raise AssertionError("answered by a history frame")


async def _clear_history(call: Call) -> dict[str, Any]:
    await services.clear_history(user_id=call.user_id, conversation_id=call.conversation_id, once=call.id)
    return {}


async def _set_flag(call: Call) -> dict[str, Any]:
    await services.set_flag(user_id=call.user_id, conversation_id=call.conversation_id, command=call.command)
    return {}


async def _delete(call: Call) -> dict[str, Any]:
    await services.delete_conversation(
        user_id=call.user_id, conversation_id=call.conversation_id, device_id=call.device_id, once=call.id
    )
    return {}


async def _restore(call: Call) -> dict[str, Any]:
    await services.restore_conversation(user_id=call.user_id, conversation_id=call.conversation_id, once=call.id)
    return {}


async def _typing(call: Call) -> dict[str, Any]:
    members = await log.check_member(call.conversation_id, call.user_id)
    about = {
        "conversation_id": call.conversation_id,
        "user_id": call.user_id,
        "device_id": call.device_id,
    }
    frame = outgoing.encode({"type": "presence", "typing": about})
    tell_users(members, {"type": "hint", "c": call.conversation_id, "f": frame, "d": call.device_id})
    return {}


async def _switch_topic(call: Call) -> dict[str, Any]:
    await services.switch_topic(
        user_id=call.user_id, conversation_id=call.conversation_id, topic=call.args.topic, once=call.id
    )
    return {}


async def _rename(call: Call) -> dict[str, Any]:
    await services.rename_conversation(
        user_id=call.user_id, conversation_id=call.conversation_id, title=call.args.title, once=call.id
    )
    return {}


async def _get_assistant(call: Call) -> dict[str, Any]:
    return _wishes(call, await services.set_assistant(user_id=call.user_id, conversation_id=call.conversation_id))


async def _set_assistant(call: Call) -> dict[str, Any]:
    model = call.args.model
    if model and model not in call.node.assistant.models.names():
        offered = ", ".join(call.node.assistant.models.names())
        raise InvalidMessage(f"This server does not offer that model; it has {offered}.")
    held = await services.set_assistant(
        user_id=call.user_id,
        conversation_id=call.conversation_id,
        model=model,
        instructions=call.args.instructions,
        own_instructions=call.args.own_instructions,
    )
    return _wishes(call, held)


def _wishes(call: Call, held: services.Wishes) -> dict[str, Any]:
    models = call.node.assistant.models.names()
    # A choice that is no longer offered is the default again.
    return held._asdict() | {"model": held.model if held.model in models else models[0], "models": models}


async def _mark_read(call: Call) -> dict[str, Any]:
    await services.mark_read(user_id=call.user_id, conversation_id=call.conversation_id, seq=call.args.seq)
    return {}


async def _set_draft(call: Call) -> dict[str, Any]:
    await services.set_draft(
        user_id=call.user_id,
        conversation_id=call.conversation_id,
        content=call.args.content,
        device_id=call.device_id,
    )
    return {}


async def _cancel(call: Call) -> dict[str, Any]:
    cancelling = await control.cancel_turn(
        conversation_id=call.conversation_id,
        user_id=call.user_id,
        device_id=call.device_id,
        turn_id=call.args.turn_id or "",
        once=call.id,
    )
    if not cancelling.node:
        await call.node.runner.forget_steps(call.conversation_id, cancelling.turn_id)
        call.node.runner.start_soon(call.conversation_id)  # what stood behind it may go on
    return {"turn_id": cancelling.turn_id}


async def _answer(call: Call) -> dict[str, Any]:
    answering = await control.answer_turn(
        conversation_id=call.conversation_id,
        user_id=call.user_id,
        device_id=call.device_id,
        turn_id=call.args.turn_id,
        interrupt_id=call.args.interrupt_id,
        value=call.args.value,
        once=call.id,
    )
    if answering.is_due:
        call.node.runner.start_soon(call.conversation_id, call.args.turn_id, answering.attempts)
    return {}


async def _search(call: Call) -> dict[str, Any]:
    return await search.search_messages(
        user_id=call.user_id,
        query=call.args.query,
        conversation_id=call.conversation_id,
        before=call.args.before or "",
        limit=call.args.limit,
    )


async def _regenerate(call: Call) -> dict[str, Any]:
    turn_id = await versions.regenerate_answer(
        user_id=call.user_id,
        device_id=call.device_id,
        conversation_id=call.conversation_id,
        message_id=call.args.message_id,
        once=call.id,
    )
    call.node.runner.start_soon(call.conversation_id, turn_id, 0)
    return {"turn_id": turn_id}


async def _edit(call: Call) -> dict[str, Any]:
    turn_id = await versions.edit_message(
        user_id=call.user_id,
        device_id=call.device_id,
        conversation_id=call.conversation_id,
        message_id=call.args.message_id,
        content=call.args.content,
        once=call.id,
    )
    call.node.runner.start_soon(call.conversation_id, turn_id, 0)
    return {"turn_id": turn_id}


async def _fork(call: Call) -> dict[str, Any]:
    # As for a new conversation: a repeat after a crash goes on with the same one.
    new_id = await services.reserve_id(keys.command(call.user_id, f"{call.id}.new"), ttl_seconds=KEPT_SECONDS)
    copy = await versions.copy_conversation(
        user_id=call.user_id, conversation_id=call.conversation_id, seq=call.args.seq, new_id=new_id
    )
    if copy.source is not None:
        await call.node.assistant.fork(copy.source, new_id, copy.seq)
    await versions.open_fork(user_id=call.user_id, copy=copy)
    return {"conversation_id": new_id}


async def _export(call: Call) -> dict[str, Any]:
    path = reverse("export", args=[call.conversation_id])
    return {"url": f"{path}?format={call.args.format}"}


async def _share(call: Call) -> dict[str, Any]:
    # As with a new conversation: a repeat after a crash makes the same link.
    reserved = await services.reserve_id(keys.command(call.user_id, f"{call.id}.new"), ttl_seconds=KEPT_SECONDS)
    await sharing.create_share(user_id=call.user_id, conversation_id=call.conversation_id, share_id=reserved)
    return {"share_id": reserved}


async def _list_shares(call: Call) -> dict[str, Any]:
    return {"items": await sharing.list_shares(user_id=call.user_id, conversation_id=call.conversation_id)}


async def _unshare(call: Call) -> dict[str, Any]:
    await sharing.revoke_share(user_id=call.user_id, conversation_id=call.conversation_id, share_id=call.args.share_id)
    return {}


async def _rate(call: Call) -> dict[str, Any]:
    message_id = await ratings.rate_message(
        user_id=call.user_id,
        conversation_id=call.conversation_id,
        seq=call.args.seq,
        rating=call.args.rating,
        comment=call.args.comment,
    )
    return {"message_id": message_id}


async def _list_ratings(call: Call) -> dict[str, Any]:
    return {"items": await ratings.list_ratings(user_id=call.user_id, conversation_id=call.conversation_id)}


async def _list_devices(call: Call) -> dict[str, Any]:
    here = {device["device_id"]: device["node"] for device in await call.node.registry.devices(call.user_id)}
    user = await User.objects.aget(pk=call.user_id)
    known = await in_database(devices.list_devices, user)
    items = [
        {
            "device_id": device.device_id,
            "name": device.name,
            "created_at": time_text(device.created_at),
            "last_seen": time_text(device.last_seen_at) if device.last_seen_at else None,
            "connected": device.device_id in here,
            "node": here.get(device.device_id),
            "current": device.device_id == call.device_id,
        }
        for device in known
    ]
    return {"items": items}


async def _revoke_device(call: Call) -> dict[str, Any]:
    user = await User.objects.filter(pk=call.user_id).afirst()
    if user is None:
        raise Forbidden("This account has ended.")
    with acting(call.user_id):
        await in_database(lambda: devices.revoke_device(user=user, device_id=call.args.device_id))
    await feed.push(call.user_id, "device.revoked", {"device_id": call.args.device_id})
    return {}


async def _invite(call: Call) -> dict[str, Any]:
    await memberships.invite_member(
        user_id=call.user_id, conversation_id=call.conversation_id, username=call.args.username, once=call.id
    )
    return {}


async def _remove_member(call: Call) -> dict[str, Any]:
    await memberships.remove_member(
        user_id=call.user_id,
        conversation_id=call.conversation_id,
        username=call.args.username,
        device_id=call.device_id,
        once=call.id,
    )
    return {}


async def _leave(call: Call) -> dict[str, Any]:
    await memberships.leave_conversation(
        user_id=call.user_id, conversation_id=call.conversation_id, device_id=call.device_id, once=call.id
    )
    return {}


# A deleted conversation is nobody's any more but theirs: who restores it, and who deletes it once more. And whoever
# left is no member, but may ask once more whether it was done.
LOOK_FOR_THEMSELVES = {"delete", "restore", "leave"}
READ_ONLY = {
    "export",
    "search",
    "list_conversations",
    "get_history",
    "list_devices",
    "list_shares",
    "list_ratings",
    "get_assistant",
    "typing",
}
HANDLERS: dict[str, Handler] = {
    "new_conversation": _new_conversation,
    "list_conversations": _list_conversations,
    "get_history": _get_history,
    "clear_history": _clear_history,
    "archive": _set_flag,
    "unarchive": _set_flag,
    "pin": _set_flag,
    "unpin": _set_flag,
    "delete": _delete,
    "restore": _restore,
    "typing": _typing,
    "switch_topic": _switch_topic,
    "rename": _rename,
    "get_assistant": _get_assistant,
    "set_assistant": _set_assistant,
    "mark_read": _mark_read,
    "set_draft": _set_draft,
    "cancel": _cancel,
    "answer": _answer,
    "invite": _invite,
    "remove_member": _remove_member,
    "leave": _leave,
    "search": _search,
    "regenerate": _regenerate,
    "edit": _edit,
    "fork": _fork,
    "export": _export,
    "share": _share,
    "list_shares": _list_shares,
    "unshare": _unshare,
    "rate": _rate,
    "list_ratings": _list_ratings,
    "list_devices": _list_devices,
    "revoke_device": _revoke_device,
}
