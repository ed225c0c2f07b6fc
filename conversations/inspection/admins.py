"""The admin's classes for the copies of the log, and the pages that look at both sides."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from .. import search
from ..audit import journal
from ..audit.entry import Action, AuditEntry
from ..audit.pseudonyms import pseudonym
from ..errors import Unavailable
from ..models import Conversation, Event, Installation, Member, Message, Rating, Turn, User
from . import content, views
from .base import ReadOnlyAdmin
from .footprint import Footprint, read_footprints

MOST_FOUND = 500
WITHOUT_REDIS = _("Redis does not answer: what only it knows is missing on this page.")


class MemberInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Member
    fields = ("user", "role", "joined_seq", "left_seq", "archived", "pinned", "read_seq")
    readonly_fields = fields
    can_delete = False
    extra = 0
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        return super().get_queryset(request).select_related("user")


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    list_display = (
        "timeline",
        "owner",
        "state",
        "head",
        "lag",
        "checkpoints",
        "in_redis",
        "message_count",
        "last_active_at",
    )
    list_select_related = ("owner",)
    search_help_text = _("a conversation's id, or the exact name of somebody who is in it")
    ordering = ("-last_active_at", "id")
    list_display_links = None
    inlines = (MemberInline,)
    content_fields = ("title", "topic", "preview", "instructions")
    change_list_template = "admin/inspection/conversations.html"

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site.admin_view
        own = [
            path("content/", site(views.switch_content), name="inspection_content"),
            path("charts/", site(views.show_charts), name="inspection_charts"),
            path("<uuid:conversation_id>/timeline/", site(views.show_timeline), name="inspection_timeline"),
        ]
        return own + super().get_urls()

    def conversation_of(self, row: Conversation) -> Any:
        return row.pk

    def find_words(self, request: HttpRequest, queryset: QuerySet[Any], words: str) -> QuerySet[Any]:
        user = User.objects.filter(username=words).values_list("pk", flat=True).first()
        # Through the members' index first; the rest are the conversations of one person.
        seats = Member.objects.filter(user_id=user).values("conversation_id") if user else Member.objects.none()
        return queryset.filter(pk__in=seats) if user else queryset.none()

    def prepare_page(self, request: HttpRequest, rows: list[Conversation]) -> list[Conversation]:
        rows = super().prepare_page(request, rows)
        found: dict[str, Footprint] = {}
        try:
            found = read_footprints(rows)
        except Unavailable:
            messages.warning(request, str(WITHOUT_REDIS))
        for row in rows:
            row.footprint = found.get(str(row.pk))  # type: ignore[attr-defined]
        return rows

    @admin.display(description=_("conversation"), ordering="id")
    def timeline(self, row: Conversation) -> str:
        return format_html(
            '<a href="{}"><code>{}</code></a>', reverse("admin:inspection_timeline", args=[row.pk]), row.pk
        )

    @admin.display(description=_("state"))
    def state(self, row: Any) -> str:
        found: Footprint | None = row.footprint
        if found is None or row.status != Conversation.Status.ACTIVE:
            return str(row.get_status_display())
        if found.state:
            return str(_("active"))
        return str(_("parked")) if found.parked else str(_("not in Redis"))

    @admin.display(description=_("head"))
    def head(self, row: Any) -> str:
        found: Footprint | None = row.footprint
        if found is not None and found.state:
            return f"{found.epoch}:{found.seq}"
        return f"{row.epoch}:{row.archived_seq}"

    @admin.display(description=_("archive lag"), empty_value="–")
    def lag(self, row: Any) -> str | None:
        found: Footprint | None = row.footprint
        if found is None:
            return None
        return f"{found.lag} · {found.lag_ms / 1000:.1f} s" if found.lag else "0"

    @admin.display(description=_("checkpoints"), empty_value="–")
    def checkpoints(self, row: Any) -> int | None:
        return row.footprint.checkpoints if row.footprint is not None else None

    @admin.display(description=_("bytes in Redis"), empty_value="–")
    def in_redis(self, row: Any) -> str | None:
        return f"{row.footprint.redis_bytes:,}" if row.footprint is not None else None


@admin.register(Member)
class MemberAdmin(ReadOnlyAdmin):
    list_display = ("conversation_id", "user", "role", "archived", "pinned", "read_seq", "left_seq")
    list_select_related = ("user",)
    search_help_text = _("a conversation's id, or the exact name of somebody who is in it")
    ordering = ("-pk",)
    id_fields = ("conversation_id",)
    content_fields = ("draft",)

    def find_words(self, request: HttpRequest, queryset: QuerySet[Any], words: str) -> QuerySet[Any]:
        user = User.objects.filter(username=words).values_list("pk", flat=True).first()
        return queryset.filter(user_id=user) if user else queryset.none()


@admin.register(Turn)
class TurnAdmin(ReadOnlyAdmin):
    list_display = ("id", "conversation_id", "seq", "status", "attempts", "node", "queued_at", "finished_at")
    ordering = ("-queued_at",)
    search_help_text = _("the id of a turn or of its conversation")
    id_fields = ("pk", "conversation_id")
    change_list_template = "admin/inspection/turns.html"

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site.admin_view
        own = [
            path("attention/", site(views.show_attention), name="inspection_attention"),
            path("control/", site(views.control_turn), name="inspection_control"),
        ]
        return own + super().get_urls()


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("conversation_id", "seq", "kind", "epoch", "chain", "at")
    ordering = ("-pk",)
    id_fields = ("conversation_id",)
    content_fields = ("body",)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = ("conversation_id", "seq", "role", "author", "status", "at")
    search_help_text = _("the id of a conversation or message; while content is shown, words that were said")
    ordering = ("-pk",)
    id_fields = ("conversation_id", "message_id")
    content_fields = ("content",)

    def get_list_display(self, request: HttpRequest) -> Any:
        return (*self.list_display, "beginning") if content.is_open(request) else self.list_display

    @admin.display(description=_("content"))
    def beginning(self, message: Message) -> str:
        return message.content[:200]

    def find_words(self, request: HttpRequest, queryset: QuerySet[Any], words: str) -> QuerySet[Any]:
        """Find by the index that people search in, the newest 500; only while content is shown."""
        if not content.is_open(request):
            messages.info(request, str(_("Words are searched only while content is shown.")))
            return queryset.none()
        journal.record(Action.CONTENT_SEARCHED, words=len(words.split()))
        return queryset.filter(pk__in=search.find_anywhere(words, MOST_FOUND))


@admin.register(Rating)
class RatingAdmin(ReadOnlyAdmin):
    list_display = ("conversation_id", "seq", "rating", "user", "at")
    list_select_related = ("user",)
    search_help_text = _("the id of a conversation or message")
    ordering = ("-pk",)
    id_fields = ("conversation_id", "message_id")
    content_fields = ("comment",)


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    list_display = ("id", "created_at")

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site.admin_view
        own = [
            path("nodes/", site(views.show_nodes), name="inspection_nodes"),
            path("nodes/drain/", site(views.drain_node), name="inspection_drain"),
            path("notice/", site(views.send_notice), name="inspection_notice"),
            path("notice/take-back/", site(views.take_notice_back), name="inspection_notice_back"),
        ]
        return own + super().get_urls()


class ActionFilter(admin.ChoicesFieldListFilter):
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.title = _("action")  # type: ignore[assignment]


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("seq", "when", "what", "actor", "subject", "told")
    list_filter = (("action", ActionFilter),)
    search_help_text = _("a user's exact name or pseudonym, or a subject such as conversation:ID")
    ordering = ("-seq",)

    @admin.display(description=_("action"), ordering="action")
    def what(self, row: AuditEntry) -> str:
        return row.get_action_display()

    @admin.display(description=_("facts"))
    def told(self, row: AuditEntry) -> str:
        return ", ".join(f"{name}: {fact}" for name, fact in json.loads(row.facts).items()) or "–"

    @admin.display(description=_("time"))
    def when(self, row: AuditEntry) -> str:
        return f"{timezone.localtime(row.at):%Y-%m-%d %H:%M:%S}"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = [term, f"user:{term}", f"conversation:{term}"]
        if user := User.objects.filter(username=term).values_list("pk", flat=True).first():
            wanted += [pseudonym("user", str(user)), journal.person(user)]
        return queryset.filter(Q(actor__in=wanted) | Q(subject__in=wanted)), False
