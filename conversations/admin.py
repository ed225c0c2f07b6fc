"""The admin: people and their keys can be changed; what the log decides can only be read."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from .devices import revoke_device
from .models import Conversation, Device, Event, Installation, Member, Message, Token, Turn, User
from .tokens import digest_of, new_token_text, revoke_token

COUNTED = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    """Counts to 10,000 and no further: a page of millions of rows costs what a page of few does."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:COUNTED].count()


class BigTableAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50


class ReadOnlyAdmin(BigTableAdmin):
    """For copies of the log: changed here, they would only lie. A UUID in the search box finds by id."""

    id_fields: tuple[str, ...] = ("pk",)

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        try:
            wanted = UUID(search_term.strip())
        except ValueError:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(Q.create([(name, wanted) for name in self.id_fields], Q.OR)), False


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "email", "is_active", "is_staff", "last_login", "date_joined")
    list_filter = ("is_active", "is_staff", "is_superuser", "date_joined")
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (*(DjangoUserAdmin.fieldsets or ()), (_("Assistant"), {"fields": ("instructions",)}))
    actions = ("disable_users",)

    @admin.action(description=_("Disable selected users and close their connections"), permissions=["change"])
    def disable_users(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset.filter(is_active=True).exclude(username=request.user.get_username()):
            user.is_active = False
            user.save(update_fields=["is_active"])
            self.log_change(request, user, "disabled")


@admin.register(Token)
class TokenAdmin(BigTableAdmin):
    list_display = ("__str__", "user", "created_at", "last_used_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    fields = ("user", "name", "created_at", "last_used_at", "revoked_at")
    readonly_fields = ("created_at", "last_used_at", "revoked_at")
    autocomplete_fields = ("user",)
    actions = ("revoke_tokens",)

    def get_readonly_fields(self, request: HttpRequest, obj: Token | None = None) -> tuple[str, ...]:
        # Whoever holds the text would act for another user from then on.
        return self.readonly_fields if obj is None else ("user", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Token, form: Any, change: bool) -> None:
        text = "" if change else new_token_text()
        if text:
            obj.digest = digest_of(text)
        super().save_model(request, obj, form, change)
        if text:
            shown = _("The token, shown only this once: %(text)s") % {"text": text}
            self.message_user(request, shown, messages.WARNING)

    @admin.action(description=_("Revoke selected tokens"), permissions=["change"])
    def revoke_tokens(self, request: HttpRequest, queryset: QuerySet[Token]) -> None:
        for token in queryset:
            revoke_token(token=token)
            self.log_change(request, token, "revoked")


@admin.register(Device)
class DeviceAdmin(BigTableAdmin):
    list_display = ("__str__", "user", "device_id", "last_seen_at", "created_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "last_seen_at")
    list_select_related = ("user",)
    search_fields = ("name", "device_id", "user__username")
    fields = ("user", "device_id", "name", "token", "created_at", "last_seen_at", "revoked_at")
    readonly_fields = fields
    actions = ("revoke_devices",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.action(description=_("Sign out selected devices, their tokens and logins"), permissions=["change"])
    def revoke_devices(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        for device in queryset.select_related("user"):
            revoke_device(user=device.user, device_id=device.device_id)
            self.log_change(request, device, "revoked")


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
    list_display = ("__str__", "owner", "topic", "language", "status", "message_count", "last_active_at")
    list_filter = ("status", "language", "last_active_at")
    list_select_related = ("owner",)
    search_fields = ("title", "topic", "owner__username")
    ordering = ("-last_active_at", "id")
    inlines = (MemberInline,)


@admin.register(Member)
class MemberAdmin(ReadOnlyAdmin):
    list_display = ("conversation", "user", "role", "archived", "pinned", "read_seq", "left_seq")
    list_filter = ("role", "archived", "pinned", ("left_seq", admin.EmptyFieldListFilter))
    list_select_related = ("conversation", "user")
    search_fields = ("user__username", "conversation__title")
    id_fields = ("conversation_id",)


@admin.register(Turn)
class TurnAdmin(ReadOnlyAdmin):
    list_display = ("id", "conversation", "seq", "status", "attempts", "node", "queued_at", "finished_at")
    list_filter = ("status", "queued_at")
    list_select_related = ("conversation",)
    search_fields = ("node", "error", "conversation__title")
    ordering = ("-queued_at",)
    id_fields = ("pk", "conversation_id")


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("conversation", "seq", "kind", "epoch", "chain", "at")
    list_filter = ("kind",)
    list_select_related = ("conversation",)
    search_fields = ("kind", "chain", "conversation__title")
    search_help_text = _("a conversation's id, its title, a kind or a chain")
    ordering = ("-pk",)
    id_fields = ("conversation_id",)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = ("conversation", "seq", "role", "author", "status", "beginning", "at")
    list_filter = ("role", "status")
    list_select_related = ("conversation",)
    search_fields = ("content", "author", "device_id", "conversation__title")
    search_help_text = _("the id of a conversation, message or turn, or words of the content")
    ordering = ("-pk",)
    id_fields = ("conversation_id", "message_id", "turn_id")

    @admin.display(description=_("content"))
    def beginning(self, message: Message) -> str:
        return message.content[:80]


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    list_display = ("id", "created_at")
