"""Forms of our own pages; django-allauth brings those of its."""

from functools import cache
from typing import Any
from zoneinfo import available_timezones

from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from conversations.models import User

REGIONS = ("Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")


@cache
def time_zones() -> list[tuple[str, str]]:
    known = sorted(name for name in available_timezones() if name.startswith(REGIONS))
    return [(name, name.replace("_", " ")) for name in ["UTC", *known]]


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    class Meta:
        model = User
        fields = ("language", "theme", "time_zone")
        widgets = {"theme": forms.RadioSelect}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        as_browser = ("", _("As the browser has it"))
        languages = [as_browser, *settings.LANGUAGES]
        zones = [as_browser, *time_zones()]
        for name, choices in (("language", languages), ("time_zone", zones)):
            self.fields[name] = forms.ChoiceField(choices=choices, required=False, label=self.fields[name].label)


class AddKeyForm(AddWebAuthnForm):
    """A key is a passkey, unless one would rather not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["passwordless"].initial = True


class TokenForm(forms.Form):
    name = forms.CharField(label=_("What is it for?"), max_length=100)


class DeletionForm(forms.Form):
    """Valid where the person has written their own name."""

    username = forms.CharField(label=_("Your user name, to be sure"), widget=forms.TextInput({"autocomplete": "off"}))

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_username(self) -> str:
        given = str(self.cleaned_data["username"])
        if given.strip() != self.user.get_username():
            raise forms.ValidationError(_("This is not your user name."))
        return given
