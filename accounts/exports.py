"""Files to take away, streamed: for a login cookie and for a bearer token alike."""

from collections.abc import AsyncIterator
from datetime import tzinfo
from typing import Any, get_args
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from conversations import log
from conversations.audit import journal
from conversations.audit.entry import Action
from conversations.errors import TetherError, Unauthenticated
from conversations.exporting import SUFFIX, Format, export_conversation, export_everything
from conversations.models import User
from conversations.threads import in_database
from conversations.tokens import find_token, note_use
from realtime import limits

from .preferences import zone_named

STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 404, "UNAVAILABLE": 503, "RATE_LIMITED": 429}


@require_GET
async def conversation(request: HttpRequest, conversation_id: UUID) -> HttpResponseBase:
    """One conversation. 404 for strangers, so that nobody learns which ids exist."""

    async def parts(user_id: str, file_format: Format, zone: tzinfo) -> AsyncIterator[bytes]:
        await log.check_member(str(conversation_id), user_id)
        return export_conversation(user_id, str(conversation_id), file_format, zone)

    return await _answer(request, parts, f"tether-{conversation_id}", conversation_id)


@require_GET
async def everything(request: HttpRequest) -> HttpResponseBase:
    """The profile and all conversations of whoever asks."""

    async def parts(user_id: str, file_format: Format, zone: tzinfo) -> AsyncIterator[bytes]:
        return export_everything(user_id, file_format, zone)

    return await _answer(request, parts, "tether")


async def _answer(request: HttpRequest, parts: Any, name: str, conversation_id: UUID | None = None) -> HttpResponseBase:
    file_format = request.GET.get("format", "json")
    if file_format not in get_args(Format):
        return HttpResponse("format is json or markdown\n", status=400, content_type="text/plain")
    try:
        user, with_what = await _who(request)
        user_id, zone = str(user.pk), zone_named(user.time_zone) or timezone.get_current_timezone()
        if wait_seconds := await limits.take(user_id, "commands"):
            return _refusal(429, "Too many at once; wait a moment.", retry_after=wait_seconds)
        content = await parts(user_id, file_format, zone)
        await in_database(_record, user_id, conversation_id, {"format": file_format, **with_what})
    except TetherError as error:
        return _refusal(STATUS.get(error.code, 500), error.message, retry_after=error.retry_after)
    suffix, content_type = SUFFIX[file_format]
    response = StreamingHttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = content_disposition_header(True, f"{name}.{suffix}")
    add_never_cache_headers(response)
    return response


def _record(user_id: str, conversation_id: UUID | None, facts: dict[str, str]) -> None:
    subject = f"conversation:{conversation_id}" if conversation_id else journal.person(user_id)
    journal.record(Action.EXPORTED, actor=user_id, subject=subject, **facts)


async def _who(request: HttpRequest) -> tuple[User, dict[str, str]]:
    """Return the user, and with which token they came.

    Of the bearer token where there is a header, else of the login. Raises Unauthenticated.
    """
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        user = await request.auser()
        if isinstance(user, User):
            return user, {}
        raise Unauthenticated("Sign in first, or give a token.")
    token = await in_database(find_token, text.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        raise Unauthenticated("This token is not valid, or no longer.")
    await in_database(note_use, token)
    return token.user, {"token": str(token.pk)}


def _refusal(status: int, message: str, *, retry_after: float | None = None) -> HttpResponse:
    response = HttpResponse(message + "\n", status=status, content_type="text/plain; charset=utf-8")
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if retry_after:
        response["Retry-After"] = str(max(1, round(retry_after)))
    add_never_cache_headers(response)
    return response
