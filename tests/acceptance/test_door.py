import asyncio
import contextlib
from uuid import uuid4

import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from chatproject.demo.client import Answered
from realtime.frames import validate_server_frame

SECRET = "of alice alone"
COMMANDS = {
    "get_history": {},
    "clear_history": {},
    "archive": {},
    "unarchive": {},
    "pin": {},
    "unpin": {},
    "delete": {},
    "restore": {},
    "typing": {},
    "switch_topic": {"topic": "x"},
    "rename": {"title": "x"},
    "mark_read": {"seq": 1},
    "set_draft": {"content": "x"},
    "regenerate": {"message_id": str(uuid4())},
    "edit": {"message_id": str(uuid4()), "content": "x"},
    "fork": {"seq": 1},
    "leave": {},
    "invite": {"username": "mallory"},
    "remove_member": {"username": "alice"},
    "search": {"query": "alice"},
    "export": {"format": "json"},
    "cancel": {"turn_id": str(uuid4())},
    "answer": {"turn_id": str(uuid4()), "interrupt_id": "i1", "value": True},
}


@pytest_asyncio.fixture
async def room(people):
    """A conversation of alice with one message in it."""
    alice = await people.device("alice")
    conversation_id = await alice.new_conversation()
    await alice.text(conversation_id, SECRET, respond=False)
    alice.room = conversation_id
    return alice


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_strangers_command_is_forbidden_as_if_it_did_not_exist(people, room, command):
    args = COMMANDS[command]
    wire = await people.wire("mallory", node=1)
    answers = []
    for number, conversation_id in enumerate([room.room, str(uuid4())]):
        named = {"type": "command", "id": f"c{number}", "command": command, "args": args}
        await wire.send({**named, "conversation_id": conversation_id})
        answer = await wire.until(id=f"c{number}")
        assert (answer["type"], answer["code"], answer["retryable"]) == ("error", "FORBIDDEN", False)
        answers.append((answer["message"], answer.get("data")))
    assert answers[0] == answers[1]
    assert [message["content"] for message in room.mirrors[room.room].messages()] == [SECRET]


@pytest.mark.parametrize("conversation_id", ["of alice", "of nobody"])
async def test_a_stranger_can_neither_open_nor_write(people, room, conversation_id):
    where = {"conversation_id": room.room if conversation_id == "of alice" else str(uuid4())}
    wire = await people.wire("mallory", node=1)
    await wire.send({"type": "open", **where, "cursor": {"seq": 0}})
    assert (await wire.until(**where))["code"] == "FORBIDDEN"
    await wire.send({"type": "text", "client_id": "c1", "content": "let me in", **where})
    assert (await wire.until(client_id="c1"))["code"] == "FORBIDDEN"
    auth = await people.wire("mallory", node=2, open={where["conversation_id"]: None})
    assert (await auth.until(**where))["code"] == "FORBIDDEN"


async def test_lists_and_devices_show_only_ones_own(people, room):
    mallory = await people.device("mallory", node=1)
    listed = (await mallory.command("list_conversations", limit=100))["data"]["items"]
    devices = (await mallory.command("list_devices"))["data"]["items"]
    assert room.room not in str(listed)
    assert room.device_id not in str(devices)
    with pytest.raises(Answered) as refused:
        await mallory.command("revoke_device", device_id=room.device_id)
    assert refused.value.code == "FORBIDDEN"


async def test_a_socket_that_does_not_authenticate_is_closed_with_4401(people, stack):
    node = stack.add_node("node-hasty", AUTH_TIMEOUT_SECONDS="0.5")
    wire = await people.bare(url=node.url)
    frames, code = await wire.closing()
    node.kill()
    assert ([frame["type"] for frame in frames], frames[-1]["code"], code) == (["bye"], 4401, 4401)


@pytest.mark.parametrize("token", [None, "wrong", "x" * 500])
async def test_a_wrong_token_is_closed_with_4401(people, token):
    wire = await people.bare()
    await wire.send({"type": "auth", "device_id": "d1", "token": token})
    frames, code = await wire.closing()
    assert (frames[-1]["type"], code) == ("bye", 4401)


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic YTpi", "Bearer "])
async def test_a_wrong_authorization_header_is_closed_with_4401(people, header):
    wire = await people.bare(headers={"Authorization": header})
    await wire.send({"type": "auth", "device_id": "d1"})
    frames, code = await wire.closing()
    assert (frames[-1]["type"], code) == ("bye", 4401)


async def test_a_token_in_the_header_is_enough_and_one_in_the_url_is_not(people, stack):
    (token,) = stack.tokens("alice")
    wire = await people.bare(headers={"Authorization": f"Bearer {token}"})
    await wire.send({"type": "auth", "device_id": "d1"})
    assert (await wire.receive())["event"] == "ready"
    wire = await people.bare(url=f"{stack.urls()[0]}?token={token}")
    await wire.send({"type": "auth", "device_id": "d1"})
    assert (await wire.closing())[1] == 4401


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost.evil.example:8000", "https://localhost:8000"]
)
async def test_a_cookie_from_a_foreign_origin_is_closed_with_4403(people, stack, origin):
    cookie = {"Cookie": f"sessionid={stack.session('alice')}"}
    wire = await people.bare(origin=origin, headers=cookie)
    with contextlib.suppress(ConnectionClosed):  # the refusal may be here before the frame is sent
        await wire.send({"type": "auth", "device_id": "d1"})
    frames, code = await wire.closing()
    assert (frames[-1]["type"], frames[-1]["code"], code) == ("bye", 4403, 4403)


async def test_a_cookie_from_our_own_origin_comes_in(people, stack):
    cookie = {"Cookie": f"sessionid={stack.session('alice')}"}
    wire = await people.bare(origin="http://localhost:8000", headers=cookie)
    await wire.send({"type": "auth", "device_id": "d1", "open": {}})
    assert (await wire.receive())["user"]["username"] == "alice"


async def test_a_revoked_device_is_closed_on_another_node_within_five_seconds(people, stack):
    keeper = await people.device("bob", node=0)
    lost = await people.device("bob", node=1, token=stack.installation.token("bob"))
    await keeper.command("revoke_device", device_id=lost.device_id)
    await lost.until(lambda: lost.link.stopping, 5)
    assert (lost.link.closes[-1], lost.link.byes[-1]["code"]) == (4401, 4401)
    assert keeper.link.connected


async def test_a_disabled_user_is_closed_everywhere_within_five_seconds(people, stack):
    devices = [await people.device("carol", node=node) for node in range(3)]
    disable = (
        "from conversations.models import User; user = User.objects.get(username='carol'); "
        "user.is_active = False; user.save()"
    )
    await asyncio.to_thread(stack.installation.run, "shell", "--no-imports", "-c", disable)
    for device in devices:
        await device.until(lambda d=device: d.link.stopping, 5)
    assert [device.link.closes[-1] for device in devices] == [4401] * 3


async def test_who_revokes_the_device_they_use_hears_the_result_before_the_4401(people):
    wire = await people.wire("erin", device_id="erins")
    await wire.send({"type": "command", "id": "c1", "command": "revoke_device", "args": {"device_id": "erins"}})
    frames, code = await wire.closing()
    told = [(frame["type"], frame.get("id", frame.get("code"))) for frame in frames]
    assert [each for each in told if each[0] in ("result", "error", "bye")] == [("result", "c1"), ("bye", 4401)]
    assert code == 4401


async def test_who_revokes_another_device_of_their_own_token_stays(people, stack):
    mine, other = await people.wire("frank", device_id="desk"), await people.wire("frank", node=1, device_id="phone")
    await mine.send({"type": "command", "id": "c1", "command": "revoke_device", "args": {"device_id": "phone"}})
    assert (await other.closing())[1] == 4401
    assert (await mine.until(id="c1"))["type"] == "result"
    # The token still opens the door, to every device but that one.
    assert await people.wire("frank", node=2, device_id="tablet")
    back = await people.bare()
    await back.send({"type": "auth", "device_id": "phone", "token": stack.tokens("frank")[0]})
    assert (await back.closing())[1] == 4401
    await mine.send({"type": "heartbeat"})
    assert await mine.until(type="heartbeat")


async def test_the_devices_listed_are_those_connected_and_as_the_documents_say(people):
    wires = [
        await people.wire("gina", node=node, device_id=f"g{node}", device_name=f"Gina's {node}") for node in (0, 1)
    ]
    await wires[0].send({"type": "command", "id": "c1", "command": "list_devices"})
    answer = await wires[0].until(id="c1")
    validate_server_frame(answer)
    names = ("device_id", "name", "connected", "node", "current")
    assert sorted(tuple(item[name] for name in names) for item in answer["data"]["items"]) == [
        ("g0", "Gina's 0", True, "node-1", True),
        ("g1", "Gina's 1", True, "node-2", False),
    ]
