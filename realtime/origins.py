"""Where a connection says it comes from: web origins and addresses, compared exactly."""

import re
from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings

Origin = tuple[str, str, int]
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DEFAULT_PORTS = {"http": 80, "https": 443}
ORIGIN = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII)


def parse_origin(text: str) -> Origin | None:
    """Return (scheme, host, port) of ``scheme://host[:port]``; None for anything else, as a path or ``null``."""
    found = ORIGIN.fullmatch(text.lower())
    if not found:
        return None
    scheme, host, port = found.groups()
    return scheme, host, int(port) if port else DEFAULT_PORTS[scheme]


def is_allowed_origin(text: str) -> bool:
    """Tell whether pages of this origin may use a login cookie."""
    origin = parse_origin(text)
    return origin is not None and origin in _origins(tuple(settings.ALLOWED_ORIGINS))


def parse_address(text: str) -> Address | None:
    """Return the address, an IPv4 one inside IPv6 as itself; None where it is none."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_trusted_proxy(address: Address) -> bool:
    """Tell whether this peer's X-Forwarded-For is believed."""
    return any(address in network for network in _networks(tuple(settings.TRUSTED_PROXIES)))


@cache
def _origins(texts: Iterable[str]) -> frozenset[Origin | None]:
    return frozenset(parse_origin(text) for text in texts)


@cache
def _networks(texts: Iterable[str]) -> list[Network]:
    """Raises ValueError for what is neither an address nor a network."""
    return [ip_network(text) for text in texts]
