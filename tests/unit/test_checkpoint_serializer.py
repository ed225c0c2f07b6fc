"""A checkpoint names no class, whatever a user or a model has written into it."""

from decimal import Decimal

import orjson
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage, ToolMessage
from langgraph.types import Interrupt, Send

from conversations.assistant.serializer import SafeSerializer

serializer = SafeSerializer()


def there_and_back(value):
    return serializer.loads_typed(serializer.dumps_typed(value))


class Bomb:
    went_off = False

    def __init__(self, *args, **kwargs):
        Bomb.went_off = True


def envelope(version, name="Bomb", **more):
    return {"lc": version, "type": "constructor", "id": [*__name__.split("."), name], "kwargs": {}, **more}


@pytest.mark.parametrize("version", [1, 2])
def test_a_constructor_in_plain_data_comes_back_as_plain_data(version):
    value = {"deep": [envelope(version), {"again": envelope(version, method="__init__")}]}
    assert there_and_back(value) == value
    assert not Bomb.went_off


@pytest.mark.parametrize("version", [1, 2])
def test_a_constructor_in_content_or_tool_arguments_stays_what_it_was(version):
    evil = envelope(version)
    human = HumanMessage([{"type": "text", "text": "hi", "extra": evil}], id="1")
    call = {"name": "approve", "args": {"subject": evil}, "id": "c1", "type": "tool_call"}
    back = there_and_back({"messages": [human, AIMessage("", tool_calls=[call], id="2")]})["messages"]
    assert back[0].content[0]["extra"] == evil
    assert back[1].tool_calls[0]["args"] == {"subject": evil}
    assert not Bomb.went_off


def test_our_own_tags_in_plain_data_come_back_as_plain_data():
    value = {"$": "message", "v": {"type": "human", "content": "I am not a message"}}
    assert there_and_back([value, {"$": 1}]) == [value, {"$": 1}]


def test_a_forged_checkpoint_is_refused_and_imports_nothing():
    for forged in ({"$": "os.system", "v": "true"}, {"$": "message", "v": {"type": "Bomb", "content": ""}}):
        with pytest.raises(ValueError, match="unknown"):
            serializer.loads_typed(("json", orjson.dumps(forged)))
    with pytest.raises(ValueError, match="kind"):
        serializer.loads_typed(("msgpack", b"\x80"))
    with pytest.raises(ValueError, match="names no class"):
        serializer._constructor_class(envelope(2))


def test_messages_come_back_equal():
    call = {"name": "approve", "args": {"subject": "x"}, "id": "c1", "type": "tool_call"}
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    messages = [
        HumanMessage("hello", id="1"),
        AIMessage("", id="2", tool_calls=[call], usage_metadata=usage),
        ToolMessage("approved", tool_call_id="c1", id="3"),
        RemoveMessage("4"),
    ]
    assert there_and_back(messages) == messages


def test_a_streamed_chunk_comes_back_as_its_message():
    assert there_and_back(AIMessageChunk("so far", id="1")) == AIMessage("so far", id="1")


def test_what_langgraph_itself_writes_comes_back():
    value = [Interrupt(value={"tool": "x"}, id="i1"), Send("tools", {"a": 1}), (1, 2), {3}]
    assert there_and_back(value) == value


def test_an_error_keeps_its_kind_but_not_its_text():
    assert b"sk-secret" not in serializer.dumps_typed([KeyError("sk-secret")])[1]


@pytest.mark.parametrize("value", [Decimal("1.5"), {1: "int key"}, b"bytes", object()])
def test_what_json_would_change_in_silence_is_refused(value):
    with pytest.raises(TypeError):
        serializer.dumps_typed({"value": value})
