"""Where a connection comes from, without any I/O."""

import pytest

from realtime.auth import client_address
from realtime.origins import is_allowed_origin, parse_origin


@pytest.fixture(autouse=True)
def one_page_and_two_proxies(settings):
    settings.ALLOWED_ORIGINS = ["https://chat.example.org", "http://localhost:8000"]
    settings.TRUSTED_PROXIES = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    "text",
    [
        "https://chat.example.org",
        "https://chat.example.org:443",
        "HTTPS://Chat.Example.ORG",
        "http://localhost:8000",
    ],
)
def test_an_allowed_origin_is_allowed(text):
    assert is_allowed_origin(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "*",
        "http://chat.example.org",
        "https://chat.example.org:8443",
        "https://chat.example.org.evil.org",
        "https://evil.org/https://chat.example.org",
        "https://chat.example.org/",
        "https://chat.example.org@evil.org",
        "https://evil.org#https://chat.example.org",
        "https://sub.chat.example.org",
        " https://chat.example.org",
        "https://chat.example.org\n",
        "http://localhost",
        "http://localhost:80000",
        "http://localhost:٨٠٠٠",
        "ws://localhost:8000",
        "http://127.0.0.1:8000",
    ],
)
def test_any_other_origin_is_foreign(text):
    assert not is_allowed_origin(text)


def test_an_origin_of_an_ipv6_host_keeps_its_brackets():
    assert parse_origin("http://[::1]:8000") == ("http", "[::1]", 8000)


def address(peer, *forwarded):
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return client_address({"client": (peer, 50000), "headers": headers})


def test_a_direct_client_is_its_own_peer_whatever_it_claims():
    assert address("203.0.113.9", "198.51.100.7") == "203.0.113.9"


def test_a_trusted_proxy_is_believed():
    assert address("127.0.0.1", "198.51.100.7") == "198.51.100.7"


def test_the_rightmost_hop_that_is_no_proxy_counts_not_what_the_client_put_before_it():
    assert address("127.0.0.1", "1.1.1.1, 198.51.100.7, 10.1.2.3") == "198.51.100.7"


def test_several_headers_read_as_one():
    assert address("127.0.0.1", "1.1.1.1", "198.51.100.7") == "198.51.100.7"


def test_where_all_hops_are_proxies_the_first_counts():
    assert address("127.0.0.1", "10.9.9.9, 10.1.2.3") == "10.9.9.9"


def test_nonsense_from_a_proxy_leaves_the_proxy():
    assert address("127.0.0.1", "198.51.100.7, unknown") == "127.0.0.1"
    assert address("127.0.0.1") == "127.0.0.1"


def test_an_ipv4_address_inside_ipv6_is_the_same_client():
    assert address("::ffff:127.0.0.1", "::ffff:198.51.100.7") == "198.51.100.7"
    assert address("fd00::1", "2001:db8::7") == "2001:db8::7"


def test_a_connection_without_an_address_has_an_empty_one():
    assert client_address({"client": None, "headers": []}) == ""
