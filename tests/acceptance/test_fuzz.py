"""Whatever comes in, the answer is an `error`, the next good frame works, and nothing ends with 1011."""

import json
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from chatproject.demo.wire import close_code

CLIENT_TYPES = ["auth", "text", "open", "close", "heartbeat", "received", "command"]
FIELDS = ["client_id", "content", "conversation_id", "cursor", "cursors", "frames", "id", "command", "args", "feed"]
DEEP = "[" * 2000 + "]" * 2000
BAD = {
    "nothing": "",
    "not JSON": "{",
    "a number": "42",
    "a string": '"text"',
    "null": "null",
    "an empty array": "[]",
    "an array of numbers": "[1, 2]",
    "arrays in an array": "[[[]]]",
    "no type": "{}",
    "a type that is no text": '{"type": 7}',
    "an unknown type": '{"type": "telepathy"}',
    "a second auth": '{"type": "auth", "device_id": "d2"}',
    "nested too deep": f'{{"type": "heartbeat", "pad": {DEEP}}}',
    "NaN": '{"type": "received", "frames": NaN}',
    "Infinity": '{"type": "received", "frames": -Infinity}',
    "a lone surrogate": '{"type": "text", "client_id": "c", "content": "\\ud800"}',
    "NUL in a name": '{"type": "text", "client_id": "a\\u0000", "content": "x"}',
    "NUL in the content": '{"type": "text", "client_id": "c", "content": "\\u0000"}',
    "a number too big": '{"type": "received", "frames": 1e400}',
    "an integer too big": '{"type": "received", "frames": 99999999999999999999999999}',
    "a negative count": '{"type": "received", "frames": -1}',
    "true for a number": '{"type": "received", "frames": true}',
    "empty content": '{"type": "text", "client_id": "c", "content": ""}',
    "content too long": json.dumps({"type": "text", "client_id": "c", "content": "x" * 32_001}),
    "a frame too large": json.dumps({"type": "text", "client_id": "c", "content": "x" * 300_000}),
    "content that is a list": '{"type": "text", "client_id": "c", "content": ["x"]}',
    "a client_id of 65": json.dumps({"type": "text", "client_id": "c" * 65, "content": "x"}),
    "an id of another alphabet": '{"type": "command", "id": "ключ", "command": "pin"}',
    "args that are a list": '{"type": "command", "id": "c", "command": "list_conversations", "args": []}',
    "a wrong arg": '{"type": "command", "id": "c", "command": "list_conversations", "args": {"limit": 101}}',
    "an unknown command": '{"type": "command", "id": "c", "command": "format_disk"}',
    "an upper-case id": '{"type": "open", "conversation_id": "0B0F2C66-1B8E-4D1C-9D4F-3D0A4E2A9C11"}',
    "an id that is a path": '{"type": "open", "conversation_id": "../../etc/passwd"}',
    "a cursor of nonsense": json.dumps({"type": "open", "conversation_id": str(uuid4()), "cursor": "latest"}),
    "too many in an array": json.dumps([{"type": "received", "frames": 0}] * 5000),
}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
frames = st.fixed_dictionaries(
    {"type": st.sampled_from(CLIENT_TYPES) | st.text(max_size=10)},
    optional=dict.fromkeys(FIELDS, values),
)
messages = frames | st.lists(frames, max_size=5) | values


async def still_works(wire):
    """A good command right after must get its result; everything before it is dropped."""
    key = uuid4().hex
    await wire.send({"type": "command", "id": key, "command": "list_devices", "args": {}})
    assert (await wire.until(id=key))["type"] == "result"


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_frame_gets_an_error_and_the_next_good_one_works(people, name):
    wire = await people.wire()
    await wire.socket.send(BAD[name])
    answer = await wire.answer()
    assert (answer["type"], answer["retryable"]) == ("error", False)
    assert answer["message"]
    await still_works(wire)


async def survives_or_closes(wire):
    """Return None where the socket still works after an answer, else the code it was closed with."""
    try:
        assert (await wire.answer())["type"] in ("error", "bye")
        await still_works(wire)
    except ConnectionClosed as error:
        return close_code(error)


async def test_a_binary_frame_gets_an_error_or_4400(people):
    wire = await people.wire()
    await wire.socket.send(b'{"type": "received", "frames": 0}')
    assert await survives_or_closes(wire) in (None, 4400)


async def test_text_that_is_not_utf8_gets_an_error_or_1007(people):
    wire = await people.wire()
    await wire.socket.send(b'{"type": "\xff"}', text=True)
    assert await survives_or_closes(wire) in (None, 1007, 4400)


async def test_twenty_bad_frames_in_a_row_close_with_4400_and_nineteen_do_not(people):
    wire = await people.wire()
    for _ in range(19):
        await wire.socket.send("{")
    await still_works(wire)
    for _ in range(20):
        await wire.socket.send("{")
    frames, code = await wire.closing()
    assert [frame["type"] for frame in frames] == ["error"] * (len(frames) - 1) + ["bye"]
    assert (frames[-1]["code"], code) == (4400, 4400)


@pytest.mark.parametrize("first", ["{", '{"type": "text", "client_id": "c", "content": "x"}', "[]", '{"type": "auth"}'])
async def test_nothing_but_auth_comes_first(people, first):
    wire = await people.bare()
    await wire.socket.send(first)
    answer = await wire.answer()
    assert answer["type"] in ("error", "bye")
    if answer["type"] == "error":
        assert answer["code"] in ("INVALID_MESSAGE", "UNAUTHENTICATED")


async def test_a_good_frame_between_bad_ones_of_an_array_is_obeyed(people):
    wire = await people.wire()
    command = {"type": "command", "id": "good", "command": "list_devices", "args": {}}
    await wire.send({"type": "nonsense"}, command, {"type": "text"})
    answers = [await wire.answer() for _ in range(3)]
    assert sorted(answer["type"] for answer in answers) == ["error", "error", "result"]


async def test_any_frame_at_all_leaves_the_socket_working(people):
    """Sends many generated messages over few sockets: what matters is that none of them is the last."""
    wires = []

    @settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(messages)
    def generate(message):
        generated.append(json.dumps(message))

    generated = []
    generate()
    for at, text in enumerate(generated):
        if at % 15 == 0:
            wires.append(await people.wire(node=at % 3))
        await wires[-1].socket.send(text)
        await still_works(wires[-1])
