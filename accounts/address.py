"""Who asks, where a proxy of ours hands the request on: the same for a page as for a socket."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin

from realtime.auth import client_address


class ClientAddressMiddleware(MiddlewareMixin):
    """Puts the client's address in the place of the proxy's, for limits and for the audit journal."""

    def process_request(self, request: HttpRequest) -> None:
        request.META["REMOTE_ADDR"] = address_in(request.META)


def address_in(meta: Mapping[str, Any]) -> str:
    """Return the address of the client as the sockets' door finds it, empty where there is none."""
    forwarded = meta.get("HTTP_X_FORWARDED_FOR")
    headers = [(b"x-forwarded-for", forwarded.encode("latin-1", "replace"))] if forwarded else []
    return client_address({"client": (meta.get("REMOTE_ADDR", ""), 0), "headers": headers})
