"""The end of an account: a scan of the database and of Redis finds nothing of the person afterwards."""

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth import authenticate
from django.test import Client
from django.utils import timezone

from conversations import keys, log, memberships, services
from conversations.archive import Archiver
from conversations.assistant import keys as checkpoint_keys
from conversations.erasing_people import begin_erasing
from conversations.models import Conversation, Device, Member, Message, User
from conversations.revocations import read_since
from conversations.tokens import create_token, find_token
from tests.archive_kit import Talk, archive_all, finish_turn, new_talk, redis, say, start_turn
from tests.archive_once import kill_at

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PASSWORD = "correct horse battery"
MARKS = ("zorblax", "quuxword")  # in the name, the address, the devices; in what was said


@pytest.fixture
async def zorblax():
    """Somebody with a bit of everything, archived or not."""
    user = await User.objects.acreate_user("zorblax", "zorblax@example.org", PASSWORD)
    talk = Talk(await services.create_conversation(user_id=str(user.pk), title="zorblax' own"), str(user.pk))
    await say(talk, 3, text="quuxword")
    await say(talk, respond=True, text="quuxword")
    await finish_turn(await start_turn(talk), "quuxword")
    await redis().set(checkpoint_keys.prefix(talk.conversation_id) + ":c1", "quuxword")
    await redis().zadd(checkpoint_keys.order(talk.conversation_id), {"t1|:c1": 1})
    await archive_all()
    await services.set_draft(**about(talk), content="quuxword", device_id="zorblax-phone")
    await services.create_conversation(user_id=str(user.pk), title="zorblax' second")
    await EmailAddress.objects.acreate(user=user, email=user.email, primary=True)
    await Device.objects.acreate(user=user, device_id="zorblax-phone", name="zorblax")
    user.token = await sync_to_async(create_token)(user=user, name="zorblax")
    user.browser = Client(headers={"user-agent": "zorblax-browser"})
    await sync_to_async(user.browser.post)("/login/", {"login": "zorblax", "password": PASSWORD})
    await sync_to_async(lambda: TOTP.activate(user, "JBSWY3DPEHPK3PXP"))()
    return user


def about(talk):
    return {"user_id": talk.user_id, "conversation_id": talk.conversation_id}


async def erase(user, passes=3):
    await sync_to_async(begin_erasing)(user)
    await User.objects.filter(pk=user.pk).aupdate(erasing_since=timezone.now() - timedelta(minutes=1))
    for _ in range(passes):  # a new one each time, which looks at once
        await Archiver("a").run_once()


def rows_with(words):
    """Return (model, text) of every row of every table that holds one of these words."""
    found = []
    for model in apps.get_models():
        for row in model._default_manager.values():
            text = " ".join(map(str, row.values())).lower()
            found += [(model.__name__, text) for word in words if word in text]
    return found


async def keys_with(words):
    """Return every key of Redis whose name or value holds one of these words."""
    read = {
        b"string": redis().get,
        b"hash": redis().hgetall,
        b"list": lambda key: redis().lrange(key, 0, -1),
        b"set": redis().smembers,
        b"zset": lambda key: redis().zrange(key, 0, -1),
        b"stream": redis().xrange,
        b"none": redis().get,
    }
    found = []
    async for key in redis().scan_iter(count=1000):
        text = f"{key} {await read[await redis().type(key)](key)}".lower()
        found += [key for word in words if word in text]
    return found


async def left_of(user, *more):
    words = (*MARKS, user.browser.cookies["sessionid"].value, *more)
    return await sync_to_async(rows_with)(words), await keys_with((*words, f"{{u:{user.pk}}}"))


async def test_the_scan_finds_what_it_looks_for(zorblax):
    rows, found = await left_of(zorblax)
    tables = {model for model, _ in rows}
    assert {"User", "Conversation", "Message", "Event", "Member", "Device", "Token", "EmailAddress"} <= tables
    assert {"UserSession", "Session"} <= tables
    assert {keys.feed(str(zorblax.pk)).encode()} <= set(found)
    assert any(b":log:" in key for key in found)
    assert any(b":c1" in key for key in found)


async def test_nothing_is_left_of_a_person(zorblax):
    await erase(zorblax)
    assert await left_of(zorblax) == ([], [])
    assert not await Authenticator.objects.aexists()
    told = [entry["value"] for entry in (await read_since("0-0"))[1] if entry["user_id"] == str(zorblax.pk)]
    assert set(told) <= {""}
    assert not await User.objects.filter(pk=zorblax.pk).aexists()
    assert await keys_with([f":{zorblax.pk}:"]) == []


async def test_who_asked_for_it_is_shut_out_at_once_and_for_good(zorblax):
    start, _ = await read_since("")
    await sync_to_async(begin_erasing)(zorblax)
    assert ("user", str(zorblax.pk)) in {(e["kind"], e["user_id"]) for e in (await read_since(start))[1]}
    assert await sync_to_async(find_token)(zorblax.token) is None
    assert await sync_to_async(authenticate)(username="zorblax", password=PASSWORD) is None
    assert (await sync_to_async(zorblax.browser.get)("/")).status_code == 302
    assert await Archiver("a").run_once() >= 0
    assert await User.objects.filter(pk=zorblax.pk).aexists()  # sockets of theirs may still be open


async def test_a_conversation_with_others_goes_on_without_them(zorblax):
    guest = await new_talk()
    name = await User.objects.values_list("username", flat=True).aget(pk=guest.user_id)
    shared = Talk(await services.create_conversation(user_id=str(zorblax.pk), title="shared"), str(zorblax.pk))
    await memberships.invite_member(**about(shared), username=name, once="i")
    await say(shared, text="for both")
    await erase(zorblax)
    await archive_all()
    mine = Talk(shared.conversation_id, guest.user_id)
    await say(mine, text="still here")
    members = (await log.read_snapshot(mine.conversation_id, mine.user_id, reason="new")).members
    assert members == {guest.user_id: "owner"}
    assert (await Conversation.objects.aget(pk=shared.conversation_id)).owner_id == int(guest.user_id)
    assert not await Member.objects.filter(user_id=zorblax.pk).aexists()
    assert await Message.objects.filter(conversation_id=shared.conversation_id, content="for both 0").aexists()
    rows, found = await left_of(zorblax)
    # What is left is the shared log's own: who came and went.
    assert {(model, shared.conversation_id.replace("-", "") in text.replace("-", "")) for model, text in rows} == {
        ("Event", True)
    }
    assert {key.decode() for key in found} == {keys.log(shared.conversation_id)}


@pytest.mark.parametrize("where", ["person.left", "erase.keys_gone", "person.rights_gone"])
async def test_a_kill_in_between_leaves_nothing_behind(zorblax, where):
    await sync_to_async(begin_erasing)(zorblax)
    await User.objects.filter(pk=zorblax.pk).aupdate(erasing_since=timezone.now() - timedelta(minutes=1))
    await kill_at(where, "archive")
    for _ in range(2):
        await Archiver("a").run_once()
    assert await left_of(zorblax) == ([], [])


async def test_a_conversation_that_was_deleted_a_moment_before_goes_too(zorblax):
    talk = Talk(await services.create_conversation(user_id=str(zorblax.pk), title="quuxword"), str(zorblax.pk))
    await services.delete_conversation(**about(talk), device_id="phone")
    await erase(zorblax)
    assert await left_of(zorblax) == ([], [])


async def test_more_than_a_pass_takes_is_erased_in_several(zorblax, monkeypatch):
    monkeypatch.setattr("conversations.erasing_people.MOST_CONVERSATIONS", 1)
    await erase(zorblax, passes=1)
    assert await User.objects.filter(pk=zorblax.pk).aexists()
    await erase(zorblax, passes=4)
    assert await left_of(zorblax) == ([], [])


def test_the_page_asks_who_it_is_and_for_the_name_and_then_does_it():
    ada = User.objects.create_user("ada", password=PASSWORD)
    browser = Client()
    browser.post("/login/", {"login": "ada", "password": PASSWORD})
    assert browser.post("/account/delete/", {"username": "ada"})["Location"].startswith("/reauthenticate/")
    browser.post("/reauthenticate/", {"password": PASSWORD})
    assert 'class="wrong"' in browser.post("/account/delete/", {"username": "eve"}).content.decode()
    assert browser.post("/account/delete/", {"username": "ada"})["Location"] == "/account/deleted/"
    ada.refresh_from_db()
    assert (ada.is_active, ada.erasing_since is not None) == (False, True)
    assert browser.get("/").status_code == 302
    # A link from elsewhere must not empty the browser of whoever is signed out and has texts to send.
    scripts = [b"leaving.js" in each.get("/account/deleted/").content for each in (browser, browser, Client())]
    assert scripts == [True, False, False]
