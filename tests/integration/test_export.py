"""A conversation, or everything, as a file: with a cookie and with a token, for members, whatever its length."""

from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from conversations import exporting, keys, memberships, services
from conversations.export_markdown import message_text
from conversations.models import User
from conversations.tokens import create_token
from tests.archive_kit import archive_all, finish_turn, new_talk, redis, say, start_turn
from tests.asking_kit import Asking
from tests.contract.test_memberships import invite, new_person

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
async def talk():
    return await new_talk()


async def token_for(talk):
    user = await User.objects.aget(pk=talk.user_id)
    return {"authorization": f"Bearer {await sync_to_async(create_token)(user=user)}"}


async def fetch(path, headers=None, client=None):
    answer = await (client or AsyncClient()).get(path, headers=headers or {})
    assert answer.status_code == 200, answer.content
    return answer, b"".join([part async for part in answer])


async def exported(talk, file_format="json"):
    """Ask as a socket does, and fetch the address with the same token."""
    data = await Asking(talk).ask("export", format=file_format)
    return await fetch(data["url"], await token_for(talk))


async def test_the_command_names_an_address_that_the_same_token_opens(talk):
    await say(talk, text="hello")
    await say(talk, respond=True, text="how are you")
    await finish_turn(await start_turn(talk), "fine")
    answer, body = await exported(talk)
    file = orjson.loads(body)
    assert [(m["role"], m["content"]) for m in file["messages"]] == [
        ("user", "hello 0"),
        ("user", "how are you 0"),
        ("assistant", "fine"),
    ]
    name = await User.objects.values_list("username", flat=True).aget(pk=talk.user_id)
    assert ({m.get("author_name") for m in file["messages"]}, file["complete"]) == ({name, None}, True)
    assert answer["Content-Type"] == "application/json"
    assert "attachment" in answer["Content-Disposition"]
    assert "no-store" in answer["Cache-Control"]


async def test_what_one_thinks_of_an_answer_is_in_ones_own_file_alone(talk):
    await say(talk, respond=True)
    await finish_turn(await start_turn(talk), "fine")
    [answer] = [m for m in orjson.loads((await exported(talk))[1])["messages"] if m["role"] == "assistant"]
    await Asking(talk).ask("rate", seq=answer["seq"], rating="up", comment="just *so*,\n# thanks")
    await archive_all()
    guest = await invite(talk, await new_person())
    rated = [m for m in orjson.loads((await exported(talk))[1])["messages"] if "rating" in m]
    assert rated == [answer | {"rating": "up", "comment": "just *so*,\n# thanks"}]
    text = (await exported(talk, "markdown"))[1].decode()
    assert "> fine\n\n*You found this good.* just \\*so\\*, \\# thanks\n\n" in text
    assert b"rating" not in (await exported(guest))[1]
    await Asking(talk).ask("rate", seq=answer["seq"], rating="")
    assert b"rating" not in (await exported(talk))[1]


async def test_times_are_in_the_chosen_zone_for_a_token_too(talk):
    await say(talk)
    await User.objects.filter(pk=talk.user_id).aupdate(time_zone="Asia/Kathmandu")
    [message] = orjson.loads((await exported(talk))[1])["messages"]
    at = datetime.fromisoformat(message["at"]).astimezone(ZoneInfo("Asia/Kathmandu"))
    assert f"{at:%Y-%m-%d %H:%M}" in (await exported(talk, "markdown"))[1].decode()


async def test_a_login_opens_it_too(talk):
    await say(talk)
    client = AsyncClient()
    await sync_to_async(client.force_login)(await User.objects.aget(pk=talk.user_id))
    _, body = await fetch(f"/export/{talk.conversation_id}/?format=markdown", client=client)
    assert "> hello 0" in body.decode()


async def test_a_long_one_comes_whole_and_in_order_from_archive_and_stream_in_parts(talk, monkeypatch):
    await say(talk, 150)
    await archive_all()
    first = (await redis().xrange(keys.log(talk.conversation_id)))[:120]
    await redis().xdel(keys.log(talk.conversation_id), *(entry for entry, _ in first))  # as the archiver trims
    await say(talk, 75, text="later")
    await say(talk, 3, text="x" * 30_000)  # more than a reply holds
    parts = [part async for part in exporting.export_conversation(talk.user_id, talk.conversation_id, "json", UTC)]
    assert len(parts) == 5  # head, three pages, end
    seqs = [m["seq"] for m in orjson.loads(b"".join(parts))["messages"]]
    assert seqs == list(range(1, 229))


async def test_a_window_of_large_messages_loses_none(talk):
    await say(talk, 20, text="x" * 31_000)
    file = orjson.loads((await exported(talk))[1])
    assert [m["seq"] for m in file["messages"]] == list(range(1, 21))


async def test_everything_holds_each_of_ones_conversations_and_the_profile(talk):
    await say(talk, text="first")
    other = await services.create_conversation(user_id=talk.user_id)
    await say(talk._replace(conversation_id=other), text="second")
    foreign = await new_talk()
    await say(foreign, text="not yours")
    _, body = await fetch("/export/?format=json", await token_for(talk))
    file = orjson.loads(body)
    assert file["user"]["id"] == talk.user_id
    assert [m["content"] for c in file["conversations"] for m in c["messages"]] == ["second 0", "first 0"]
    _, text = await fetch("/export/?format=markdown", await token_for(talk))
    assert [word in text.decode() for word in ("> first 0", "> second 0", "not yours")] == [True, True, False]


async def test_who_has_nothing_gets_a_whole_file():
    user = await User.objects.acreate(username="new")
    token = await sync_to_async(create_token)(user=user)
    _, body = await fetch("/export/", {"authorization": f"Bearer {token}"})
    assert orjson.loads(body)["conversations"] == []


async def test_strangers_former_members_and_nobody_get_nothing(talk):
    path, client = f"/export/{talk.conversation_id}/", AsyncClient()
    guest = await new_talk()
    name = await User.objects.values_list("username", flat=True).aget(pk=guest.user_id)
    about = {"user_id": talk.user_id, "conversation_id": talk.conversation_id, "username": name}
    headers = await token_for(guest)
    answers = [await client.get(each, headers=headers) for each in (path, f"/export/{uuid4()}/")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    await memberships.invite_member(**about, once="i")
    await fetch(path, headers)
    await memberships.remove_member(**about, device_id="d", once="r")
    assert (await client.get(path, headers=headers)).status_code == 404
    for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic YTpi"}):
        assert (await client.get(path, headers=wrong)).status_code == 401
    token = (await token_for(talk))["authorization"].split()[1]
    assert (await client.get(f"{path}?token={token}")).status_code == 401


async def test_an_unknown_format_and_too_many_at_once_are_refused(talk, settings):
    headers, client = await token_for(talk), AsyncClient()
    path = f"/export/{talk.conversation_id}/"
    assert (await client.get(f"{path}?format=pdf", headers=headers)).status_code == 400
    settings.RATE_LIMIT_COMMANDS = "1/h"
    assert (await client.get(path, headers=headers)).status_code == 200
    late = await client.get(path, headers=headers)
    assert (late.status_code, int(late["Retry-After"]) > 0) == (429, True)


async def test_who_is_removed_meanwhile_gets_a_whole_file_that_says_so(talk):
    guest = await new_talk()
    name = await User.objects.values_list("username", flat=True).aget(pk=guest.user_id)
    about = {"user_id": talk.user_id, "conversation_id": talk.conversation_id, "username": name}
    await memberships.invite_member(**about, once="i")
    await say(talk, 150)
    parts = []
    async for part in exporting.export_conversation(guest.user_id, talk.conversation_id, "json", UTC):
        parts.append(part)
        if len(parts) == 2:
            await memberships.remove_member(**about, device_id="d", once="r")
    file = orjson.loads(b"".join(parts))
    assert (len(file["messages"]), file["complete"]) == (99, False)


SAID = {"seq": 1, "at": "2026-01-01T20:00:00.000Z", "role": "assistant", "content": "one\n\n# two\n---", "status": ""}


@pytest.mark.parametrize(
    ("facts", "mark"),
    [
        ({"status": "complete"}, ""),
        ({"status": "cancelled"}, " · *stopped before it was complete*"),
        ({"status": "failed", "superseded_by": "x"}, " · *broken off by an error, replaced later*"),
    ],
)
def test_what_was_stopped_or_replaced_is_marked_and_words_stay_within_their_quote(facts, mark):
    text = message_text(SAID | facts, UTC)
    assert text == f"**Assistant** · 2026-01-01 20:00{mark}\n\n> one\n>\n> # two\n> ---\n\n"


def test_a_name_cannot_pass_for_a_sign_of_markdown():
    assert message_text(SAID | {"role": "user", "author_name": "*a*"}, UTC).startswith(r"**\*a\*** ·")
