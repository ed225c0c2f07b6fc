import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis

from chatproject.services.process import free_port
from chatproject.services.redis import EmbeddedRedis, is_redis_ready
from conversations.errors import StartRefused

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(tmp_path):
    """Start `manage.py redis` as a person would, and end it whatever the test did."""
    started = []

    def run(*, port, directory=None):
        line = [sys.executable, "manage.py", "redis", "--port", str(port), "--dir", directory or tmp_path]
        started.append(subprocess.Popen(line, cwd=ROOT, stdout=-1, stderr=-1, text=True, start_new_session=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def ready_server(process):
    """Return the pid in the line that says it is ready."""
    words = process.stdout.readline().split()
    assert words[:2] == ["redis", "ready"]
    return int(words[words.index("pid") + 1])


def is_gone(pid):
    """A zombie is gone too: nobody may be there to collect it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_has_json_and_search(redis_server):
    with Redis.from_url(redis_server.url) as client:
        names = {module[b"name"] for module in client.module_list()}
        assert {b"ReJSON", b"search"} <= names
        assert int(client.info("server")["redis_version"].split(".")[0]) >= 8


def test_it_syncs_before_it_replies_and_never_evicts(redis_server):
    with Redis.from_url(redis_server.url, decode_responses=True) as client:
        found = client.config_get("appendonly", "appendfsync", "maxmemory-policy", "save", "bind")
    assert found == {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        "bind": "127.0.0.1",
    }


def test_a_write_it_answered_survives_kill_9(tmp_path):
    port, directory = free_port(), tmp_path / "a folder with spaces"
    first = EmbeddedRedis(port=port, directory=directory)
    first.wait_until_ready()
    with Redis.from_url(first.url) as client:
        client.set("kept", "yes")
        first.process.kill()
        first.stop()
        second = EmbeddedRedis(port=port, directory=directory)
        second.wait_until_ready()
        assert client.get("kept") == b"yes"
    second.stop()


def test_the_server_dies_with_its_parent_even_by_kill_9(command):
    port = free_port()
    parent = command(port=port)
    server = ready_server(parent)
    assert os.getpgid(server) == os.getpgid(parent.pid) == parent.pid
    parent.kill()
    wait_for(lambda: is_gone(server))
    assert not is_redis_ready(port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_when_asked(command, number):
    parent = command(port=free_port())
    server = ready_server(parent)
    parent.send_signal(number)
    assert parent.communicate(timeout=10) == ("redis stopped\n", "")
    assert (parent.returncode, is_gone(server)) == (0, True)


def test_a_port_in_use_is_said_in_one_line(command, redis_server):
    refused = command(port=redis_server.port)
    out, error = refused.communicate(timeout=20)
    assert (refused.returncode, out) == (1, "")
    assert error.count("\n") == 1
    assert f"127.0.0.1:{redis_server.port}: the port is in use" in error


def test_a_folder_in_use_is_said_in_one_line(command, redis_server):
    refused = command(port=free_port(), directory=redis_server.directory)
    out, error = refused.communicate(timeout=20)
    assert (refused.returncode, out, error.count("\n")) == (1, "", 1)
    assert f"another Redis has its data in {redis_server.directory}" in error


def test_a_folder_is_free_again_after_a_stop(tmp_path):
    for _ in range(2):
        server = EmbeddedRedis(port=free_port(), directory=tmp_path)
        server.wait_until_ready()
        with pytest.raises(StartRefused, match="another Redis"):
            EmbeddedRedis(port=free_port(), directory=tmp_path)
        server.stop()
