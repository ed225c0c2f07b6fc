"""How forms are shown: our words for the fields of allauth's forms, and labels where it has grey hints inside."""

from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.forms import BoundField
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

register = template.Library()

LABELS = {
    "LoginForm.login": _("User name"),
    "SignupForm.username": _("User name"),
    "SignupForm.email": _("E-mail, for a forgotten password (optional)"),
    "SignupForm.password1": _("Password"),
    "SignupForm.password2": _("Password, again"),
    "AddEmailForm.email": _("New e-mail address"),
    "ResetPasswordForm.email": _("E-mail"),
    "oldpassword": _("Current password"),
    "password": _("Password"),
    "password1": _("New password"),
    "password2": _("New password, again"),
    "code": _("Code"),
    "AddKeyForm.name": _("Name of this key"),
    "EditWebAuthnForm.name": _("Name of this key"),
    "passwordless": _("Use it as a passkey: sign in with it alone"),
}


@register.filter
def label(field: BoundField) -> Any:
    return LABELS.get(f"{type(field.form).__name__}.{field.name}", LABELS.get(field.name, field.label))


@register.filter
def control(field: BoundField) -> Any:
    return field.as_widget(attrs={"placeholder": False})


@register.filter
def is_checkbox(field: BoundField) -> bool:
    return getattr(field.field.widget, "input_type", "") == "checkbox"


@register.simple_tag
def signup_is_open() -> bool:
    return bool(settings.SIGNUP_OPEN)


@register.filter
def moment(at: datetime) -> str:
    """Return a time in the server's zone, named, which moments.js puts into the reader's."""
    local = timezone.localtime(at)
    words = f"{date_format(local, 'DATETIME_FORMAT')} ({local:%Z})"
    return format_html('<time datetime="{}" data-moment>{}</time>', local.isoformat(), words)
