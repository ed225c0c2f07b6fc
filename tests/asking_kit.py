"""Commands as a socket's frames carry them, without the socket."""

from typing import Any
from uuid import uuid4

import orjson

from conversations import keys
from realtime import commands
from realtime.auth import Identity
from realtime.codes import MAX_FRAME_BYTES
from realtime.connection import Connection
from realtime.frames import Command, validate_server_frame
from realtime.node import Node
from tests.archive_kit import Talk, redis


class Asking:
    """A user's device on a node. Every answer must be what the documents say, and fit a frame."""

    def __init__(self, talk: Talk, node: str = "n1") -> None:
        self.talk = talk
        self.connection = Connection(Node(node), Identity(talk.user_id, "ana"), "phone", lambda frame: None)
        self.connection.conversation_id = talk.conversation_id

    async def ask(self, name: str, command_id: str = "", **args: Any) -> dict[str, Any]:
        """Return the data of the result; of a `history`, the frame."""
        command = Command(type="command", id=command_id or uuid4().hex, command=name, args=args)
        data = await commands.run(self.connection, command)
        assert len(data) <= MAX_FRAME_BYTES
        frame: dict[str, Any] = orjson.loads(data)
        validate_server_frame(frame)
        return frame if frame["type"] == "history" else dict(frame["data"])

    async def ask_twice(self, name: str, between: Any = None, *, is_kept: bool, **args: Any) -> list[dict[str, Any]]:
        """Ask, let something happen, and send the same again, to another node."""
        command_id = uuid4().hex
        first = await self.ask(name, command_id, **args)
        if not is_kept:
            assert await redis().delete(keys.command(self.talk.user_id, command_id))
        if between is not None:
            await between()
        return [first, await Asking(self.talk, "n2").ask(name, command_id, **args)]
