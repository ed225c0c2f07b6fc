"""The commands: membership first, then the arguments, then the verb. A repeat within 24 h gets the first result."""

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from conversations import keys, log, store
from conversations.errors import InvalidMessage, UnknownCommand
from conversations.threads import mapped_errors

from . import conversation_commands, outgoing, people_commands, turn_commands
from .command_calls import KEPT_SECONDS, Call, Handler
from .command_frames import COMMANDS
from .frames import Command, parse_args

if TYPE_CHECKING:  # a connection carries commands out; commands only need its type
    from .connection import Connection

HANDLERS: dict[str, Handler] = conversation_commands.HANDLERS | turn_commands.HANDLERS | people_commands.HANDLERS
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
        return await conversation_commands.history(call)
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
