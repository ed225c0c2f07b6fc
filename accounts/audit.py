"""What django-allauth tells of people's ways in, as entries of the audit journal.

Passwords, sign-ins and tokens are recorded where they are saved (`conversations/audit/receivers.py`): not only its
pages change them.
"""

from functools import partial
from typing import Any

from allauth.account import signals as of_accounts
from allauth.mfa import signals as of_factors
from allauth.mfa.models import Authenticator
from django.dispatch import Signal

from conversations.audit import journal
from conversations.audit.entry import Action
from conversations.audit.receivers import address_facts

EVENTS: list[tuple[Signal, Action]] = [
    (of_accounts.user_signed_up, Action.SIGNED_UP),
    (of_accounts.email_added, Action.EMAIL_ADDED),
    (of_accounts.email_confirmed, Action.EMAIL_CONFIRMED),
    (of_accounts.email_changed, Action.EMAIL_CHANGED),
    (of_accounts.email_removed, Action.EMAIL_REMOVED),
    (of_factors.authenticator_added, Action.FACTOR_ADDED),
    (of_factors.authenticator_removed, Action.FACTOR_REMOVED),
    (of_factors.authenticator_reset, Action.RECOVERY_CODES_MADE),
    (of_factors.authentication_failed, Action.FACTOR_REFUSED),
]


def connect_receivers() -> None:
    """Listen from now on; called once, when the app is ready."""
    for signal, action in EVENTS:
        signal.connect(partial(_record, action), weak=False, dispatch_uid=f"tether.audit.{action}")


def _record(
    action: Action,
    sender: Any,
    user: Any = None,
    email_address: Any = None,
    authenticator: Authenticator | None = None,
    **_: Any,
) -> None:
    """Only that an address was added or changed, never which; of a key only its kind."""
    person = journal.person((user or email_address.user).pk)
    kind = {"kind": str(authenticator.type)} if authenticator else {}
    if action is Action.FACTOR_ADDED and authenticator and authenticator.type == Authenticator.Type.RECOVERY_CODES:
        action = Action.RECOVERY_CODES_MADE  # with the first key, unasked
    journal.record(action, subject=person, **kind, **address_facts())
