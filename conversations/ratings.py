"""What people think of single answers: thumbs up or down, and a few words. Each member's own; for the operators."""

from typing import Any

from django.utils import timezone

from . import feed, log
from .errors import InvalidMessage
from .models import Message, Rating
from .threads import in_database

MOST_LISTED = 1_000


async def rate_message(*, user_id: str, conversation_id: str, seq: int, rating: str, comment: str) -> str:
    """Keep what the member thinks of the answer at ``seq`` ("up", "down", or "" for nothing any more).

    Tells the member's other devices. Returns the message's id. The caller has checked membership.
    Raises InvalidMessage where no answer stands there, Unavailable.
    """
    page, _ = await log.history(conversation_id, user_id, before_seq=seq + 1, limit=1)
    if not page or page[0]["seq"] != seq or page[0]["role"] != Message.Role.ASSISTANT:
        raise InvalidMessage("There is no answer at this place.")
    message_id = str(page[0]["message_id"])
    await in_database(_keep, user_id, conversation_id, seq, message_id, rating, comment)
    told = {"conversation_id": conversation_id, "message_id": message_id, "rating": rating}
    await feed.push(user_id, "conversation.rated", told)
    return message_id


def _keep(user_id: str, conversation_id: str, seq: int, message_id: str, rating: str, comment: str) -> None:
    mine = Rating.objects.filter(user_id=user_id, message_id=message_id)
    if not rating:
        mine.delete()
        return
    fields = {"seq": seq, "rating": rating, "comment": comment, "at": timezone.now()}
    Rating.objects.update_or_create(
        user_id=int(user_id), conversation_id=conversation_id, message_id=message_id, defaults=fields
    )


async def list_ratings(*, user_id: str, conversation_id: str) -> list[dict[str, Any]]:
    """Return the member's own ratings in this conversation, the newest answers first. Raises Unavailable."""
    return await in_database(_list, user_id, conversation_id)


def ratings_of(user_id: str, message_ids: list[str]) -> dict[str, dict[str, str]]:
    """Return what the user thinks of these messages: message id -> {"rating", "comment"}. Synchronous."""
    mine = Rating.objects.filter(user_id=user_id, message_id__in=message_ids)
    rows = mine.values_list("message_id", "rating", "comment")
    return {str(message_id): {"rating": rating, "comment": comment} for message_id, rating, comment in rows}


def _list(user_id: str, conversation_id: str) -> list[dict[str, Any]]:
    mine = Rating.objects.filter(user_id=user_id, conversation_id=conversation_id).order_by("-seq")
    return [
        {"message_id": str(message_id), "rating": rating, "comment": comment}
        for message_id, rating, comment in mine.values_list("message_id", "rating", "comment")[:MOST_LISTED]
    ]
