"""What operators do to turns, nodes and people, on a real node in this process."""

import asyncio

import orjson
import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import Permission
from django.test import AsyncClient
from django.urls import reverse

from conversations import keys, log, notices, turns
from conversations.announce import user_group
from conversations.assistant.service import Assistant
from conversations.audit.entry import AuditEntry
from conversations.models import Turn, User
from conversations.runner import TurnRunner
from conversations.turns import Claim, claim, finish
from realtime.auth import Identity
from realtime.connection import Connection
from realtime.consumers import TurnConsumer
from realtime.frames import Auth, validate_server_frame
from realtime.node import Node
from tests.archive_kit import archive_all, new_talk, redis, say, say_each, start_turn

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
RIGHTS = ("control_turns", "drain_nodes", "send_notices", "view_installation", "view_turn")


async def operator(*permissions):
    user = await User.objects.acreate_user("op", is_staff=True)
    rights = [each async for each in Permission.objects.filter(codename__in=permissions)]
    await user.user_permissions.aset(rights)
    client = AsyncClient()
    await client.aforce_login(user)
    return client


async def post(client, name, **data):
    return await client.post(reverse(f"admin:{name}"), data, follow=True)


async def recorded():
    rows = AuditEntry.objects.exclude(action="signed_in").order_by("seq")
    return [(row.action, row.subject) async for row in rows]


async def failed_turn():
    talk = await new_talk()
    await say(talk, respond=True)
    claimed = await start_turn(talk)
    body = {"event": "turn.finished", "at": "2026-01-01T00:00:00.000Z", "data": {"turn_id": claimed.turn_id}}
    body["data"] |= {"status": "failed", "error": "The model broke off."}
    finished = orjson.dumps(body)
    await finish(claimed, message_id="", message=b"", finished=finished, preview="", usage={}, status="failed")
    await archive_all()
    return talk, claimed.turn_id


async def test_a_failed_turn_is_tried_again_on_its_own_message():
    talk, turn_id = await failed_turn()
    client = await operator(*RIGHTS)
    await post(client, "inspection_control", turn=turn_id, verb="retry")
    head = (await log.heads([talk.conversation_id]))[talk.conversation_id]
    assert head.turn is not None
    claimed = await claim(talk.conversation_id, head.turn[0], 0, "n1")
    assert isinstance(claimed, Claim)
    assert (claimed.seq, claimed.user_id) == (1, talk.user_id)
    assert claimed.turn_id != turn_id
    assert await recorded() == [("turn_retried", f"turn:{turn_id}")]
    again = await post(client, "inspection_control", turn=turn_id, verb="retry")
    assert "An answer is being written here already." in again.content.decode()
    assert await redis().llen(keys.turns(talk.conversation_id)) == 1


async def test_a_turn_is_not_tried_again_once_somebody_has_gone_on():
    talk, turn_id = await failed_turn()
    await say(talk)
    await archive_all()
    answer = await post(await operator(*RIGHTS), "inspection_control", turn=turn_id, verb="retry")
    assert "Something was said since" in answer.content.decode()
    assert not await redis().llen(keys.turns(talk.conversation_id))


async def test_only_a_failed_turn_is_tried_again():
    _, turn_id = await failed_turn()
    await Turn.objects.filter(pk=turn_id).aupdate(status="done")
    answer = await post(await operator(*RIGHTS), "inspection_control", turn=turn_id, verb="retry")
    assert "This turn has not failed." in answer.content.decode()
    assert await recorded() == []


async def test_a_queued_turn_is_cancelled_and_the_log_says_by_whom():
    talk = await new_talk()
    await say(talk, respond=True)
    head = (await log.heads([talk.conversation_id]))[talk.conversation_id]
    client = await operator(*RIGHTS)
    data = {"turn": head.turn[0], "conversation": talk.conversation_id, "verb": "cancel"}
    await post(client, "inspection_control", **data)
    [(_, fields)] = await redis().xrevrange(keys.log(talk.conversation_id), count=1)
    entry = orjson.loads(fields[b"b"])
    assert (entry["event"], entry["data"]["status"], entry["data"]["device_id"]) == (
        "turn.finished",
        "cancelled",
        "operator",
    )
    assert await recorded() == [("turn_cancelled", f"conversation:{talk.conversation_id}")]


async def test_without_the_right_nothing_happens():
    talk, turn_id = await failed_turn()
    client = await operator("view_turn", "view_installation")
    calls = {
        "inspection_control": {"turn": turn_id, "verb": "retry"},
        "inspection_drain": {"node": "n1"},
        "inspection_notice": {"message": "hello", "level": "info"},
    }
    for name, data in calls.items():
        assert (await post(client, name, **data)).status_code == 403
    assert await recorded() == []
    assert not await redis().llen(keys.turns(talk.conversation_id))


# -- nodes and people


class Listener:
    """A node's or a user's place in the layer."""

    @classmethod
    async def of(cls, group):
        self, layer = cls(), get_channel_layer()
        self.heard = asyncio.Queue()
        channel = await layer.new_channel()
        layer.listen(channel, self.heard.put_nowait)
        await layer.group_add(group, channel)
        return self

    async def next(self):
        async with asyncio.timeout(10):
            return await self.heard.get()


@pytest.fixture
async def node():
    """A node that listens and tells of itself, without its other work."""
    node = Node("n1")
    await node._listen()
    await node._record()
    return node


async def test_the_page_lists_the_nodes(node):
    client = await operator(*RIGHTS)
    answer = await client.get(reverse("admin:inspection_nodes"))
    [found] = answer.context["overview"].nodes
    assert (found.name, found.is_alive, found.connections, found.turns, found.draining) == ("n1", True, 0, 0, False)
    assert not found.archives
    await redis().set(keys.ARCHIVER, node.archiver.owner)
    answer = await client.get(reverse("admin:inspection_nodes"))
    assert answer.context["overview"].nodes[0].archives
    await redis().delete(keys.node("n1"))
    answer = await client.get(reverse("admin:inspection_nodes"))
    assert [each.is_alive for each in answer.context["overview"].nodes] == [False]


async def test_what_a_draining_node_hands_back_the_others_hear_of_at_once(node, monkeypatch):
    talk, assistant = await new_talk(), Assistant("scripted")
    await assistant.start()
    await say_each(talk, "/slow 30", respond=True)
    draining = TurnRunner("n0", assistant)
    draining.start_soon(talk.conversation_id)
    async with asyncio.timeout(10):
        while not draining._jobs:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await draining.drain()
        due = await node._due.get()
        assert await turns.find_due() == [talk.conversation_id]
        monkeypatch.setattr(turns, "head_turn", None)  # which turn it is need not be asked
        taking, consumer = TurnRunner("n2", assistant), TurnConsumer()
        consumer.scope = {"runner": taking}
        consumer.turn_due(due)
        while not taking._jobs:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert taking._jobs[talk.conversation_id][:3] == (talk.conversation_id, due["turn_id"], 2)
        await taking.drain()


async def test_drain_reaches_the_node_and_is_recorded(node):
    told = asyncio.Event()
    node.on_drain = told.set
    await post(await operator(*RIGHTS), "inspection_drain", node="n1")
    async with asyncio.timeout(10):
        await told.wait()
    assert await recorded() == [("node_drained", "node:n1")]


async def test_a_node_that_is_not_there_is_not_drained():
    answer = await post(await operator(*RIGHTS), "inspection_drain", node="n9")
    assert "This node is not there." in answer.content.decode()
    assert await recorded() == []


class Socket:
    """What the node knows of one connected socket."""

    def __init__(self):
        self.connection = self
        self.heard = asyncio.Queue()

    def hear(self, message):
        self.heard.put_nowait(message)


async def test_a_notice_reaches_everybody_on_every_node(node):
    socket = Socket()
    node.sockets.add(socket)
    await post(await operator(*RIGHTS), "inspection_notice", message="Back at noon", level="warning")
    async with asyncio.timeout(10):
        message = await socket.heard.get()
    frame = {"type": "system", "event": "notice", "level": "warning", "message": "Back at noon"}
    assert (message["type"], orjson.loads(message["f"])) == ("direct", frame)
    assert await recorded() == [("notice_sent", "everyone")]
    assert "noon" not in str([row async for row in AuditEntry.objects.values_list()])


async def test_a_notice_to_some_reaches_only_them(node):
    ana, ben = [await User.objects.acreate_user(name) for name in ("ana", "ben")]
    hers, his = [await Listener.of(user_group(str(each.pk))) for each in (ana, ben)]
    client = await operator(*RIGHTS)
    answer = await post(client, "inspection_notice", message="For you", level="info", people="ana, nobody")
    assert "Nobody is called nobody." in answer.content.decode()
    await post(client, "inspection_notice", message="For you", level="info", people="ana")
    assert orjson.loads((await hers.next())["f"])["message"] == "For you"
    assert his.heard.empty()
    assert [action for action, _ in await recorded()] == ["notice_sent"]


async def test_a_notice_that_stands_is_told_to_whoever_comes_later_and_is_for(node):
    ana, ben = [await User.objects.acreate_user(name) for name in ("ana", "ben")]
    client = await operator(*RIGHTS)
    hers = (await Listener.of(user_group(str(ana.pk)))).heard
    await post(client, "inspection_notice", message="For all", level="info", hours="1")
    await post(client, "inspection_notice", message="For her", level="warning", people="ana", hours="24")
    await post(client, "inspection_notice", message="Now only", level="info")
    told = [[orjson.loads(each) for each in await notices.frames_for(str(user.pk))] for user in (ana, ben)]
    assert [[each["message"] for each in frames] for frames in told] == [["For all", "For her"], ["For all"]]
    assert told[0][1] == orjson.loads((await hers.get())["f"])  # the same id, so that nobody is shown it twice

    answer = await post(client, "inspection_notice_back", notice=told[1][0]["id"])
    assert [each.message for each in answer.context["standing"]] == ["For her"]
    assert await notices.frames_for(str(ben.pk)) == []
    await redis().zadd(keys.NOTICES, dict.fromkeys(await redis().zrange(keys.NOTICES, 0, -1), 1))
    assert await notices.frames_for(str(ana.pk)) == []
    assert [action for action, _ in await recorded()] == ["notice_sent"] * 3 + ["notice_taken_back"]


async def test_the_newest_notice_stands_however_many_others_do(node):
    for number in range(notices.MOST):
        await sync_to_async(notices.keep)(f"{number}", "info", [], 24)
    await sync_to_async(notices.keep)("In an hour", "warning", [], 1)
    told = [orjson.loads(each)["message"] for each in await notices.frames_for("7")]
    assert (told[0], len(told)) == ("In an hour", notices.MOST)


async def test_a_notice_that_stands_comes_with_the_next_connection(node):
    talk = await new_talk()
    await sync_to_async(notices.keep)("Back at noon", "info", [], 1)
    sent = []
    connection = Connection(node, Identity(talk.user_id, "ana"), "phone", sent.append)
    await connection.start(Auth(type="auth", device_id="phone"))
    connection.flush()
    await connection.stop()
    ready, notice = [each for each in orjson.loads(sent[0]) if each["type"] == "system"]
    assert (ready["event"], notice["event"], notice["message"]) == ("ready", "notice", "Back at noon")
    validate_server_frame(notice)


async def test_a_node_writes_its_denials_to_the_journal(node):
    node.denials.note("7", "rename")
    node.denials.note("7", "rename")
    await node._write_denials()
    [row] = [row async for row in AuditEntry.objects.all()]
    assert (row.action, row.subject, row.facts) == ("denied", "command:rename", '{"count":2,"node":"n1"}')
