"""Frames in and out: text to typed frames, and the check that what the server sends is what its docs say.

Pure: no socket, no clock. Refusals name the field at fault and never repeat what was sent.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from conversations.errors import InvalidMessage, Refused, TooLarge, UnknownCommand, UnknownMessageType

from .client_frames import (
    CLIENT_FRAMES,
    Auth,
    ClientFrame,
    Close,
    Command,
    Cursor,
    Heartbeat,
    Open,
    Received,
    Text,
)
from .codes import MAX_BATCH_FRAMES, MAX_FRAME_BYTES, MAX_FRAME_DEPTH
from .command_frames import COMMANDS, CommandSpec
from .entry_frames import ENTRY_DATA, FEED_DATA
from .explain import explained
from .fields import ID_PATTERN
from .server_frames import SERVER_FRAMES

__all__ = [
    "COMMANDS",
    "Auth",
    "Bad",
    "ClientFrame",
    "Close",
    "Command",
    "CommandSpec",
    "Cursor",
    "Heartbeat",
    "Open",
    "Received",
    "Text",
    "parse",
    "parse_args",
    "validate_server_frame",
]

_is_id = re.compile(ID_PATTERN.replace("$", r"\Z")).match
_VALIDATORS: dict[str, Callable[[Any], ClientFrame]] = {
    name: model.__pydantic_validator__.validate_python for name, model in CLIENT_FRAMES.items()
}


@dataclass(frozen=True, slots=True)
class Bad:
    """A frame, or one of a batch, that is refused; with the ids that its `error` answers, if it had any."""

    error: Refused
    client_id: str | None = None
    id: str | None = None


def parse(text: str) -> list[ClientFrame | Bad]:
    """Return the frames of one WebSocket message, in order; never raises, never empty.

    What cannot be read at all is one Bad; a bad element of a batch is a Bad in its place.
    """
    try:
        _check_size(text)
        value = orjson.loads(text)
        # A shallow frame, which is nearly every one, has few brackets; only others are walked.
        deep = text.count("{") + text.count("[") > MAX_FRAME_DEPTH
        if isinstance(value, dict):
            return [_read(value, MAX_FRAME_DEPTH if deep else 0)]
        elements = _checked_batch(value)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return [Bad(InvalidMessage("The frame is not valid JSON in UTF-8."))]
    except Refused as error:
        return [Bad(error)]
    return [_read(element, MAX_FRAME_DEPTH - 1 if deep else 0) for element in elements]


def _check_size(text: str) -> None:
    if len(text) * 4 > MAX_FRAME_BYTES and len(text.encode()) > MAX_FRAME_BYTES:
        raise TooLarge(f"The frame is larger than {MAX_FRAME_BYTES} bytes.")


def _checked_batch(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidMessage("The frame must be an object, or an array of objects.")
    if not value:
        raise InvalidMessage("The batch is empty.")
    if len(value) > MAX_BATCH_FRAMES:
        raise TooLarge(f"The batch holds more than {MAX_BATCH_FRAMES} frames.")
    return value


def _read(value: Any, depth: int) -> ClientFrame | Bad:
    """Return the frame that this object is; ``depth`` is how deep it may be nested, 0: known to be fine."""
    if depth and _is_deeper(value, depth):
        return _bad(value, InvalidMessage(f"The frame is nested more than {MAX_FRAME_DEPTH} deep."))
    try:
        return _VALIDATORS[value["type"]](value)
    except (KeyError, TypeError):
        return _bad(value, _unknown_type(value))
    except ValidationError as error:
        return _bad(value, explained(error))


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether a JSON value is nested more than ``depth`` levels; a bare text or number is none."""
    if isinstance(value, dict):
        return depth == 0 or any(_is_deeper(inner, depth - 1) for inner in value.values())
    if isinstance(value, list):
        return depth == 0 or any(_is_deeper(inner, depth - 1) for inner in value)
    return False


def _unknown_type(value: Any) -> Refused:
    if not isinstance(value, dict):
        return InvalidMessage("Each frame must be an object.")
    if not isinstance(value.get("type"), str):
        return InvalidMessage("The field type is missing, or is not text.")
    return UnknownMessageType("There is no frame of this type.")


def _bad(value: Any, error: Refused) -> Bad:
    """Answer by the id that this type of frame is answered by; for an unknown type, by any it has."""
    kind = value.get("type") if isinstance(value, dict) else None
    return Bad(
        error,
        client_id=_id_in(value, "client_id") if kind != "command" else None,
        id=_id_in(value, "id") if kind != "text" else None,
    )


def _id_in(value: Any, name: str) -> str | None:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) and _is_id(found) else None


def parse_args(command: Command) -> BaseModel:
    """Return the arguments as the model that COMMANDS names.

    Raises: UnknownCommand, InvalidMessage, TooLarge. Call it after membership is known.
    """
    spec = COMMANDS.get(command.command)
    if spec is None:
        raise UnknownCommand("There is no command of this name.")
    try:
        return spec.args.model_validate(command.args or {})
    except ValidationError as error:
        raise explained(error, "args.") from None


def validate_server_frame(frame: dict[str, Any]) -> None:
    """Check one frame as the server sent it. Raises ValidationError, KeyError for an unknown type or kind."""
    model = SERVER_FRAMES["notice" if frame.get("event") == "notice" else frame["type"]]
    model.model_validate(frame)
    if frame["type"] == "event":
        ENTRY_DATA[frame["event"]].model_validate(frame["data"])
    elif frame["type"] == "feed":
        FEED_DATA[frame["event"]].model_validate(frame["data"])
    elif frame["type"] == "result" and (result := COMMANDS[frame["command"]].result):
        result.model_validate(frame["data"])
