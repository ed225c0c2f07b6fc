"""Pages of one's own: profile, devices, tokens, and the end of the account."""

from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from conversations import devices as known_devices
from conversations import feed
from conversations.erasing_people import begin_erasing
from conversations.errors import Forbidden
from conversations.models import Member, Token, User
from conversations.threads import in_database
from conversations.tokens import create_token, revoke_token
from realtime.registry import Registry

from .agents import name_of_agent
from .forms import DeletionForm, PreferencesForm, TokenForm

# A cookie for the one page that follows the end of an account.
GONE = "tether_gone"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def profile(request: HttpRequest) -> HttpResponse:
    """Who one is here, and how pages look; takes effect with the next page."""
    user = _user(request)
    form = PreferencesForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        user.save(update_fields=form.Meta.fields)
        with translation.override(user.language or translation.get_language()):
            messages.success(request, _("Saved."))
        response = redirect("profile")
        if user.language:  # for the pages from before a sign-in
            response.set_cookie(settings.LANGUAGE_COOKIE_NAME, user.language, samesite="Lax")
        return response
    return render(request, "accounts/profile.html", {"form": form})


@require_safe
@never_cache
@login_required
async def devices(request: HttpRequest) -> HttpResponse:
    """Where one is signed in: devices that were connected, and logins that never opened a conversation."""
    user = _user(request, await request.auser())
    here = {device["device_id"] for device in await Registry("").devices(str(user.pk))}
    current = request.session.session_key or ""
    rows, logins = await in_database(_signed_in, user, current, here)
    return await in_database(lambda: render(request, "accounts/devices.html", {"devices": rows, "logins": logins}))


def _signed_in(user: User, current: str, here: set[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    known = known_devices.list_devices(user)
    rows = [
        {"device": each, "is_here": each.device_id in here, "is_current": each.session_key == current} for each in known
    ]
    named = {each.session_key for each in known}
    logins = [
        {"login": each, "name": name_of_agent(each.user_agent), "is_current": each.session_key == current}
        for each in UserSession.objects.purge_and_list(user)
        if each.session_key not in named
    ]
    return rows, logins


@require_POST
@login_required
async def sign_out_device(request: HttpRequest) -> HttpResponse:
    """End a device's login, its token and its connections, on every node."""
    user, device_id = _user(request, await request.auser()), request.POST.get("device_id", "")
    try:
        await in_database(lambda: known_devices.revoke_device(user=user, device_id=device_id))
    except Forbidden:
        raise Http404 from None
    await feed.push(str(user.pk), "device.revoked", {"device_id": device_id})
    messages.success(request, _("Signed out there."))
    return redirect("devices")


@require_POST
@login_required
def sign_out_login(request: HttpRequest) -> HttpResponse:
    """End a login that belongs to no device."""
    login = UserSession.objects.filter(user=_user(request), pk=_number(request.POST.get("login"))).first()
    if login is None:
        raise Http404
    login.end()
    messages.success(request, _("Signed out there."))
    return redirect("devices")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
@reauthentication_required(allow_get=True)  # type: ignore[untyped-decorator]  # allauth declares no types
def tokens(request: HttpRequest) -> HttpResponse:
    """Bearer tokens for programs. A new one is shown in the answer to its form, and never again."""
    user, form = _user(request), TokenForm(request.POST or None)
    shown = ""
    if request.method == "POST" and form.is_valid():
        shown, form = create_token(user=user, name=form.cleaned_data["name"]), TokenForm()
    rows = Token.objects.filter(user=user, revoked_at=None).order_by("-pk")
    return render(request, "accounts/tokens.html", {"form": form, "tokens": rows, "shown": shown})


@require_POST
@login_required
def revoke(request: HttpRequest) -> HttpResponse:
    token = Token.objects.filter(user=_user(request), pk=_number(request.POST.get("token"))).first()
    if token is None:
        raise Http404
    revoke_token(token=token)
    messages.success(request, _("The token was revoked."))
    return redirect("tokens")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
@reauthentication_required()  # type: ignore[untyped-decorator]  # allauth declares no types
def delete(request: HttpRequest) -> HttpResponse:
    """End the account, after the password (or what stands for it) and the name."""
    user = _user(request)
    form = DeletionForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        begin_erasing(user)
        logout(request)
        response = redirect("deleted")
        response.set_cookie(GONE, "1", max_age=60, path=reverse("deleted"), httponly=True, samesite="Lax")
        return response
    mine = Member.objects.filter(user=user, left_seq=None, conversation__status="active")
    others = Member.objects.filter(conversation__in=mine.values("conversation"), left_seq=None).exclude(user=user)
    context = {"form": form, "count": mine.count(), "shared": others.values("conversation").distinct().count()}
    return render(request, "accounts/delete.html", context)


@require_safe
@never_cache
def deleted(request: HttpRequest) -> HttpResponse:
    """Say so; right after it was done, and only then, let the browser forget what it kept of the person."""
    response = render(request, "accounts/deleted.html", {"is_gone": request.COOKIES.get(GONE) == "1"})
    response.delete_cookie(GONE, path=reverse("deleted"))
    return response


def _user(request: HttpRequest, user: Any = None) -> User:
    user = user or request.user
    assert isinstance(user, User)  # login_required
    return user


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
