"""The archive is the log, byte for byte, whatever happens between two of its steps."""

import pytest

from conversations.archive import Archiver
from conversations.models import Conversation, Event, Message, Turn
from tests.archive_kit import archive_all, bodies_in_archive, new_talk, replay, say, stream_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


async def test_the_archive_equals_the_stream_byte_for_byte() -> None:
    talk = await new_talk()
    await say(talk, 30)
    stream = await stream_of(talk)
    await archive_all()
    assert await bodies_in_archive(talk) == stream
