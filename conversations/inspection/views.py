"""The admin's own pages. Each asks for its right first; what is changed is changed by POST and comes back to a page."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from .. import notices
from ..audit import journal
from ..audit.entry import Action
from ..errors import TetherError, Unavailable
from ..models import Conversation, Device, User
from . import attention, charts, consistency, content, nodes, operating
from .forms import LEVELS, NoticeForm
from .live import Live, read_live
from .timeline import load_page

MOST_DEVICES = 50

View = TypeVar("View", bound=Callable[..., HttpResponse])


def needs(permission: str) -> Callable[[View], View]:
    """Refuse with 403 without the right; whoever is no operator was sent to the sign-in before."""
    return permission_required(f"conversations.{permission}", raise_exception=True)


def _page(request: HttpRequest, template: str, title: str, **more: Any) -> TemplateResponse:
    context = {**admin.site.each_context(request), "title": title, **more}
    return TemplateResponse(request, f"admin/inspection/{template}.html", context)


def _back(request: HttpRequest, otherwise: str) -> HttpResponseRedirect:
    """Return to the page that a button was pressed on."""
    wanted = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
        wanted = reverse(otherwise)
    return redirect(wanted)


def _attempt(request: HttpRequest, work: Callable[[], Any], said: str) -> None:
    """Do it, and tell how it went in words. Services refuse in English; who looks here gets their own language."""
    try:
        work()
    except TetherError as error:
        messages.error(request, _(error.message))
    else:
        messages.success(request, said)


# -- content


@require_POST
def switch_content(request: HttpRequest) -> HttpResponse:
    if request.POST.get("show"):
        content.open_content(request)
    else:
        content.close_content(request)
    return _back(request, "admin:index")


# -- one conversation


@needs("view_conversation")
def show_timeline(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """One page of the log of a conversation; by POST with what the consistency check finds."""
    row = get_object_or_404(Conversation.objects.select_related("owner"), pk=conversation_id)
    report = _report(request, row) if request.method == "POST" else None
    before = request.GET.get("before", "")
    page = load_page(row, int(before) if before.isdecimal() and len(before) < 16 else None)
    is_open = content.is_open(request)
    if is_open:
        content.look(request, [row.pk])
    live: Live | None = None
    if page.is_whole:
        try:
            live = read_live(str(row.pk))
        except Unavailable:
            page.is_whole = False
    users = {str(member) for member in (live.members if live else ())} | {str(row.owner_id)}
    users |= {value for item in page.items for name, value in item.facts if name in ("author", "user_id", "owner")}
    return _page(
        request,
        "timeline",
        _("Timeline"),
        row=row,
        page=page,
        live=live,
        report=report,
        before=before,
        is_open=is_open,
        can_open_content=True,
        names=_names(users),
        devices=_devices(live, row),
    )


def _report(request: HttpRequest, row: Conversation) -> consistency.Report | None:
    below = request.POST.get("below", "")
    try:
        report = consistency.check(str(row.pk), int(below) if below.isdecimal() else None)
    except Unavailable:
        messages.error(request, _("Redis does not answer: nothing was compared."))
        return None
    subject = f"conversation:{row.pk}"
    journal.record(Action.LOG_CHECKED, subject=subject, entries=report.entries, findings=len(report.findings))
    return report


def _names(user_ids: set[str]) -> dict[str, str]:
    known = User.objects.filter(pk__in=[int(each) for each in user_ids if each.isdecimal()])
    return {str(pk): name for pk, name in known.values_list("pk", "username")}


def _devices(live: Live | None, row: Conversation) -> list[dict[str, Any]]:
    """Return the members' devices, those that are connected with their nodes."""
    members = [int(each) for each in live.members] if live and live.members else [row.owner_id]
    here: dict[tuple[str, str], list[Any]] = {}
    for each in live.devices if live else []:
        here.setdefault((each.user_id, each.device_id), []).append(each)
    known = Device.objects.filter(user_id__in=members).select_related("user").order_by("-last_seen_at", "-pk")
    return [
        {"device": device, "leases": here.get((str(device.user_id), device.device_id), [])}
        for device in known[:MOST_DEVICES]
    ]


# -- turns


@require_safe
@needs("view_turn")
def show_attention(request: HttpRequest) -> HttpResponse:
    """Turns that wait for a person, and turns that have failed."""
    page = request.GET.get("page", "1")
    waiting, owners = None, {}
    try:
        waiting = attention.read_waiting(int(page) if page.isdecimal() and len(page) < 8 else 1)
        owners = attention.owners_of([each.conversation_id for each in waiting.turns])
    except Unavailable:
        messages.warning(request, _("Redis does not answer: which turns wait is not known just now."))
    failed = attention.read_failed(request.GET.get("before", ""))
    return _page(
        request,
        "attention",
        _("Turns that need somebody"),
        waiting=waiting,
        owners=owners,
        failed=failed,
        before=request.GET.get("before", ""),
    )


@require_POST
@needs("control_turns")
def control_turn(request: HttpRequest) -> HttpResponse:
    turn_id = str(_uuid(request.POST.get("turn", "")))
    if request.POST.get("verb") == "retry":
        _attempt(request, lambda: operating.retry_turn(turn_id), _("The turn is tried again."))
    else:
        conversation_id = str(_uuid(request.POST.get("conversation", "")))
        _attempt(request, lambda: operating.cancel_turn(conversation_id, turn_id), _("The turn is cancelled."))
    return _back(request, "admin:inspection_attention")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


# -- nodes


@require_safe
@needs("view_installation")
def show_nodes(request: HttpRequest) -> HttpResponse:
    overview = None
    try:
        overview = nodes.read_overview()
    except Unavailable:
        messages.warning(request, _("Redis does not answer: which nodes are there is not known just now."))
    return _page(request, "nodes", _("Nodes"), overview=overview)


@require_POST
@needs("drain_nodes")
def drain_node(request: HttpRequest) -> HttpResponse:
    name = request.POST.get("node", "")
    said = _("The node %(node)s takes no more, hands its turns back and ends.") % {"node": name}
    _attempt(request, lambda: operating.drain_node(name), said)
    return _back(request, "admin:inspection_nodes")


@needs("send_notices")
def send_notice(request: HttpRequest) -> HttpResponse:
    form = NoticeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            told = operating.send_notice(
                form.cleaned_data["message"],
                form.cleaned_data["level"],
                form.cleaned_data["people"],
                form.cleaned_data["hours"],
            )
        except TetherError as error:
            form.add_error(None, _(error.message))
        else:
            if form.cleaned_data["people"]:
                messages.success(request, _("Sent to %(count)d people.") % {"count": told})
            else:
                messages.success(request, _("Sent to everybody on %(count)d nodes.") % {"count": told})
            return redirect("admin:inspection_notice")
    try:
        standing = notices.standing()
    except Unavailable:
        standing = []
        messages.warning(request, _("Redis does not answer: which notices stand is not known just now."))
    return _page(request, "notice", _("Send a notice"), form=form, standing=standing, levels=dict(LEVELS))


@require_POST
@needs("send_notices")
def take_notice_back(request: HttpRequest) -> HttpResponse:
    notice_id = str(_uuid(request.POST.get("notice", "")))
    _attempt(request, lambda: operating.take_notice_back(notice_id), _("The notice is taken back."))
    return redirect("admin:inspection_notice")


# -- numbers


@require_safe
@needs("view_turn")
def show_charts(request: HttpRequest) -> HttpResponse:
    hours = charts.last_day()
    totals = {"messages": sum(hour.messages for hour in hours), "turns": sum(hour.turns for hour in hours)}
    failed = sum(hour.failed for hour in hours)
    return _page(
        request,
        "charts",
        _("The last 24 hours"),
        hours=hours,
        charts=charts.charts_of(hours),
        totals=totals | {"failed": failed},
    )
