import json
from uuid import uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations import errors
from realtime.client_frames import CLIENT_FRAMES
from realtime.codes import ERROR_CODES
from realtime.command_frames import COMMANDS
from realtime.frames import Auth, Bad, Command, Cursor, Heartbeat, Open, Received, Text, parse, parse_args

CONVERSATION = str(uuid4())
CURSOR = {"epoch": 1, "seq": 3, "chain": "0123456789abcdef"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
FIELDS = sorted({name for model in CLIENT_FRAMES.values() for name in model.model_fields} - {"type"})


def one(**frame):
    (found,) = parse(json.dumps(frame, ensure_ascii=False))
    return found


def text(**fields):
    return {"type": "text", "client_id": "c-1", "content": "hello", **fields}


def code_of(frame):
    assert isinstance(frame, Bad), frame
    return frame.error.code


def test_a_text_has_the_defaults_of_the_protocol():
    frame = one(**text())
    assert frame == Text(type="text", client_id="c-1", content="hello")
    assert (frame.conversation_id, frame.if_seq, frame.retry, frame.respond) == (None, None, False, True)


def test_unknown_fields_are_ignored():
    assert one(**text(colour="blue")) == one(**text())


def optional_fields(models):
    return [
        (name, field) for name, model in models.items() for field in model.model_fields if is_optional(model, field)
    ]


def is_optional(model, field):
    return not model.model_fields[field].is_required()


FRAMES = {
    "auth": {"device_id": "d"},
    "text": {"client_id": "c-1", "content": "hello"},
    "open": {"conversation_id": CONVERSATION},
    "heartbeat": {},
    "command": {"id": "c-1", "command": "pin"},
}
ARGS = {name: spec.args for name, spec in COMMANDS.items()}
NEEDED = {"search": {"query": "beans"}, "rate": {"seq": 3, "rating": "up"}}


@pytest.mark.parametrize(("kind", "field"), optional_fields(CLIENT_FRAMES))
def test_null_counts_as_absent_where_a_field_of_a_frame_is_optional(kind, field):
    frame = {"type": kind, **FRAMES[kind]}
    assert one(**frame, **{field: None}) == one(**frame)


@pytest.mark.parametrize(("command", "field"), optional_fields(ARGS))
def test_null_counts_as_absent_where_an_argument_is_optional(command, field):
    def args(**given):
        return parse_args(Command(type="command", id="c", command=command, args={**NEEDED.get(command, {}), **given}))

    assert args(**{field: None}) == args()


@pytest.mark.parametrize("wrong", [0, 1, "true", [], {}])
@pytest.mark.parametrize("field", ["retry", "respond"])
def test_what_is_neither_null_nor_true_nor_false_is_still_refused(field, wrong):
    assert code_of(one(**text(**{field: wrong}))) == "INVALID_MESSAGE"


@pytest.mark.parametrize(
    ("fields", "latest", "opened"),
    [({}, True, None), ({"open": None}, False, None), ({"open": {}}, False, {})],
)
def test_auth_tells_an_absent_open_from_an_empty_one(fields, latest, opened):
    frame = one(type="auth", device_id="d", **fields)
    assert (frame.opens_latest, frame.open) == (latest, opened)


def test_auth_carries_cursors_by_conversation():
    frame = one(type="auth", device_id="d", open={CONVERSATION: CURSOR, str(uuid4()): None}, feed=CURSOR)
    assert isinstance(frame, Auth)
    assert frame.open[CONVERSATION] == frame.feed == Cursor(**CURSOR)


def test_a_long_device_name_is_cut():
    assert one(type="auth", device_id="d", device_name="x" * 300).device_name == "x" * 100


def test_seq_0_alone_is_a_cursor_and_any_other_seq_alone_is_not():
    assert one(type="open", conversation_id=CONVERSATION, cursor={"seq": 0}).cursor == Cursor(seq=0)
    assert code_of(one(type="open", conversation_id=CONVERSATION, cursor={"seq": 1})) == "INVALID_MESSAGE"


def test_a_chain_that_we_never_made_is_a_cursor_all_the_same():
    assert isinstance(one(type="open", conversation_id=CONVERSATION, cursor={**CURSOR, "chain": "zz"}), Open)


def test_the_small_frames_are_read():
    assert one(type="received", frames=7) == Received(type="received", frames=7)
    assert one(type="heartbeat") == Heartbeat(type="heartbeat")
    assert one(type="heartbeat", frames=1, cursors={CONVERSATION: CURSOR}, feed=CURSOR).cursors[CONVERSATION].seq == 3
    assert one(type="close", conversation_id=CONVERSATION).conversation_id == CONVERSATION


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "a b"},
        {"client_id": ""},
        {"client_id": "a" * 65},
        {"client_id": "a\n"},
        {"client_id": 7},
        {"content": ""},
        {"content": "a\0b"},
        {"content": ["a"]},
        {"content": None},
        {"conversation_id": CONVERSATION.upper()},
        {"conversation_id": "nope"},
        {"conversation_id": CONVERSATION + "\n"},
        {"if_seq": "1"},
        {"if_seq": True},
        {"if_seq": 1.0},
        {"if_seq": -1},
        {"if_seq": 2**53},
        {"if_seq": 2**70},
        {"retry": 1},
        {"respond": "false"},
    ],
)
def test_a_field_of_the_wrong_kind_is_named(wrong):
    bad = one(**text(**wrong))
    assert code_of(bad) == "INVALID_MESSAGE"
    assert f"field {next(iter(wrong))} " in bad.error.message


def test_content_is_counted_in_characters_and_too_much_is_too_large():
    assert isinstance(one(**text(content="𝄞" * 32_000)), Text)
    bad = one(**text(content="𝄞" * 32_001))
    assert (code_of(bad), bad.client_id) == ("TOO_LARGE", "c-1")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("", "INVALID_MESSAGE"),
        ("{", "INVALID_MESSAGE"),
        ("null", "INVALID_MESSAGE"),
        ('"text"', "INVALID_MESSAGE"),
        ("7", "INVALID_MESSAGE"),
        ("[]", "INVALID_MESSAGE"),
        ("[[]]", "INVALID_MESSAGE"),
        ("{}", "INVALID_MESSAGE"),
        ('{"type": []}', "INVALID_MESSAGE"),
        ('{"type": null}', "INVALID_MESSAGE"),
        ('{"type": "dance"}', "UNKNOWN_MESSAGE_TYPE"),
        ('{"type": "received", "frames": NaN}', "INVALID_MESSAGE"),
        ('{"type": "received", "frames": Infinity}', "INVALID_MESSAGE"),
        ('{"type": "received", "frames": 1e999}', "INVALID_MESSAGE"),
        ('{"type": "text", "client_id": "a", "content": "\\ud800"}', "INVALID_MESSAGE"),
        ('{"type": "text", "client_id": "a", "content": "\ud800"}', "INVALID_MESSAGE"),
        ("[" * 100_000, "INVALID_MESSAGE"),
        ("[" + "0," * 1000 + "0]", "TOO_LARGE"),
        ('"' + "x" * 256 * 1024 + '"', "TOO_LARGE"),
        ('"' + "é" * 128 * 1024 + '"', "TOO_LARGE"),
    ],
)
def test_a_frame_that_cannot_be_read_is_one_refusal(raw, code):
    assert [code_of(frame) for frame in parse(raw)] == [code]


def nested(levels):
    return '{"type":"received","frames":1,"x":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


def test_a_frame_may_be_nested_32_deep_and_its_batch_is_a_level():
    assert isinstance(parse(nested(32))[0], Received)
    assert code_of(parse(nested(33))[0]) == "INVALID_MESSAGE"
    good, bad = parse(f"[{nested(31)},{nested(32)}]")
    assert (isinstance(good, Received), code_of(bad)) == (True, "INVALID_MESSAGE")


def test_many_brackets_that_are_not_nested_are_no_depth():
    assert isinstance(one(**text(content="{[" * 100, more=[[]] * 100)), Text)


def test_a_bad_element_of_a_batch_spoils_only_itself():
    frames = parse(json.dumps([text(), text(client_id="c-2", content=""), 7, text(client_id="c-3")]))
    assert [type(frame) for frame in frames] == [Text, Bad, Bad, Text]
    assert [frames[1].client_id, frames[2].client_id] == ["c-2", None]


def test_a_refusal_answers_by_the_id_of_its_type():
    both = {"client_id": "c", "id": "i"}
    answered = [one(type=name, **both) for name in ("text", "command", "dance")]
    assert [(bad.client_id, bad.id) for bad in answered] == [("c", None), (None, "i"), ("c", "i")]


@pytest.mark.parametrize("client_id", ["a b", "a\n", "", 7, ["x"], "x" * 65])
def test_an_id_that_is_none_is_not_repeated(client_id):
    assert one(type="dance", client_id=client_id).client_id is None


def test_every_error_of_the_tree_that_a_client_can_see_has_its_row():
    coded = {error.code: error.retryable for error in [errors.TetherError, errors.Unavailable, *refusals()]}
    assert {code: row.retryable for code, row in ERROR_CODES.items()} == coded


def refusals():
    return errors.Refused.__subclasses__()


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_no_text_at_all_makes_parse_raise(raw):
    frames = parse(raw)
    assert frames
    assert all(isinstance(frame, Bad) for frame in frames)


@given(st.sampled_from([*CLIENT_FRAMES, "dance"]), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_fields_at_all_make_parse_raise(name, fields):
    (frame,) = parse(json.dumps({"type": name, **fields}))
    assert isinstance(frame, (Bad, *CLIENT_FRAMES.values()))


@given(st.lists(st.fixed_dictionaries({"type": st.sampled_from([*CLIENT_FRAMES])}) | JSON, min_size=1))
def test_a_batch_gets_an_answer_for_each_element(elements):
    assert len(parse(json.dumps(elements))) == len(elements)


@given(JSON, st.sampled_from(FIELDS))
def test_what_was_sent_is_never_repeated(value, field):
    secret = "Zebra7"
    for name in CLIENT_FRAMES:
        frame = one(type=name, **{field: [{secret: value}, secret]})
        assert not isinstance(frame, Bad) or secret not in frame.error.message


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=500))
def test_content_arrives_as_it_was_sent(content):
    (frame,) = parse(orjson.dumps(text(content=content)).decode())
    assert frame.content == content


def test_what_is_wrong_inside_of_a_field_is_told_by_the_name_of_the_field():
    bad = one(type="auth", device_id="d", open={CONVERSATION: {"seq": "3"}})
    assert bad.error.message == "Something in the field open must be an integer."
    assert "Zebra7" not in one(type="auth", device_id="d", open={"Zebra7": None}).error.message


def command(name, **args):
    return Command(type="command", id="i", command=name, conversation_id=CONVERSATION, args=args or None)


def test_arguments_are_checked_only_when_asked():
    frame = one(type="command", id="i", command="rename", args={"title": 7})
    assert isinstance(frame, Command)
    with pytest.raises(errors.InvalidMessage, match=r"args\.title must be text"):
        parse_args(frame)


def test_an_unknown_command_is_a_frame_and_no_arguments():
    with pytest.raises(errors.UnknownCommand):
        parse_args(command("dance"))


def test_arguments_have_the_defaults_of_the_protocol():
    assert parse_args(command("get_history")).model_dump() == {"before_seq": None, "limit": 50}
    assert parse_args(command("cancel")).turn_id is None
    assert parse_args(command("pin", anything=1)).model_dump() == {}


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("get_history", {"limit": 101}, errors.InvalidMessage),
        ("get_history", {"limit": 0}, errors.InvalidMessage),
        ("mark_read", {}, errors.InvalidMessage),
        ("mark_read", {"seq": True}, errors.InvalidMessage),
        ("rename", {"title": ""}, errors.InvalidMessage),
        ("rename", {"title": "x" * 201}, errors.TooLarge),
        ("set_draft", {"content": "x" * 32_001}, errors.TooLarge),
        ("edit", {"message_id": CONVERSATION, "content": "a\0"}, errors.InvalidMessage),
        ("answer", {"turn_id": CONVERSATION, "interrupt_id": "i"}, errors.InvalidMessage),
        ("answer", {"turn_id": CONVERSATION, "interrupt_id": "i", "value": [{"k": "\0"}]}, errors.InvalidMessage),
        ("export", {"format": "pdf"}, errors.InvalidMessage),
        ("revoke_device", {"device_id": "a b"}, errors.InvalidMessage),
    ],
)
def test_arguments_out_of_bounds_are_refused(name, args, error):
    with pytest.raises(error):
        parse_args(command(name, **args))


def test_an_answer_may_be_any_json():
    frame = command("answer", turn_id=CONVERSATION, interrupt_id="i", value={"ok": [True, None, 1.5]})
    assert parse_args(frame).value == {"ok": [True, None, 1.5]}
