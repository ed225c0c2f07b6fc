"""Who acts just now, where the code that changes something is told no user: the request's, or one that is named."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

_request: ContextVar[HttpRequest | None] = ContextVar("tether_audit_request", default=None)
_user_id: ContextVar[str] = ContextVar("tether_audit_user", default="")

GetResponse = Callable[[HttpRequest], HttpResponse]
AsyncGetResponse = Callable[[HttpRequest], Awaitable[HttpResponse]]


def acting_user_id() -> str:
    """Return the id of whoever acts, empty for the server itself and for commands."""
    if named := _user_id.get():
        return named
    user = getattr(_request.get(), "user", None)
    return str(user.pk) if user is not None and user.is_authenticated else ""


def acting_in_request() -> bool:
    """Whether a page is being answered, by whomever it was asked; false for commands and for the server itself."""
    return _request.get() is not None


def acting_address() -> str:
    request = _request.get()
    return str(request.META.get("REMOTE_ADDR") or "") if request is not None else ""


@contextmanager
def acting(user_id: str) -> Iterator[None]:
    """Say who acts in what follows: for a socket's commands, which have no request."""
    token = _user_id.set(user_id)
    try:
        yield
    finally:
        _user_id.reset(token)


@sync_and_async_middleware
def acting_middleware(get_response: GetResponse | AsyncGetResponse) -> GetResponse | AsyncGetResponse:
    """Remember the request while it is answered. Its user is looked up only if something is recorded."""
    if iscoroutinefunction(get_response):

        async def aremember(request: HttpRequest) -> HttpResponse:
            token = _request.set(request)
            try:
                return await cast(AsyncGetResponse, get_response)(request)
            finally:
                _request.reset(token)

        return aremember

    def remember(request: HttpRequest) -> HttpResponse:
        token = _request.set(request)
        try:
            return cast(GetResponse, get_response)(request)
        finally:
            _request.reset(token)

    return remember
