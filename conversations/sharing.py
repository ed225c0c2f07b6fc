"""Links by which anybody may read a conversation as far as it went when the link was made, until they end.

Only the owner makes, sees and takes back links. A link is made from the share's id and the installation's secret, so
that it can be shown again; the database keeps its digest. A link from under a former secret works for good, and is
shown as long as that secret stands in SECRET_KEY_FALLBACKS.

Text comes from the archive, which is a moment behind; what was cleared or deleted is asked of the log, each time.
"""

from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_noop as N_

from . import keys, log, store
from .archive_base import superseded_ranges
from .audit import journal
from .audit.entry import Action
from .errors import Forbidden, TooLarge
from .events import time_text
from .memberships import check_owner
from .models import Conversation, Member, Message, Share
from .threads import in_database
from .tokens import digest_of

MOST_SHARES = 20
PAGE_MESSAGES = 100
# Rendering costs about 2 ms for each 1,000 characters, and anybody with a link may ask for it.
PAGE_CHARACTERS = 60_000


class Transcript(NamedTuple):
    """A page of what a link shows: ``messages`` oldest first; ``after`` begins the next page, None at the end."""

    share: Share
    title: str
    messages: list[Message]
    names: dict[str, str]
    after: int | None


async def create_share(*, user_id: str, conversation_id: str, share_id: str, days: int | None = None) -> None:
    """Make a link to what was said so far, good for some days or until it is taken back; repeatable by id.

    Raises Forbidden, TooLarge, Unavailable.
    """
    await check_owner(conversation_id, user_id)
    brief = await log.brief(conversation_id)
    if brief is None:
        raise Forbidden(N_("This conversation does not exist, or is not yours."))
    await in_database(_create, conversation_id, UUID(share_id), user_id, brief, days)


@transaction.atomic
def _create(conversation_id: str, share_id: UUID, user_id: str, brief: log.Brief, days: int | None) -> None:
    if Share.objects.filter(pk=share_id).exists():
        return
    if Share.objects.working().filter(conversation_id=conversation_id).count() >= MOST_SHARES:
        raise TooLarge("A conversation has at most 20 links; take one back first.")
    Share.objects.create(
        id=share_id,
        conversation_id=conversation_id,
        made_by_id=int(user_id),
        seq=brief.head.seq,
        title=brief.title,
        digest=digest_of(_token(share_id)),
        expires_at=None if days is None else timezone.now() + timedelta(days=days),
    )
    journal.record(Action.SHARE_MADE, actor=user_id, subject=f"share:{share_id}", conversation=conversation_id)


async def list_shares(*, user_id: str, conversation_id: str) -> list[dict[str, Any]]:
    """Return the links that work, the newest first. Raises Forbidden, Unavailable."""
    await check_owner(conversation_id, user_id)
    return await in_database(_list, conversation_id)


def _list(conversation_id: str) -> list[dict[str, Any]]:
    working = Share.objects.working().filter(conversation_id=conversation_id).order_by("-created_at")
    return [
        {
            "share_id": str(share.id),
            "url": _url(share),
            "created": time_text(share.created_at),
            "until": None if share.expires_at is None else time_text(share.expires_at),
            "seq": share.seq,
        }
        for share in working[:MOST_SHARES]
    ]


def _url(share: Share) -> str:
    """Return the link's path, as it was made; empty where nobody holds the secret any more that it was made with."""
    tokens = (_token(share.id, secret) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    return next((reverse("shared", args=[token]) for token in tokens if digest_of(token) == share.digest), "")


async def revoke_share(*, user_id: str, conversation_id: str, share_id: str) -> None:
    """Take a link back, at once and for good. Raises Forbidden, also where there is no such link, Unavailable."""
    await check_owner(conversation_id, user_id)
    found = await in_database(_revoke, conversation_id, UUID(share_id), user_id)
    if not found:
        raise Forbidden("This link does not exist, or is not yours.")


def _revoke(conversation_id: str, share_id: UUID, user_id: str) -> bool:
    share = Share.objects.filter(pk=share_id, conversation_id=conversation_id).first()
    if share is not None:
        end_share(share, actor=user_id)
    return share is not None


@transaction.atomic
def end_share(share: Share, *, actor: str | None = None) -> None:
    """Let the link show nothing from now on, on record; whoever acts just now did it, unless a user's id is given."""
    working = Share.objects.filter(pk=share.pk, revoked_at=None)
    if working.update(revoked_at=timezone.now()):
        about = str(share.conversation_id)
        journal.record(Action.SHARE_REVOKED, actor=actor, subject=f"share:{share.pk}", conversation=about)


def read_shared(token: str, *, after: int) -> Transcript | None:
    """Return a page of what the link shows, beginning after a seq; None where the link does not work.

    Raises Unavailable: without the log nobody knows what was cleared a moment ago.
    """
    shares = Share.objects.working().select_related("conversation").filter(digest=digest_of(token))
    share = shares.filter(conversation__status=Conversation.Status.ACTIVE).first()
    if share is None:
        return None
    conversation = share.conversation
    lowest, highest = max(after, conversation.cleared_seq), min(share.seq, conversation.archived_seq)
    said = Message.objects.filter(conversation=conversation, seq__gt=lowest, seq__lte=highest).order_by("seq")
    found = list(said[: PAGE_MESSAGES + 1])
    cleared = _cleared_seq(conversation)  # after the text was read, so that it holds for all of it
    if cleared is None:
        return None
    messages, more = _fitting([each for each in found if each.seq > cleared])
    gave_way = [each for each in superseded_ranges(conversation) if each.at <= share.seq]
    shown = [each for each in messages if not any(way.from_seq <= each.seq <= way.to_seq for way in gave_way)]
    title = share.title if cleared < share.seq else ""
    return Transcript(share, title, shown, _names(conversation), messages[-1].seq if more else None)


def _cleared_seq(conversation: Conversation) -> int | None:
    """Return up to where everything was cleared as of now, None if the conversation is deleted. Raises Unavailable."""
    with store.mapped_errors(), store.connect_sync() as redis:
        state, cleared = redis.hmget(keys.meta(str(conversation.pk)), "state", "cleared")
    if state not in (None, b"active"):  # None: not in Redis, and archived whole
        return None
    return max(conversation.cleared_seq, int(cleared or 0))


def _fitting(messages: list[Message]) -> tuple[list[Message], bool]:
    """Return the first messages that a page has room for, at least one, and whether there are more."""
    room, page = PAGE_CHARACTERS, list[Message]()
    for message in messages[:PAGE_MESSAGES]:
        room -= len(message.content)
        if page and room < 0:
            break
        page.append(message)
    return page, len(page) < len(messages)


def _names(conversation: Conversation) -> dict[str, str]:
    found = Member.objects.filter(conversation=conversation).values_list("user_id", "user__username")
    return {str(user_id): username for user_id, username in found}


def _token(share_id: UUID, secret: str | None = None) -> str:
    made = salted_hmac("tether.share", str(share_id), secret, algorithm="sha256").digest()
    return urlsafe_b64encode(made).decode().rstrip("=")
