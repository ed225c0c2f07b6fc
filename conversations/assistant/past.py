"""What a person's conversations have said before: the one place from which a model searches them."""

from django.db.models import F

from conversations.events import time_text
from conversations.models import Conversation, Message

MOST_WORDS = 6
SNIPPET_CHARACTERS = 240


async def find_said(*, user_id: str, query: str, limit: int = 8) -> list[str]:
    """Return lines of what was said, the newest first, that hold every word of the query.

    Only where the user is a member now, and nothing that was cleared or deleted. It reads the archive.
    """
    found = Message.objects.filter(
        conversation__memberships__user_id=user_id,
        conversation__memberships__left_seq=None,
        conversation__status=Conversation.Status.ACTIVE,
        seq__gt=F("conversation__cleared_seq"),
    ).exclude(role=Message.Role.SYSTEM)
    words = query.split()[:MOST_WORDS]
    if not words:
        return []
    for word in words:
        found = found.filter(content__icontains=word)
    newest = found.select_related("conversation").order_by("-at")[:limit]
    return [
        f"{time_text(message.at)[:10]}, {message.conversation.title or 'untitled'}, {message.role}: "
        f"{_snippet(message.content, words[0])}"
        async for message in newest
    ]


def _snippet(text: str, word: str) -> str:
    start = max(text.casefold().find(word.casefold()) - SNIPPET_CHARACTERS // 3, 0)
    return " ".join(text[start : start + SNIPPET_CHARACTERS].split())
