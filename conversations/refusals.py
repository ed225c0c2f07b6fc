"""Refusals in words that say more than the error's code does: the page shows them in its reader's language.

Each stands word for word where it is raised; it is told on the wire in English.
"""

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

SENTENCES = (
    _("This conversation is full; start a new one."),
    _("You have as many conversations as this server allows; delete some first."),
    _("This person has as many conversations as this server allows."),
    _("This conversation has as many members as it can."),
    _("A conversation has at most 20 links; take one back first."),
    _("Only the one who asked can have this answer written anew."),
    _("Only your own messages can be edited."),
    _("An answer is being written."),
    _("This answer has ended already."),
)


def translated_refusals() -> dict[str, str]:
    """Return each as the wire has it, with what it says in the language of now."""
    return {sentence: gettext(sentence) for sentence in SENTENCES}
