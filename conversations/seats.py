"""Rows of members, which follow the log's members. Synchronous; runs in a thread.

`give_seat` and `take_seat` write at once what the log has just decided, unless something newer is there already;
`settle_seats` makes rows and log agree, whatever was missed.
"""

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from .archive_pages import LogPage
from .models import Conversation, Member, User

GONE = {"draft": "", "draft_device_id": ""}


def _newcomer(seq: int) -> dict[str, Any]:
    """Return what a member begins with, also one who was here before."""
    role = Member.Role.MEMBER
    flags = {"archived": False, "pinned": False}
    return GONE | flags | {"role": role, "joined_seq": seq, "left_seq": None, "read_seq": seq}


@transaction.atomic
def give_seat(conversation_id: str, seq: int, user_id: str) -> None:
    if not _is_news(conversation_id, seq):
        return
    member, is_new = Member.objects.get_or_create(
        conversation_id=conversation_id, user_id=user_id, defaults=_newcomer(seq)
    )
    if not is_new and max(member.joined_seq, member.left_seq or 0) < seq:
        Member.objects.filter(pk=member.pk).update(**_newcomer(seq))


@transaction.atomic
def take_seat(conversation_id: str, seq: int, user_id: str, heir: str) -> None:
    if not _is_news(conversation_id, seq):
        return
    here = Member.objects.filter(conversation_id=conversation_id, left_seq=None)
    here.filter(user_id=user_id, joined_seq__lt=seq).update(left_seq=seq, **GONE)
    if heir:
        here.filter(user_id=heir).update(role=Member.Role.OWNER)
        Conversation.objects.filter(pk=conversation_id).update(owner_id=heir)


def _is_news(conversation_id: str, seq: int) -> bool:
    """Whether the archive is not past this entry; if it is, the rows are right already. Locks the row."""
    rows = Conversation.objects.select_for_update().filter(pk=conversation_id, archived_seq__lt=seq)
    return rows.exists()


def settle_seats(pages: list[LogPage], members: Iterable[Any]) -> None:
    """Make the rows of these logs' members what the logs say. ``members``: pk, conversation_id, user_id, role and
    left_seq of all rows of them, also of who has left.

    Only for pages that have moved the archive's head on, so that an older page never comes after a newer one.
    """
    rows: dict[str, dict[str, Any]] = {page.conversation_id: {} for page in pages}
    for member in members:
        if (of := rows.get(str(member.conversation_id))) is not None:
            of[str(member.user_id)] = member
    for page in pages:
        _settle(page, rows[page.conversation_id])


def _settle(page: LogPage, rows: dict[str, Any]) -> None:
    for user_id, member in rows.items():
        role = page.members.get(user_id)
        here = Member.objects.filter(pk=member.pk)
        if role is None and member.left_seq is None:
            here.update(left_seq=page.seq, **GONE)
        elif role is not None and member.left_seq is not None:
            here.update(**_newcomer(page.joined.get(user_id, 0)) | {"role": role})
        elif role is not None and role != member.role:
            here.update(role=role)
            if role == Member.Role.OWNER:
                Conversation.objects.filter(pk=page.conversation_id).update(owner_id=user_id)
    missing = page.members.keys() - rows.keys()
    # Only who is known: a database that was set back may not know everybody.
    for pk in User.objects.filter(pk__in=missing).values_list("pk", flat=True) if missing else []:
        new = _newcomer(page.joined.get(str(pk), 0)) | {"role": page.members[str(pk)]}
        Member.objects.create(conversation_id=page.conversation_id, user_id=pk, **new)
