"""Who must leave: every change that takes a right away reaches the stream and the channel layer."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AdminPasswordChangeForm
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from conversations import keys, store
from conversations.devices import revoke_device
from conversations.errors import Unavailable
from conversations.models import Device, Token, User
from conversations.revocations import KEPT, aannounce, announce, read_since
from conversations.tokens import create_token, revoke_token

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PASSWORD = "correct horse battery"


@pytest.fixture
def ana():
    return User.objects.create_user("ana", password=PASSWORD)


@pytest.fixture
def browser(ana):
    browser = Client()
    browser.force_login(ana)
    return browser


async def revoked_by(change, *args, **kwargs):
    """Return what this synchronous change announces, as (kind, value), once each."""
    start, _ = await read_since("")
    await sync_to_async(change)(*args, **kwargs)
    _, found = await read_since(start)
    return sorted({(entry["kind"], entry["value"]) for entry in found})


async def test_a_log_out_ends_its_login(browser):
    key = browser.session.session_key
    assert await revoked_by(browser.logout) == [("session", key)]


async def test_the_login_is_gone_before_its_end_is_announced_last(browser, monkeypatch):
    left = []

    def look(*, kind, user_id, value):
        left.append(browser.session.exists(value))

    monkeypatch.setattr("conversations.revocations.announce", look)
    await sync_to_async(browser.logout)()
    assert left[-1] is False


async def test_a_log_out_of_nobody_announces_nothing():
    assert await revoked_by(Client().logout) == []


async def test_a_login_deleted_by_hand_ends(browser):
    key = browser.session.session_key
    assert await revoked_by(browser.session.delete) == [("session", key)]


async def test_clearing_away_expired_logins_announces_nothing(browser):
    def expire():
        session = browser.session
        session.set_expiry(-1)
        session.save()

    await sync_to_async(expire)()
    assert await revoked_by(call_command, "clearsessions") == []


async def test_a_new_password_ends_everything_of_the_user(ana):
    ana.set_password("another horse battery")
    assert await revoked_by(ana.save) == [("user", "")]


async def test_a_new_password_by_a_form_ends_everything(ana):
    form = AdminPasswordChangeForm(ana, {"password1": "third horse battery", "password2": "third horse battery"})
    assert await sync_to_async(form.is_valid)()
    assert await revoked_by(form.save) == [("user", "")]


async def test_disabling_a_user_ends_everything_and_enabling_nothing(ana):
    ana.is_active = False
    assert await revoked_by(ana.save, update_fields=["is_active"]) == [("user", "")]
    assert await revoked_by(ana.save) == []
    ana.is_active = True
    assert await revoked_by(ana.save) == []


async def test_a_deleted_user_ends(ana):
    assert await revoked_by(ana.delete) == [("user", "")]


async def test_what_takes_no_right_away_announces_nothing(ana):
    ana.first_name = "Ana"
    assert await revoked_by(ana.save) == []
    assert await revoked_by(User.objects.create_user, "ben", password=PASSWORD) == []
    assert await revoked_by(create_token, user=ana) == []
    assert await revoked_by(authenticate, username="ana", password=PASSWORD) == []
    assert await revoked_by(Client().force_login, ana) == []


async def a_token(user):
    await sync_to_async(create_token)(user=user)
    return await Token.objects.alatest("pk")


async def test_a_revoked_token_ends_and_so_does_a_deleted_one(ana):
    token = await a_token(ana)
    key = str(token.pk)
    assert await revoked_by(revoke_token, token=token) == [("token", key)]
    assert await revoked_by(token.delete) == [("token", key)]


async def test_a_revoked_device_ends_with_its_token_and_its_login(ana, browser):
    token, key = await a_token(ana), browser.session.session_key
    await Device.objects.acreate(user=ana, device_id="phone", token=token, session_key=key)
    found = await revoked_by(revoke_device, user=ana, device_id="phone")
    assert found == [("device", "phone"), ("session", key), ("token", str(token.pk))]


async def test_revoking_again_announces_again(ana):
    await Device.objects.acreate(user=ana, device_id="phone")
    for _ in range(2):
        assert await revoked_by(revoke_device, user=ana, device_id="phone") == [("device", "phone")]


async def test_nothing_is_announced_before_the_commit_nor_after_a_rollback(ana):
    def change_and_look():
        with transaction.atomic():
            ana.set_password("another horse battery")
            ana.save()
            transaction.set_rollback(True)

    assert await revoked_by(change_and_look) == []


async def test_a_change_succeeds_without_redis(ana, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    ana.set_password("another horse battery")
    await ana.asave()
    assert (await User.objects.aget()).check_password("another horse battery")


async def test_an_announcement_without_redis_says_so(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(Unavailable):
        await sync_to_async(announce)(kind="user", user_id="7")


@pytest.fixture
async def listening():
    """The doorbell of user 7."""
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add("user.7", channel)

    async def next_message():
        # A fresh subscription may say first that something could have been missed.
        while (message := await layer.receive(channel))["type"] == "doubt":
            pass
        return message

    yield lambda: asyncio.wait_for(next_message(), 5)
    await layer.flush()


@pytest.mark.parametrize("way", [aannounce, sync_to_async(announce)])
async def test_an_announcement_rings_at_once_on_every_node(listening, way):
    await way(kind="device", user_id="7", value="phone")
    assert await listening() == {"type": "revoked", "kind": "device", "user_id": "7", "value": "phone"}


async def test_a_layer_that_fails_leaves_the_stream(settings, monkeypatch):
    async def fail(*_):
        raise OSError("gone")

    monkeypatch.setattr("conversations.revocations._ring", fail)
    start, _ = await read_since("")
    await aannounce(kind="token", user_id="7", value="3")
    await sync_to_async(announce)(kind="user", user_id="7")
    _, found = await read_since(start)
    assert found == [
        {"kind": "token", "user_id": "7", "value": "3"},
        {"kind": "user", "user_id": "7", "value": ""},
    ]


async def test_reading_goes_on_where_it_was_and_never_repeats():
    await aannounce(kind="user", user_id="1")
    at, found = await read_since("")
    assert found == []
    await aannounce(kind="user", user_id="2")
    at, found = await read_since(at)
    assert [entry["user_id"] for entry in found] == ["2"]
    assert await read_since(at) == (at, [])


async def test_a_node_that_starts_on_an_empty_stream_hears_the_first():
    at, _ = await read_since("")
    await aannounce(kind="user", user_id="1")
    assert len((await read_since(at))[1]) == 1


async def test_the_stream_stays_small():
    async with store.client().pipeline(transaction=False) as pipe:
        for _ in range(KEPT + 500):
            pipe.xadd(keys.REVOCATIONS, {"kind": "user", "user_id": "1", "value": ""})
        await pipe.execute()
    await aannounce(kind="user", user_id="1")
    assert KEPT <= await store.client().xlen(keys.REVOCATIONS) <= KEPT + 200


async def test_a_login_that_gets_a_new_key_ends_under_the_old_one(browser):
    # Else its connections would not hear the log-out, which names the new key.
    key = browser.session.session_key
    assert await revoked_by(browser.session.cycle_key) == [("session", key)]
