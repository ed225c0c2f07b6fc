import socket

import pytest

from chatproject.services import process
from chatproject.services.process import check_port, free_port
from conversations.errors import StartRefused


def test_a_port_is_handed_out_once(monkeypatch):
    monkeypatch.setattr(process, "SERVICE_PORTS", range(20_000, 20_400))
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50


def test_a_port_that_was_asked_for_is_not_handed_out(monkeypatch):
    asked = free_port()
    process._promised.discard(asked)
    monkeypatch.setattr(process, "SERVICE_PORTS", range(asked, asked + 1))
    monkeypatch.setattr(process.random, "SystemRandom", lambda: Whole())
    check_port(asked, "nginx")
    with pytest.raises(StartRefused, match="no free port"):
        free_port()


class Whole:
    def sample(self, ports, count):
        return list(ports)


def test_a_port_in_use_is_refused_by_name():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartRefused, match=f"Redis cannot listen on 127.0.0.1:{port}"):
            check_port(port, "Redis")


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(StartRefused, match="from 1 to 65535"):
        check_port(port, "nginx")
