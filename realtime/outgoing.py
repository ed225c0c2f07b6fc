"""The frames that the server makes by hand, as bytes of JSON. Their models stand in server_frames.py."""

from typing import Any

import orjson

from conversations.errors import TetherError
from conversations.events import now_text


def encode(frame: dict[str, Any]) -> bytes:
    return orjson.dumps(frame)


def error(
    problem: TetherError,
    *,
    client_id: str | None = None,
    id: str | None = None,
    conversation_id: str | None = None,
) -> bytes:
    frame: dict[str, Any] = {
        "type": "error",
        "code": problem.code,
        "message": problem.message,
        "retryable": problem.retryable,
    }
    optional = {
        "retry_after": problem.retry_after,
        "data": problem.data,
        "conversation_id": conversation_id,
        "client_id": client_id,
        "id": id,
    }
    return encode(frame | {name: value for name, value in optional.items() if value is not None})


def bye(code: int, reason: str, retry_after: float) -> bytes:
    return encode({"type": "bye", "code": code, "reason": reason, "retry_after": retry_after})


def ack(client_id: str, conversation_id: str, message_id: str, seq: int, duplicate: bool) -> bytes:
    # Ids need no escaping; this is the hottest frame we make.
    return b'{"type":"ack","client_id":"%s","conversation_id":"%s","message_id":"%s","seq":%d,"duplicate":%s}' % (
        client_id.encode(),
        conversation_id.encode(),
        message_id.encode(),
        seq,
        b"true" if duplicate else b"false",
    )


def result(command_id: str, command: str, data: dict[str, Any]) -> bytes:
    return encode({"type": "result", "id": command_id, "command": command, "data": data})


def heartbeat(heads: dict[str, Any], feed: dict[str, Any] | None) -> bytes:
    return encode({"type": "heartbeat", "server_time": now_text(), "heads": heads, "feed": feed})
