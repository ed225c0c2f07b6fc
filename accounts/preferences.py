"""What a person has chosen, from the next page on: language, time zone. (The theme is the template's.)"""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone, translation
from django.utils.deprecation import MiddlewareMixin
from django.views.i18n import set_language

from conversations.models import User


class PreferencesMiddleware(MiddlewareMixin):
    """Puts the language of who is signed in before the browser's, and shows times in their zone."""

    def process_request(self, request: HttpRequest) -> None:
        user = request.user
        if user.is_authenticated and user.language:
            translation.activate(user.language)
            request.LANGUAGE_CODE = translation.get_language()
        zone = zone_named(user.time_zone) if user.is_authenticated else None
        if zone is None:
            timezone.deactivate()
        else:
            timezone.activate(zone)


def zone_named(name: str) -> ZoneInfo | None:
    """Return the zone; None for an empty name, and for one that this machine does not know (any more)."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


def choose_language(request: HttpRequest) -> HttpResponseBase:
    """Django's own view, which keeps the choice in a cookie; and in the account of who is signed in."""
    chosen = request.POST.get("language", "")
    if request.user.is_authenticated and chosen in dict(settings.LANGUAGES):
        User.objects.filter(pk=request.user.pk).update(language=chosen)
    return set_language(request)
