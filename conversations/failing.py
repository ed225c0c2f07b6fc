"""Why an answer failed, in words that a person can act on.

The log has them in English; the page shows them in its reader's language.
"""

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

REASONS = {
    "key": _("The model's provider refused the API key, or it is missing. Ask the operator to check it."),
    "quota": _("The account at the model's provider has no credit left. Ask the operator to top it up."),
    "model": _("The model's provider does not know this model. Ask the operator to check CHAT_MODEL."),
    "rate": _("The model's provider is busy with too many requests. Wait a minute, then send it again."),
    "slow": _("The model took too long to answer. Send it again, or ask for something shorter."),
    "connect": _(
        "The model cannot be reached, or the connection broke off. Send it again in a moment; "
        "if it stays so, tell the operator."
    ),
    "trouble": _("The model's provider has trouble of its own. Send it again in a moment."),
    "long": _("The conversation is too long for the model. Send something shorter, or start a new conversation."),
    "empty": _("The model gave an empty answer. Send it again, or put it in other words."),
    "steps": _("The answer took too many steps and was stopped. Ask for something smaller."),
    "silent": _(
        "The assistant's graph came to its end without an answer. Send it again; "
        "if it stays so, tell the operator, who can check CHAT_GRAPH."
    ),
    "answer": _("The answer was longer than 128 KiB; its beginning is kept. Ask for something shorter."),
    "poisoned": _(
        "The conversation's stored state could not be read and was set aside. "
        "Send it again: the assistant goes on from what was said."
    ),
    "big": _(
        "The assistant's graph wanted to keep too much at once. Ask for something smaller; "
        "if it stays so, tell the operator, who can check CHAT_GRAPH."
    ),
    "plain": _("The assistant's graph keeps what cannot be stored. Tell the operator, who can check CHAT_GRAPH."),
    "scripted": _("The model failed, as /fail asked it to. Send another message to go on."),
    "other": _("The answer failed for a reason of the server's own. Send it again; if it stays so, tell the operator."),
    "question": _("What should be decided is too large to be shown. Ask for less."),
    "ended": _("The answer was broken off before its end. Send it again."),
    "fault": _("Something went wrong on the server. Please ask again; the operators find the reason in the log."),
    "lapsed": _(
        "The answer was given up: three servers in a row stopped while they worked on it. Please ask in another way."
    ),
}


def translated_reasons() -> dict[str, str]:
    """Return each reason as the log has it, with what it says in the language of now, where that is another."""
    said = ((reason, gettext(reason)) for reason in REASONS.values())
    return {reason: words for reason, words in said if words != reason}
