"""The kinds of value that frames are made of. Strict: ``"1"`` is no integer and neither is ``true``."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from .codes import MAX_CONTENT_CHARACTERS, MAX_INTEGER, MAX_NAME_CHARACTERS

NUL = "\0"
MAX_DEVICE_NAME_CHARACTERS = 100


def check_no_nul(text: str) -> str:
    if NUL in text:
        # JSON can carry it, PostgreSQL's text cannot.
        raise PydanticCustomError("nul", "must not contain a NUL character")
    return text


def _check_no_nul_inside(value: Any) -> Any:
    """The same for any JSON value; frames are checked for depth before, so this ends."""
    if isinstance(value, str):
        return check_no_nul(value)
    if isinstance(value, dict):
        for key, inner in value.items():
            check_no_nul(key)
            _check_no_nul_inside(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_no_nul_inside(inner)
    return value


def _shorten(name: str) -> str:
    """A label made by a browser may be long; it is shown, never compared, so it is cut, not refused."""
    return name[:MAX_DEVICE_NAME_CHARACTERS]


def null_is(default: Any, kind: Any) -> BeforeValidator:
    """Read null as this default: null counts as absent. ``kind`` is the type of the field, for the schema."""
    return BeforeValidator(lambda value: default if value is None else value, json_schema_input_type=kind | None)


UUID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
ID_PATTERN = "^[A-Za-z0-9_-]{1,64}$"
TIME_PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
CHAIN_PATTERN = "^[0-9a-f]{16}$"
# What the docs call these kinds.
KIND_NAMES = {UUID_PATTERN: "UUID", ID_PATTERN: "id", TIME_PATTERN: "time", CHAIN_PATTERN: "chain"}

Uuid = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
ClientMadeId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Time = Annotated[str, StringConstraints(pattern=TIME_PATTERN)]
Chain = Annotated[str, StringConstraints(pattern=CHAIN_PATTERN)]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Content = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_CONTENT_CHARACTERS),
    AfterValidator(check_no_nul),
    Field(description="1-32,000 characters"),
]
DraftContent = Annotated[
    str,
    StringConstraints(max_length=MAX_CONTENT_CHARACTERS),
    AfterValidator(check_no_nul),
    Field(description="0-32,000 characters; empty removes the draft"),
]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME_CHARACTERS),
    AfterValidator(check_no_nul),
    Field(description="1-200 characters"),
]
OptionalName = Annotated[
    str,
    StringConstraints(max_length=MAX_NAME_CHARACTERS),
    AfterValidator(check_no_nul),
    Field(description="0-200 characters"),
]
DeviceName = Annotated[
    str,
    AfterValidator(check_no_nul),
    AfterValidator(_shorten),
    Field(description="a label for people; what is beyond 100 characters is cut off"),
]
JsonValue = Annotated[Any, AfterValidator(_check_no_nul_inside), Field(description="any JSON")]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=1_000), Field(description="a bearer token")]


class Wire(BaseModel):
    """A JSON object that comes from a client: strict types, unknown fields ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Told(BaseModel):
    """A JSON object that the server sends: exact, so that a field outside of the docs fails a test."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
