"""Makes docs/protocol.md and docs/protocol.schema.json from the frame models: they cannot disagree."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from pydantic import BaseModel

from .client_frames import CLIENT_FRAMES, Cursor
from .codes import CLOSES, ERROR_CODES, LIMITS
from .command_frames import COMMANDS, ConversationItem, DeviceItem, SearchHit
from .entry_frames import ENTRY_DATA, FEED_DATA, Interrupt, Membership, Message
from .fields import KIND_NAMES
from .protocol_schema import REF, render_schema
from .server_frames import SERVER_FRAMES, DevicePresent, Person, TurnInFlight, Typing

TEMPLATE = Path(__file__).parent / "protocol_template.md"
MARKDOWN_NAME = "protocol.md"
SCHEMA_NAME = "protocol.schema.json"
# Objects inside of frames; the two that are cursors have a word of their own.
OBJECTS = (
    Message,
    TurnInFlight,
    Interrupt,
    Membership,
    Person,
    DevicePresent,
    Typing,
    ConversationItem,
    DeviceItem,
    SearchHit,
)
NAMES = {"Cursor": "cursor", "Head": "cursor"}


def render_documents() -> dict[str, str]:
    """Return file name -> text of both documents."""
    return {MARKDOWN_NAME: render_markdown(), SCHEMA_NAME: render_schema()}


def find_stale(directory: Path) -> list[str]:
    """Return the names of documents in ``directory`` that are missing or not what the models say."""
    return [
        name
        for name, text in render_documents().items()
        if not (directory / name).exists() or (directory / name).read_text(encoding="utf-8") != text
    ]


def write_documents(directory: Path) -> None:
    for name, text in render_documents().items():
        (directory / name).write_text(text, encoding="utf-8")


def render_markdown() -> str:
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        limits=_table(("name", "value"), ((f"`{name}`", f"{value:,}") for name, value in LIMITS.items())),
        cursor=_fields(Cursor),
        patterns=_table(("word", "pattern"), ((word, f"`{rule}`") for rule, word in KIND_NAMES.items())),
        client_frames=_frames(CLIENT_FRAMES),
        commands=_commands(),
        server_frames=_frames(SERVER_FRAMES),
        objects=_objects(OBJECTS),
        entries=_data(ENTRY_DATA),
        feed=_data(FEED_DATA),
        error_codes=_error_codes(),
        closes=_closes(),
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = tuple(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _frames(models: Mapping[str, type[BaseModel]]) -> str:
    """One section a frame: what it is for, and its fields."""
    return "\n\n".join(
        f"### `{name}`\n\n{' '.join((model.__doc__ or '').split())}\n\n{_fields(model)}"
        for name, model in models.items()
    )


def _fields(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(ref_template=REF + "{model}")
    required = schema.get("required", [])
    rows = (
        (f"`{name}`" + ("" if name in required else "?"), _type(field), _meaning(field))
        for name, field in schema["properties"].items()
    )
    return _table(("field", "type", "meaning"), rows)


def _type(field: dict[str, Any]) -> str:
    """Return a JSON Schema's type in a few words; ``null`` is left out, since it counts as absent."""
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "$ref" in field:
        return NAMES.get(name := str(field["$ref"]).removeprefix(REF), f"`{name}`")
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"] if option.get("type") != "null")
    if field.get("type") == "array":
        return f"array of {_type(field['items'])}"
    return _object_type(field) or KIND_NAMES.get(field.get("pattern", ""), _plain_type(field))


def _object_type(field: dict[str, Any]) -> str:
    """Return the type of an object with free keys, empty if it is none; only UUIDs are keys by a pattern."""
    if "patternProperties" in field:
        return f"object: UUID to {_type(next(iter(field['patternProperties'].values())))}"
    inner = field.get("additionalProperties")
    return f"object: name to {_type(inner)}" if isinstance(inner, dict) else ""


def _plain_type(field: dict[str, Any]) -> str:
    kind = str(field.get("type", "any"))
    return {"string": "text"}.get(kind, kind)


def _meaning(field: dict[str, Any]) -> str:
    """Return what the field says of itself, or else its kind does; and its default."""
    options = field.get("anyOf", [])
    descriptions = (option["description"] for option in [field, *options] if "description" in option)
    said = str(next(descriptions, ""))
    default = field.get("default")
    return said if default is None else f"{said}{'; ' if said else ''}default `{json.dumps(default)}`"


def _inline(model: type[BaseModel]) -> str:
    """The fields in one cell, each with its type, and with its meaning in brackets where it has one."""
    schema = model.model_json_schema(ref_template=REF + "{model}")
    required = schema.get("required", [])
    return ", ".join(
        f"`{name}`{'' if name in required else '?'} {_type(field)}"
        + (f" ({meaning})" if (meaning := _meaning(field)) else "")
        for name, field in schema.get("properties", {}).items()
    )


def _commands() -> str:
    rows = (
        (
            f"`{name}`" + (" *" if spec.about_conversation else ""),
            _inline(spec.args) or "–",
            "frame `history`" if spec.result is None else _inline(spec.result) or "–",
        )
        for name, spec in COMMANDS.items()
    )
    return _table(("command", "args", "`data` of the result"), rows)


def _data(models: Mapping[str, type[BaseModel]]) -> str:
    return _table(("kind", "data"), ((f"`{kind}`", _inline(model) or "–") for kind, model in models.items()))


def _objects(models: Iterable[type[BaseModel]]) -> str:
    rows = ((f"`{model.__name__}`", _inline(model)) for model in models)
    return _table(("object", "fields"), rows)


def _error_codes() -> str:
    rows = ((f"`{row.code}`", row.when, "yes" if row.retryable else "no") for row in ERROR_CODES.values())
    return _table(("code", "when", "retryable"), rows)


def _closes() -> str:
    rows = ((str(int(code)), meaning, client) for code, (meaning, client) in CLOSES.items())
    return _table(("code", "meaning", "the client"), rows)
