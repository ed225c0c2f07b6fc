"""Pydantic's errors in words for people: the field and what it should be, never what was sent."""

from pydantic import ValidationError

from conversations.errors import InvalidMessage, Refused, TooLarge

# By pydantic's own names of errors; `{…}` comes from the rule that was broken, not from the input.
SENTENCES = {
    "missing": "is missing",
    "string_type": "must be text",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "has not the form of such an id",
    "nul": "must not contain a NUL character",
    "cursor": "is a cursor and needs epoch, seq and chain, or seq 0 alone",
}


def explained(error: ValidationError, prefix: str = "") -> Refused:
    """Return what to raise for the first thing that is wrong; a text over its limit is TooLarge."""
    first = error.errors(include_url=False, include_input=False)[0]
    sentence = SENTENCES.get(first["type"], "is not valid").format(**first.get("ctx", {}))
    # Only the outermost name: what lies inside may be a key that the client chose.
    field = f"{prefix}{first['loc'][0]}" if first["loc"] else "frame"
    kind = TooLarge if first["type"] == "string_too_long" else InvalidMessage
    inside = "Something in the" if len(first["loc"]) > 1 else "The"
    return kind(f"{inside} field {field} {sentence}.")
