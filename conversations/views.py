"""The pages: one shell for the list and for a conversation; everything after the first paint is the socket's."""

import re
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from . import first_paint, sharing, shell
from .errors import Unavailable
from .failing import translated_reasons
from .models import Conversation, Member, User
from .refusals import translated_refusals
from .words import WORDS


@require_safe
@never_cache
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """The list, and an invitation to start."""
    return _page(request, None)


@require_safe
@never_cache
@login_required
def conversation(request: HttpRequest, conversation_id: UUID) -> HttpResponse:
    """One conversation. 404 for strangers, so that nobody learns which ids exist."""
    seat = get_object_or_404(
        Member.objects.select_related("conversation"),
        conversation_id=conversation_id,
        user=request.user,
        left_seq=None,
        conversation__status=Conversation.Status.ACTIVE,
    )
    return _page(request, first_paint.show_conversation(seat.conversation))


@require_safe
@never_cache
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """What a link shows to whoever has it. Needs no script and no login, and nobody should find it by searching."""
    after = request.GET.get("after", "")
    try:
        found = sharing.read_shared(token, after=int(after) if re.fullmatch(r"[0-9]{1,15}", after) else 0)
    except Unavailable:
        return render(request, "503.html", status=503)
    if found is None:
        raise Http404
    context = {"transcript": found, "messages": first_paint.paint_shared(found)}
    answer = render(request, "conversations/shared.html", context)
    answer["X-Robots-Tag"] = "noindex, nofollow"
    answer["Referrer-Policy"] = "no-referrer"
    return answer


def _page(request: HttpRequest, shown: dict[str, Any] | None) -> HttpResponse:
    user = request.user
    assert isinstance(user, User)  # login_required
    conversations = first_paint.list_conversations(user)
    start = {
        "user": {"id": str(user.pk), "username": user.get_username()},
        "conversation": shown,
        "conversations": conversations,
        # Reasons of failures stand in the log in English: by those they are found.
        "words": {key: str(words) for key, words in WORDS.items()} | translated_reasons() | translated_refusals(),
    }
    context = {
        "start": start,
        "shown": shown,
        "painted": first_paint.paint(shown) if shown else [],
        "conversations": conversations,
        "modules": shell.page_modules(),
    }
    return render(request, "conversations/page.html", context)
