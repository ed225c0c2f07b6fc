"""An exported conversation as Markdown, to be read by people. What was said stands in quotes, untouched otherwise."""

from datetime import datetime, tzinfo
from typing import Any

from django.utils.translation import gettext as _


def conversation_head(facts: dict[str, Any]) -> str:
    title = " ".join(facts["title"].split()) or _("New conversation")
    lines = [f"## {_plain(title)}", ""]
    if facts["topic"]:
        lines += [_("Topic: {topic}").format(topic=_plain(facts["topic"])), ""]
    names = ", ".join(_plain(member["username"]) for member in facts["members"])
    lines += [_("With: {names}").format(names=names), "", ""]
    return "\n".join(lines)


def message_text(message: dict[str, Any], zone: tzinfo) -> str:
    """Return one message: who and when, marks, and the words as a quote, which no words can break out of."""
    at = datetime.fromisoformat(message["at"]).astimezone(zone)
    head = f"**{_plain(_who(message))}** · {at:%Y-%m-%d %H:%M}"
    marks = _marks(message)
    quoted = "\n".join(f"> {line}".rstrip() for line in message["content"].splitlines())
    return f"{head}{f' · *{marks}*' if marks else ''}\n\n{quoted or '>'}\n\n{_rating(message)}"


def _rating(message: dict[str, Any]) -> str:
    words = {"up": _("You found this good."), "down": _("You found this bad.")}
    said = words.get(message.get("rating", ""), "")
    comment = _plain(" ".join(message.get("comment", "").split()))
    return f"*{said}* {comment}".rstrip() + "\n\n" if said else ""


def conversation_end() -> str:
    return "---\n\n"


def _who(message: dict[str, Any]) -> str:
    if message["role"] == "user":
        return message.get("author_name") or _("A former member")
    return _("Assistant") if message["role"] == "assistant" else _("Notice")


def _marks(message: dict[str, Any]) -> str:
    marks = {
        "cancelled": _("stopped before it was complete"),
        "failed": _("broken off by an error"),
    }
    found = [marks[message["status"]]] if message.get("status") in marks else []
    if message.get("superseded_by"):
        found.append(_("replaced later"))
    return ", ".join(found)


def _plain(text: str) -> str:
    """Return the text so that Markdown takes none of it for a sign."""
    return "".join(f"\\{char}" if char in r"\`*_{}[]()#+-!|<>~" else char for char in text)
