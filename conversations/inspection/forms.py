"""What an operator types."""

from django import forms
from django.utils.translation import gettext_lazy as _

from .operating import NOTICE_CHARACTERS

LEVELS = [("info", _("information")), ("warning", _("warning"))]


class NoticeForm(forms.Form):
    message = forms.CharField(
        label=_("message"), max_length=NOTICE_CHARACTERS, widget=forms.Textarea(attrs={"rows": 3, "cols": 70})
    )
    level = forms.ChoiceField(label=_("level"), choices=LEVELS, initial="info")
    people = forms.CharField(
        label=_("only these people"),
        required=False,
        help_text=_("exact user names, separated by commas or spaces; empty: everybody who is connected"),
        widget=forms.TextInput(attrs={"size": 60}),
    )

    def clean_people(self) -> list[str]:
        typed: str = self.cleaned_data["people"]
        return typed.replace(",", " ").split()
