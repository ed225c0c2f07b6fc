"""Plain `daphne chatproject.asgi:application`, as any Django project is served."""

import http.client
import re

import pytest

from chatproject.demo.processes import Program, readiness, socket_url, wait_for
from chatproject.services.process import free_port

from .conftest import People
from .stack import START_SECONDS, Stack


@pytest.fixture
def stack(tmp_path):
    """An installation without a node, whose Redis is not started yet."""
    running = Stack(tmp_path, count=0)
    running.installation.run("migrate", "--verbosity", "0")
    running.tokens("alice")
    yield running
    running.stop()


@pytest.fixture
def daphne(stack):
    port = free_port()
    command = stack.installation.command()[:-1]  # without manage.py
    command += ["-m", "daphne", "--bind", "127.0.0.1", "--port", str(port), "chatproject.asgi:application"]
    program = Program(command, stack.installation.var_dir / "daphne.out", {})
    program.url = f"http://127.0.0.1:{port}"
    yield program
    program.stop()


def status_of(url, path):
    address = url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def test_a_token_is_alone_on_standard_output_also_while_redis_is_down(stack):
    assert re.fullmatch(r"[\w-]{43}\n", stack.installation.run("token", "bob", "--create"))


async def test_a_node_whose_redis_was_down_at_its_start_becomes_ready_when_redis_comes_up(stack, daphne):
    daphne.wait_for(lambda: status_of(daphne.url, "/healthz") == 200, START_SECONDS, "/healthz")
    assert [status_of(daphne.url, "/readyz") for _ in range(2)] == [503, 503]
    stack.start_redis()
    stack.wait_for_redis()
    wait_for(lambda: readiness(daphne.url), START_SECONDS, "/readyz")
    people = People(stack)
    device = await people.device(urls=[socket_url(daphne.url)])
    conversation_id = await device.new_conversation()
    ack = await device.text(conversation_id, "hello", respond=False)
    await people.stop()
    assert ack["seq"] == 1
