from uuid import uuid4

import orjson
import pytest
from pydantic import ValidationError

from conversations.events import Position, encode_body, event_frame, feed_frame, message_item, now_text
from realtime.frames import validate_server_frame

CONVERSATION = str(uuid4())
HEAD = {"epoch": 1, "seq": 3, "chain": "0123456789abcdef"}
MESSAGE = {
    "message_id": str(uuid4()),
    "role": "user",
    "author": "7",
    "device_id": "d",
    "content": "hello",
    "client_id": "c",
    "status": "complete",
}
BODY = encode_body("message", MESSAGE)


def test_the_event_frame_that_the_log_writes_is_as_documented():
    frame = orjson.loads(event_frame(CONVERSATION, 1, 3, HEAD["chain"], BODY))
    validate_server_frame(frame)


def test_the_feed_frame_that_the_feed_writes_is_as_documented():
    data = {"conversation_id": CONVERSATION, "head": HEAD, "title": "", "preview": "", "unread": 0}
    body = orjson.dumps({"event": "conversation.updated", "data": data})
    validate_server_frame(orjson.loads(feed_frame(1, 3, HEAD["chain"], body)))


def test_the_data_of_an_event_is_checked_by_its_kind():
    frame = {"type": "event", "conversation_id": CONVERSATION, **HEAD, "event": "topic.switched", "at": now_text()}
    validate_server_frame({**frame, "data": {"topic": "beans"}})
    with pytest.raises(ValidationError):
        validate_server_frame({**frame, "data": {"title": "beans"}})


def test_a_kind_that_the_docs_do_not_know_is_refused():
    frame = {"type": "event", "conversation_id": CONVERSATION, **HEAD, "event": "dance", "at": now_text(), "data": {}}
    with pytest.raises(KeyError):
        validate_server_frame(frame)


def test_a_snapshot_holds_messages_as_the_log_shows_them():
    frame = {
        "type": "snapshot",
        "conversation_id": CONVERSATION,
        "head": Position(1, 3, HEAD["chain"]).wire(),
        "title": "",
        "topic": "",
        "members": [{"user_id": "7", "role": "owner"}],
        "messages": [message_item(3, BODY)],
        "more": False,
        "reason": "new",
    }
    validate_server_frame(frame)


def test_a_result_is_checked_by_its_command():
    frame = {"type": "result", "id": "i", "command": "new_conversation"}
    validate_server_frame({**frame, "data": {"conversation_id": CONVERSATION}})
    with pytest.raises(ValidationError):
        validate_server_frame({**frame, "data": {}})


def test_a_notice_shares_its_type_with_ready():
    validate_server_frame({"type": "system", "event": "notice", "level": "info", "message": "Back at noon."})
    with pytest.raises(ValidationError):
        validate_server_frame({"type": "system", "event": "ready", "level": "info", "message": "Back at noon."})


def test_a_field_outside_of_the_docs_is_noticed():
    with pytest.raises(ValidationError):
        validate_server_frame({"type": "feed_reset", "head": HEAD, "colour": "blue"})
