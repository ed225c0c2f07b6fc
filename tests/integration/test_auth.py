"""Who may come in: real tokens and logins, the real database."""

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from conversations.devices import Credential, list_devices, revoke_device
from conversations.errors import Forbidden, Unauthenticated
from conversations.models import Device, Token, User
from conversations.tokens import create_token, find_token, revoke_token
from realtime.auth import DEVICES_KEPT, Identity, admit_device, identify
from realtime.recheck import find_ended

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ORIGIN = "https://chat.example.org"


@pytest.fixture(autouse=True)
def one_page(settings):
    settings.ALLOWED_ORIGINS = [ORIGIN]


@pytest.fixture
def ana():
    return User.objects.create_user("ana")


@pytest.fixture
def browser(ana):
    browser = Client()
    browser.force_login(ana)
    return browser


def scope(*, cookie=None, origin=None, authorization=None, query=b""):
    headers = {b"cookie": cookie, b"origin": origin, b"authorization": authorization}
    given = [(name, value.encode()) for name, value in headers.items() if value is not None]
    return {"type": "websocket", "headers": given, "query_string": query, "client": ("127.0.0.1", 1)}


def cookie(browser):
    return f"theme=dark; sessionid={browser.cookies['sessionid'].value}"


token_of = sync_to_async(create_token)
tokens = Token.objects


async def refused(error, *args, **kwargs):
    with pytest.raises(error):
        await identify(scope(**kwargs), *args)


async def test_a_bearer_token_in_the_header_comes_in_from_any_origin(ana):
    text = await token_of(user=ana)
    found = await identify(scope(authorization=f"Bearer {text}", origin="https://elsewhere.org"), None)
    token = await tokens.aget()
    assert found == Identity(str(ana.pk), "ana", token_id=token.pk)


async def test_a_bearer_token_in_the_first_frame_comes_in(ana):
    text = await token_of(user=ana)
    assert (await identify(scope(), text)).user_id == str(ana.pk)


async def test_the_header_counts_before_the_frame_and_both_before_the_cookie(ana, browser):
    text = await token_of(user=ana)
    login = {"cookie": cookie(browser), "origin": ORIGIN}
    await refused(Unauthenticated, text, authorization="Bearer wrong", **login)
    await refused(Unauthenticated, "wrong", **login)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "wrong", "Bearer \xff"])
async def test_a_header_that_is_no_good_token_is_refused_even_beside_a_good_login(browser, header):
    await refused(Unauthenticated, None, authorization=header, cookie=cookie(browser), origin=ORIGIN)


@pytest.mark.parametrize("text", ["", "wrong", "\x00", "\ud800", "x" * 10_000])
async def test_a_wrong_token_in_the_frame_is_refused(text):
    await refused(Unauthenticated, text)


async def test_a_token_in_the_address_is_never_read(ana):
    text = await token_of(user=ana)
    await refused(Unauthenticated, None, query=f"token={text}&access_token={text}".encode())


async def test_nobody_is_refused():
    await refused(Unauthenticated, None, origin=ORIGIN)


async def test_a_revoked_token_is_refused(ana):
    text = await token_of(user=ana)
    await sync_to_async(revoke_token)(token=await tokens.aget())
    await refused(Unauthenticated, text)


async def test_a_disabled_user_is_refused_however_he_comes(ana, browser):
    text = await token_of(user=ana)
    await User.objects.aupdate(is_active=False)
    await refused(Unauthenticated, text)
    await refused(Unauthenticated, None, cookie=cookie(browser), origin=ORIGIN)


async def test_a_login_comes_in_from_a_page_of_ours(ana, browser):
    found = await identify(scope(cookie=cookie(browser), origin=ORIGIN), None)
    assert found == Identity(str(ana.pk), "ana", session_key=browser.cookies["sessionid"].value)


@pytest.mark.parametrize("origin", [None, "null", "https://evil.org", ORIGIN + ":8443", "http://chat.example.org"])
async def test_a_login_from_another_page_is_forbidden(browser, origin):
    await refused(Forbidden, None, cookie=cookie(browser), origin=origin)


async def test_two_origins_are_none(browser):
    wish = scope(cookie=cookie(browser), origin=ORIGIN)
    wish["headers"].append((b"origin", b"https://evil.org"))
    with pytest.raises(Forbidden):
        await identify(wish, None)


@pytest.mark.parametrize("key", ["", "short", "a" * 32, "%00" * 10, "\x00" * 10])
async def test_a_login_that_does_not_exist_is_refused(key):
    await refused(Unauthenticated, None, cookie=f"sessionid={key}", origin=ORIGIN)


async def test_a_login_that_is_over_is_refused(browser):
    before = cookie(browser)
    await sync_to_async(browser.logout)()
    await refused(Unauthenticated, None, cookie=before, origin=ORIGIN)


async def test_a_login_from_before_a_new_password_is_refused(ana, browser):
    ana.set_password("another horse")
    await ana.asave()
    await refused(Unauthenticated, None, cookie=cookie(browser), origin=ORIGIN)


@pytest.mark.parametrize("key", [SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY])
async def test_a_session_without_a_whole_login_is_refused(browser, key):
    def spoil():
        session = browser.session
        del session[key]
        session.save()

    await sync_to_async(spoil)()
    await refused(Unauthenticated, None, cookie=cookie(browser), origin=ORIGIN)


async def test_a_login_survives_a_new_secret_and_keeps_its_key(settings, ana, browser):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "n" * 50
    for _ in range(2):
        assert (await identify(scope(cookie=cookie(browser), origin=ORIGIN), None)).user_id == str(ana.pk)


async def test_only_a_digest_of_a_token_is_kept_and_its_use_is_noted(ana):
    text = await token_of(user=ana, name="laptop")
    await identify(scope(), text)
    token = await tokens.aget()
    assert (len(text), len(token.digest), text in token.digest) == (43, 64, False)
    assert timezone.now() - token.last_used_at < timedelta(minutes=1)
    assert (await sync_to_async(find_token)(text)).user == ana


async def with_token(user):
    return await identify(scope(), await token_of(user=user))


async def test_a_device_is_known_once_it_came(ana):
    who = await with_token(ana)
    await admit_device(who, device_id="phone", name="")
    await admit_device(who, device_id="phone", name="Ana's phone\0")
    await admit_device(who, device_id="phone", name="")
    device = await Device.objects.aget()
    assert (device.name, device.token_id, device.user_id) == ("Ana's phone", who.token_id, ana.pk)


async def test_the_same_device_id_of_two_users_is_two_devices(ana):
    ben = await User.objects.acreate_user("ben")
    for user in (ana, ben):
        await admit_device(await with_token(user), device_id="phone", name="")
    assert await Device.objects.acount() == 2


async def test_a_revoked_device_loses_its_token_and_its_login(ana, browser):
    who = await with_token(ana)
    login = await identify(scope(cookie=cookie(browser), origin=ORIGIN), None)
    await admit_device(who, device_id="phone", name="")
    await admit_device(login, device_id="phone", name="")
    await sync_to_async(revoke_device)(user=ana, device_id="phone")
    for identity in (who, login):
        with pytest.raises(Unauthenticated):
            await admit_device(identity, device_id="other", name="")
    await refused(Unauthenticated, None, cookie=cookie(browser), origin=ORIGIN)
    assert await sync_to_async(list_devices)(ana) == []


@pytest.mark.parametrize("kind", ["token", "login"])
async def test_what_whoever_asks_came_in_with_outlives_the_device(ana, browser, kind):
    cookies = scope(cookie=cookie(browser), origin=ORIGIN)
    shared = await with_token(ana) if kind == "token" else await identify(cookies, None)
    await admit_device(shared, device_id="phone", name="")
    spared = Credential(shared.token_id, shared.session_key)
    await sync_to_async(revoke_device)(user=ana, device_id="phone", spared=spared)
    await admit_device(shared, device_id="desk", name="")
    with pytest.raises(Unauthenticated):
        await admit_device(shared, device_id="phone", name="")


async def test_a_revoked_device_stays_out_with_a_token_from_before(ana):
    who, other = await with_token(ana), await with_token(ana)
    await admit_device(who, device_id="phone", name="")
    await sync_to_async(revoke_device)(user=ana, device_id="phone")
    with pytest.raises(Unauthenticated):
        await admit_device(other, device_id="phone", name="")


async def test_a_revoked_device_comes_back_with_a_new_login(ana, browser):
    await admit_device(await with_token(ana), device_id="phone", name="")
    await sync_to_async(revoke_device)(user=ana, device_id="phone")
    await sync_to_async(browser.force_login)(ana)
    login = await identify(scope(cookie=cookie(browser), origin=ORIGIN), None)
    await admit_device(login, device_id="phone", name="")
    assert len(await sync_to_async(list_devices)(ana)) == 1


async def test_what_ended_between_the_door_and_the_seat_is_refused(ana):
    who = await with_token(ana)
    await sync_to_async(revoke_token)(token=await tokens.aget())
    with pytest.raises(Unauthenticated):
        await admit_device(who, device_id="phone", name="")


async def test_a_stranger_cannot_revoke_a_device(ana):
    ben = await User.objects.acreate_user("ben")
    await admit_device(await with_token(ana), device_id="phone", name="")
    with pytest.raises(Forbidden):
        await sync_to_async(revoke_device)(user=ben, device_id="phone")


async def test_a_client_with_a_new_name_each_time_does_not_fill_the_table(ana):
    who = await with_token(ana)
    before = [Device(user=ana, device_id=f"d{n}", last_seen_at=timezone.now()) for n in range(DEVICES_KEPT)]
    await Device.objects.abulk_create(before)
    await admit_device(who, device_id="newest", name="")
    kept = {device.device_id for device in await sync_to_async(list_devices)(ana)}
    assert (len(kept), "newest" in kept, "d0" in kept) == (DEVICES_KEPT, True, False)


async def test_who_is_connected_and_lost_the_right_in_silence_is_found(ana, browser):
    ben = await User.objects.acreate_user("ben")
    kept, lost, disabled = await with_token(ana), await with_token(ana), await with_token(ben)
    login = await identify(scope(cookie=cookie(browser), origin=ORIGIN), None)
    assert await find_ended({kept, lost, disabled, login}) == set()
    await tokens.filter(pk=lost.token_id).aupdate(revoked_at=timezone.now())
    await User.objects.filter(pk=ben.pk).aupdate(is_active=False)
    await Session.objects.aupdate(expire_date=timezone.now())
    assert await find_ended({kept, lost, disabled, login}) == {lost, disabled, login}
