"""The end of an account: everything of a person goes, in the database and in Redis, whoever dies meanwhile.

`begin_erasing` shuts the person out at once, on every node. The archiver does the rest a moment later, when no socket
of theirs is open any more, and begins again wherever it was cut off: the row with the mark goes last. Conversations
that nobody else is in are erased without the 30 s in which one may think again; from the others the person is gone as
by `leave` (ADR 19), and what they said there stays with those they said it to.
"""

import time
from datetime import timedelta
from typing import Any

import structlog
from django.contrib.admin.models import LogEntry
from django.contrib.auth import SESSION_KEY
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from . import erasing, keys, memberships, store
from .audit import journal
from .audit.entry import Action
from .errors import Forbidden
from .faults import point
from .models import Conversation, Device, Member, Token, User
from .threads import in_database

# A socket is closed within this time, even where the announcement was lost.
QUIET_AFTER = timedelta(seconds=5)
LOOK_SECONDS = 1.0
MOST_PEOPLE = 5
MOST_CONVERSATIONS = 20
ROWS = 500

logger = structlog.get_logger(__name__)


@transaction.atomic
def begin_erasing(user: User) -> None:
    """Disable the account for good, mark it to be erased, and close every connection of it."""
    user.is_active, user.erasing_since = False, timezone.now()
    user.set_unusable_password()
    user.save()
    journal.record(Action.ERASING_ASKED, subject=journal.person(user.pk))


class PeopleEraser:
    """Carries out what `begin_erasing` has marked."""

    def __init__(self, forget: erasing.Forget) -> None:
        self._forget = forget
        self._next_look = 0.0

    async def erase_due(self) -> int:
        """Erase some of what is marked; return how many people are gone now. Raises Unavailable."""
        if time.monotonic() < self._next_look:
            return 0
        due = await in_database(_due)
        gone = sum([await erase_person(user_id, self._forget) for user_id in due])
        self._next_look = time.monotonic() + (0 if gone < len(due) else LOOK_SECONDS)
        return gone


def _due() -> list[str]:
    marked = User.objects.filter(erasing_since__lt=timezone.now() - QUIET_AFTER).order_by("erasing_since")
    return [str(each) for each in marked.values_list("pk", flat=True)[:MOST_PEOPLE]]


async def erase_person(user_id: str, forget: erasing.Forget) -> bool:
    """Erase the person, or as much as is decent at once; return whether all of it is gone. May be repeated."""
    for conversation_id in await in_database(_conversations, user_id):
        try:
            about = {"user_id": user_id, "conversation_id": conversation_id}
            await memberships.leave_conversation(**about, device_id="", once=f"erase.{user_id}")
        except Forbidden:  # deleted before, or gone from the log and not yet from the rows
            await in_database(_leave_row, conversation_id, user_id)
        point("person.left")
    for conversation_id in await in_database(_deleted, user_id):
        await erasing.erase(conversation_id, forget)
    if await in_database(_has_more, user_id):
        return False
    await in_database(_drop_rights, user_id)
    point("person.rights_gone")
    await _drop_keys(user_id)
    await in_database(_drop_person, user_id)
    logger.info("person.erased", user_id=user_id)
    return True


def _conversations(user_id: str) -> list[str]:
    mine = Member.objects.filter(user_id=user_id, left_seq=None, conversation__status=Conversation.Status.ACTIVE)
    return [str(each) for each in mine.values_list("conversation_id", flat=True)[:MOST_CONVERSATIONS]]


def _leave_row(conversation_id: str, user_id: str) -> None:
    """The log knows nobody of this id there; so the row must not hold the erasing up."""
    here = Member.objects.filter(conversation_id=conversation_id, left_seq=None)
    here.filter(user_id=user_id).update(left_seq=0)
    if not here.exists():
        deleted = {"status": Conversation.Status.DELETED, "deleted_at": timezone.now()}
        Conversation.objects.filter(pk=conversation_id, owner=int(user_id)).update(**deleted)


def _deleted(user_id: str) -> list[str]:
    rows = Conversation.objects.filter(owner=int(user_id), status=Conversation.Status.DELETED)
    return [str(each) for each in rows.values_list("pk", flat=True)[:MOST_CONVERSATIONS]]


def _has_more(user_id: str) -> bool:
    """Whether it is too early for the rest.

    Deleting the row would take what it owns along; that must have been erased, or have another owner. And the archiver
    tells a feed of a leaving when it copies that, so the feed must not be dropped before.
    """
    not_told = Member.objects.filter(
        user_id=user_id, left_seq__gt=F("conversation__archived_seq"), conversation__status=Conversation.Status.ACTIVE
    )
    owned = Conversation.objects.filter(owner=int(user_id))
    return bool(_conversations(user_id)) or owned.exists() or not_told.exists()


def _drop_rights(user_id: str) -> None:
    """Delete what lets in, before the stream of revocations is cleaned of it."""
    for model in (Device, Token):
        model._default_manager.filter(user_id=user_id).delete()
    keys_of_logins = [
        session.session_key
        for session in Session.objects.iterator(chunk_size=ROWS)
        if str(session.get_decoded().get(SESSION_KEY)) == user_id
    ]
    Session.objects.filter(session_key__in=keys_of_logins).delete()


async def _drop_keys(user_id: str) -> None:
    """Drop the person's own keys, what is remembered of what they sent, and the names in their revocations."""
    redis = store.client()
    mine, sent = f"{{u:{user_id}}}:".encode(), f":{user_id}:".encode()
    with store.mapped_errors():
        async for key in redis.scan_iter(match=f"*{user_id}*", count=erasing.SCAN_COUNT):
            if key.startswith(mine) or (b":sent:" in key and sent in key[key.index(b":sent:") + 41 :]):
                await redis.unlink(key)
        entries = await redis.xrange(keys.REVOCATIONS)
        told = [entry for entry, fields in entries if fields[b"user_id"] == user_id.encode() and fields[b"value"]]
        if told:
            await redis.xdel(keys.REVOCATIONS, *told)


@transaction.atomic
def _drop_person(user_id: str) -> None:
    about: dict[str, Any] = {"content_type": ContentType.objects.get_for_model(User), "object_id": user_id}
    LogEntry.objects.filter(**about).delete()
    User.objects.filter(pk=user_id).delete()
