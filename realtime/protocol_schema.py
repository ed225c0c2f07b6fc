"""The JSON Schema of all frames, draft 2020-12. It allows unknown fields: later versions add some."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .client_frames import CLIENT_FRAMES
from .command_frames import COMMANDS
from .entry_frames import ENTRY_DATA, FEED_DATA
from .server_frames import SERVER_FRAMES

REF = "#/$defs/"
Models = Mapping[str, type[BaseModel]]

ARGS: Models = {name: spec.args for name, spec in COMMANDS.items()}
RESULTS: Models = {name: spec.result for name, spec in COMMANDS.items() if spec.result}


def render_schema() -> str:
    """Return the schema as text, the same for the same models."""
    tables = (CLIENT_FRAMES, SERVER_FRAMES, ENTRY_DATA, FEED_DATA, ARGS, RESULTS)
    definitions = _definitions([model for table in tables for model in table.values()])
    for frame, choice, inner, table in (
        ("Event", "event", "data", ENTRY_DATA),
        ("Feed", "event", "data", FEED_DATA),
        ("Command", "command", "args", ARGS),
        ("Result", "command", "data", RESULTS),
    ):
        definitions[frame]["allOf"] = _choices(choice, inner, table)
    definitions |= {"from_client": _message(CLIENT_FRAMES), "from_server": _message(SERVER_FRAMES)}
    return json.dumps(_document(definitions), indent=2, ensure_ascii=False) + "\n"


def _definitions(models: list[type[BaseModel]]) -> dict[str, Any]:
    """Return class name -> schema. Our class names are unique, so pydantic keeps them as they are."""
    _, schema = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], ref_template=REF + "{model}"
    )
    definitions: dict[str, Any] = _adjusted(schema["$defs"])
    return definitions


def _choices(choice: str, inner: str, table: Models) -> list[dict[str, Any]]:
    """What `inner` holds, by the value of `choice`."""
    return [
        {
            "if": {"properties": {choice: {"const": kind}}},
            "then": {"properties": {inner: _inner(inner, model)}},
        }
        for kind, model in table.items()
    ]


def _inner(inner: str, model: type[BaseModel]) -> dict[str, Any]:
    one = {"$ref": REF + model.__name__}
    return {"anyOf": [one, {"type": "null"}]} if inner == "args" else one


def _message(frames: Models) -> dict[str, Any]:
    """What one WebSocket message holds: a frame, or a batch of them."""
    one = [{"$ref": REF + model.__name__} for model in frames.values()]
    return {"anyOf": [*one, {"type": "array", "items": {"anyOf": one}, "minItems": 1}]}


def _document(definitions: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tether wire protocol, version 1",
        "anyOf": [{"$ref": REF + "from_client"}, {"$ref": REF + "from_server"}],
        "$defs": dict(sorted(definitions.items())),
    }


def _adjusted(schema: Any) -> Any:
    """The same schema without the refusal of unknown fields, which is for our own tests.

    Where an object's keys are ids, other keys are refused; pydantic's patterns alone let them pass.
    """
    if isinstance(schema, list):
        return [_adjusted(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        name: _adjusted(inner) for name, inner in schema.items() if (name, inner) != ("additionalProperties", False)
    }
    return {**kept, "additionalProperties": False} if "patternProperties" in schema else kept
