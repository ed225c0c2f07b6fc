"""What an operator types."""

from django import forms
from django.utils.translation import gettext_lazy as _

from .operating import NOTICE_CHARACTERS

LEVELS = [("info", _("information")), ("warning", _("warning"))]

# For so many hours to whoever comes later.
SHOWN = [
    ("", _("only now")),
    ("1", _("for an hour")),
    ("24", _("for a day")),
    ("168", _("for a week")),
]


class NoticeForm(forms.Form):
    message = forms.CharField(
        label=_("message"), max_length=NOTICE_CHARACTERS, widget=forms.Textarea(attrs={"rows": 3, "cols": 70})
    )
    level = forms.ChoiceField(label=_("level"), choices=LEVELS, initial="info")
    hours = forms.ChoiceField(label=_("shown"), choices=SHOWN, initial="24", required=False)
    people = forms.CharField(
        label=_("only these people"),
        required=False,
        help_text=_("exact user names, separated by commas or spaces; empty: everybody"),
        widget=forms.TextInput(attrs={"size": 60}),
    )

    def clean_people(self) -> list[str]:
        typed: str = self.cleaned_data["people"]
        return typed.replace(",", " ").split()

    def clean_hours(self) -> int:
        return int(self.cleaned_data["hours"] or 0)
