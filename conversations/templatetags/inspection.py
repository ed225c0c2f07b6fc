"""Words for the admin's own templates."""

from typing import Any

from django import template

from ..inspection import content

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
