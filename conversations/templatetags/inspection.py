"""Words for the admin's own templates."""

from itertools import pairwise
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ..inspection import content
from ..models import Member, Turn

register = template.Library()


@register.simple_tag(takes_context=True)
def content_state(context: dict[str, Any]) -> dict[str, Any]:
    """Return whether whoever looks may see content, and until when they do."""
    request = context.get("request")
    if request is None or not getattr(request.user, "is_staff", False):
        return {"may": False, "until": None}
    until = content.open_until(request)
    return {"may": content.may_open(request), "until": content.moment_of(until) if until else None}


@register.filter
def of(mapping: dict[Any, Any], key: Any) -> Any:
    """Return the value of a key, or the key itself."""
    return mapping.get(str(key), key)


@register.filter
def status_words(status: str) -> Any:
    """Return a turn's status as people read it."""
    return dict(Turn.Status.choices).get(status, status)


@register.filter
def role_words(role: str) -> Any:
    return dict(Member.Role.choices).get(role, role)


KINDS = ("number", "unseen")


@register.simple_block_tag
def listing(content: SafeString, *columns: str) -> SafeString:
    """A table of the rows inside, that scrolls by itself: `{% listing _("turn") "number" _("attempts") %}`.

    ``columns``: headings; "number" before one stands to the right, "unseen" is only read out.
    """
    headings = [_heading(*each) for each in pairwise(("", *columns)) if each[1] not in KINDS]
    return format_html(
        '<div class="results" tabindex="0"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        format_html_join("", "{}", ((each,) for each in headings)),
        content,
    )


def _heading(kind: str, words: str) -> SafeString:
    if kind == "unseen":
        return format_html('<th scope="col"><span class="visually-hidden">{}</span></th>', words)
    return format_html('<th scope="col" class="{}">{}</th>', kind if kind in KINDS else "", words)
