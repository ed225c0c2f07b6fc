"""What the admin's lists have in common: nothing in them grows with the table, and content is hidden until opened."""

from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from ..audit.receivers import record_admin
from . import content

COUNTED = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    """Counts to 10,000 and no further: a page of millions of rows costs what a page of few does."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:COUNTED].count()


class AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Every table's: nothing is found by what is hidden, and deletions are on record."""

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Django logs these in bulk, which sends no signal to the audit journal."""
        logged = super().log_deletions(request, queryset)
        for each in logged or []:
            record_admin(each)
        return logged

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what the filters offer: by any other column the address would tell, letter by letter, what is hidden."""
        named = (each[0] if isinstance(each, tuple) else each for each in self.get_list_filter(request))
        return lookup.partition("__")[0] in {str(name) for name in named}


class LetsInAdmin(AuditedAdmin):
    """For rows by which somebody may come in as another one, or gets rights: who may not see content makes none."""

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return content.may_let_in(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return content.may_let_in(request) and super().has_change_permission(request, obj)


class BigTableAdmin(AuditedAdmin):
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count whole tables
    list_per_page = 50


class PageList(ChangeList):
    """A page of a list, which its admin is shown whole before it is drawn."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = cast(ReadOnlyAdmin, self.model_admin).prepare_page(request, list(self.result_list))


class ReadOnlyAdmin(BigTableAdmin):
    """For copies of the log: changed here, they would only lie. A UUID in the search box finds by id."""

    change_list_template = "admin/inspection/wide.html"
    id_fields: ClassVar[tuple[str, ...]] = ("pk",)
    # Shown only to whoever has opened content; each page of it is recorded.
    content_fields: ClassVar[tuple[str, ...]] = ()
    search_fields = ("pk",)  # the box is there; what it finds stands in get_search_results
    search_help_text = _("a conversation's id")

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # -- content

    def conversation_of(self, row: Any) -> Any:
        return row.conversation_id

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = tuple(super().get_list_display(request))
        return shown + self.content_fields if content.is_open(request) else shown

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if content.is_open(request) else self.content_fields

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PageList

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> list[Any]:
        """Return the rows of one page as they are shown, in one go for all of them."""
        if self.content_fields and content.is_open(request):
            content.look(request, {self.conversation_of(row) for row in rows})
        return rows

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, self._offer(extra_context))

    def _offer(self, context: dict[str, Any] | None) -> dict[str, Any]:
        """Let the page offer to show content, where it has some."""
        return {**(context or {}), "can_open_content": bool(self.content_fields)}

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if self.content_fields and content.is_open(request):
            row = self.get_object(request, object_id)
            if row is not None:
                content.look(request, {self.conversation_of(row)})
        return super().change_view(request, object_id, form_url, self._offer(extra_context))

    # -- searching

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by id, else by words. Nothing is looked for in columns without an index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            wanted = UUID(term)
        except ValueError:
            return self.find_words(request, queryset, term), False
        return queryset.filter(Q.create([(name, wanted) for name in self.id_fields], Q.OR)), False

    def find_words(self, request: HttpRequest, queryset: QuerySet[Any], words: str) -> QuerySet[Any]:
        return queryset.none()
