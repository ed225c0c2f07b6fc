"""One command as its handler sees it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from conversations import keys, log, services

from .frames import Command

if TYPE_CHECKING:  # a connection carries commands out; a call only needs its type
    from .connection import Connection

KEPT_SECONDS = log.COMMAND_TTL_SECONDS


class Call:
    def __init__(self, connection: "Connection", command: Command, conversation_id: str) -> None:
        self.user_id = connection.user_id
        self.identity = connection.identity
        self.device_id = connection.device_id
        self.node = connection.node
        self.id = command.id
        self.command = command.command
        self.conversation_id = conversation_id
        self.args: Any = None

    async def reserve_id(self) -> str:
        """Return the id of what the command makes: the same for its repeat after a crash. Raises Unavailable."""
        return await services.reserve_id(keys.command(self.user_id, f"{self.id}.new"), ttl_seconds=KEPT_SECONDS)


Handler = Callable[[Call], Awaitable[dict[str, Any]]]
