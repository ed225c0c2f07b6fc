"""Checkpoints as JSON that can name no class: plain values, messages and LangGraph's own few, by a closed table.

The package's serializer revives ``{"lc": 2, "type": "constructor", ...}`` wherever it meets it, also inside
what a user or a model has written. Here a value is revived only from our own tag ``"$"``, and a dict that
has such a key of its own is stored so that it comes back as the plain dict it was.
"""

from collections.abc import Callable
from typing import Any

import orjson
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.redis.jsonplus_redis import JsonPlusRedisSerializer
from langgraph.types import Interrupt, Send

MARK = "$"
MESSAGES: dict[str, type[BaseMessage]] = {
    "human": HumanMessage,
    "ai": AIMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
    "remove": RemoveMessage,
}


class SafeSerializer(JsonPlusRedisSerializer):
    """Raises TypeError for what is neither plain nor in the table, ValueError for an unknown tag."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return "json", orjson.dumps(pack(obj))

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        kind, body = data
        if kind != "json":
            raise ValueError(f"a checkpoint of kind {kind!r} is not read")
        return unpack(orjson.loads(body))

    # What the parent would revive by name, were any of its own paths ever taken.
    def _constructor_class(self, obj: dict[str, Any]) -> type[Any]:
        raise ValueError("a checkpoint names no class")

    def _reviver(self, value: dict[str, Any]) -> Any:
        return value

    def _revive_if_needed(self, obj: Any) -> Any:
        return obj


def pack(value: Any) -> Any:
    """Return ``value`` as JSON types; what JSON lacks becomes ``{"$": tag, "v": ...}``."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list):
        return [pack(item) for item in value]
    if isinstance(value, dict):
        return _pack_dict(value)
    if isinstance(value, BaseMessage):
        return _tagged("message", _pack_message(value))
    if isinstance(value, Interrupt):
        return _tagged("interrupt", [pack(value.value), value.id])
    if isinstance(value, Send):
        return _tagged("send", [value.node, pack(value.arg)])
    if isinstance(value, tuple | set | frozenset):
        return _tagged("tuple" if isinstance(value, tuple) else "set", [pack(item) for item in value])
    if isinstance(value, BaseException):
        # Its text may hold a key or what was said; that it failed is enough for a checkpoint.
        return _tagged("error", type(value).__name__)
    raise TypeError(f"{type(value).__name__} cannot be kept in a checkpoint: use plain values or messages")


def unpack(value: Any) -> Any:
    """Return what ``pack`` was given."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if MARK not in value:
        return {key: unpack(item) for key, item in value.items()}
    revive = REVIVE.get(value[MARK])
    if revive is None:
        raise ValueError(f"a checkpoint has the unknown tag {value[MARK]!r}")
    return revive(value["v"])


def _tagged(tag: str, value: Any) -> dict[str, Any]:
    return {MARK: tag, "v": value}


def _pack_dict(value: dict[Any, Any]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in value):
        raise TypeError("a dict in a checkpoint has a key that is not a string")
    packed = {key: pack(item) for key, item in value.items()}
    return _tagged("dict", list(packed.items())) if MARK in packed else packed


def _pack_message(message: BaseMessage) -> dict[str, Any]:
    """Return the fields that are set; a streamed chunk counts as the message it became."""
    kind = message.type.removesuffix("MessageChunk").lower()
    if kind not in MESSAGES:
        raise TypeError(f"a {message.type} message cannot be kept in a checkpoint")
    fields = message.model_dump(include=set(MESSAGES[kind].model_fields))
    kept = {name: pack(field) for name, field in fields.items() if field or name == "content"}
    return {**kept, "type": kind}


def _revive_message(fields: dict[str, Any]) -> BaseMessage:
    kind = MESSAGES.get(fields["type"])
    if kind is None:
        raise ValueError(f"a checkpoint has a message of the unknown type {fields['type']!r}")
    return kind.model_validate({name: unpack(field) for name, field in fields.items()})


REVIVE: dict[str, Callable[[Any], Any]] = {
    "message": _revive_message,
    "interrupt": lambda parts: Interrupt(value=unpack(parts[0]), id=parts[1]),
    "send": lambda parts: Send(parts[0], unpack(parts[1])),
    "tuple": lambda items: tuple(unpack(item) for item in items),
    "set": lambda items: {unpack(item) for item in items},
    "dict": lambda pairs: {key: unpack(item) for key, item in pairs},
    "error": lambda name: RuntimeError(name),
}
