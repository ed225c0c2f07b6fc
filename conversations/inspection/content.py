"""What people have written is hidden from operators until they open it: with a right, for some minutes, on record."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from ..audit import journal
from ..audit.entry import Action

PERMISSION = "conversations.view_content"
OPEN_SECONDS = 15 * 60
KEY = "content_open_until"


def may_open(request: HttpRequest) -> bool:
    return bool(request.user.has_perm(PERMISSION))


def may_let_in(request: HttpRequest) -> bool:
    """Whether the operator may give rights, or what lets in as somebody else: who can do that sees what they see."""
    return may_open(request)


def open_until(request: HttpRequest) -> float:
    """Return the Unix time until which this login sees content, 0 where it does not."""
    until = float(request.session.get(KEY, 0)) if hasattr(request, "session") else 0.0
    return until if until > time.time() and may_open(request) else 0.0


def moment_of(unix_time: float) -> datetime:
    return datetime.fromtimestamp(unix_time, UTC)


def is_open(request: HttpRequest) -> bool:
    return open_until(request) > 0


def open_content(request: HttpRequest) -> None:
    """Show content to this login for 15 minutes. Raises PermissionDenied."""
    if not may_open(request):
        raise PermissionDenied
    journal.record(Action.CONTENT_OPENED, seconds=OPEN_SECONDS)
    request.session[KEY] = time.time() + OPEN_SECONDS


def close_content(request: HttpRequest) -> None:
    if request.session.pop(KEY, 0):
        journal.record(Action.CONTENT_CLOSED)


def look(request: HttpRequest, conversation_ids: Iterable[Any]) -> None:
    """Record that content of these conversations is about to be shown; if that fails, it must not be."""
    _record(request, (f"conversation:{each}" for each in sorted(map(str, conversation_ids))))


def look_at_person(request: HttpRequest, user_id: Any) -> None:
    """As `look`, for what a person has written about themselves."""
    _record(request, [journal.person(user_id)])


def _record(request: HttpRequest, subjects: Iterable[str]) -> None:
    actor, path = str(request.user.pk), request.path[:80]
    facts = {"page": path} if journal.PLAIN.fullmatch(path) else {}
    journal.record_many(journal.Draft(Action.CONTENT_SEEN, actor, subject, facts) for subject in subjects)
