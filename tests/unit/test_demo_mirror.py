import json

import pytest

from chatproject.demo.ledger import Ledger, judge
from chatproject.demo.mirror import Mirror
from chatproject.demo.wire import joined, split

CONVERSATION = "0b0f2c66-1b8e-4d1c-9d4f-3d0a4e2a9c11"
TURN = "5a7c0e1e-6f0e-4b1e-8a51-1f1b8f6d2c33"


def entry(seq, event="message", *, chain=None, epoch=1, **data):
    if event == "message" and not data:
        data = {"message_id": f"m{seq}", "role": "user", "author": "1", "client_id": f"c{seq}", "content": "hi"}
    frame = {"type": "event", "conversation_id": CONVERSATION, "epoch": epoch, "seq": seq}
    return {**frame, "chain": chain or f"{seq:016x}", "event": event, "at": "2026-11-02T10:00:00.000Z", "data": data}


def opened(seq, *turns):
    head = {"epoch": 1, "seq": seq, "chain": f"{seq:016x}"}
    return {"type": "opened", "conversation_id": CONVERSATION, "head": head, "turns": list(turns)}


def delta(n, *, attempt=1, text="w "):
    return {"type": "delta", "conversation_id": CONVERSATION, "turn_id": TURN, "attempt": attempt, "n": n, "text": text}


def started(seq, attempt=1):
    return entry(seq, "turn.started", turn_id=TURN, attempt=attempt, node="node-1")


def final(seq, content):
    data = {"message_id": f"m{seq}", "role": "assistant", "author": "assistant", "turn_id": TURN, "content": content}
    return entry(seq, **data)


def finished(seq, message_id, status="done"):
    return entry(seq, "turn.finished", turn_id=TURN, status=status, message_id=message_id)


def fed(*frames):
    mirror = Mirror(CONVERSATION)
    mirror.asked()
    for frame in frames:
        if frame["type"] == "event":
            mirror.event(frame, json.dumps(frame))
        else:
            getattr(mirror, frame["type"])(frame)
    return mirror


def kinds(mirror):
    return [breach.split(":")[0] for breach in mirror.breaches]


TAKEN_OVER = [opened(0), entry(1), started(2), delta(1), delta(2), started(3, 2), delta(1, attempt=2)]
WHOLE = [opened(0), entry(1), started(2), delta(1), delta(2), final(3, "w w "), finished(4, "m3")]


def test_a_conversation_by_the_book_has_no_breach():
    mirror = fed(*WHOLE)
    assert mirror.breaches == []
    assert (mirror.cursor.seq, mirror.turns[TURN].text, mirror.turns[TURN].status) == (4, "w w ", "done")


def test_what_was_cancelled_keeps_the_longest_that_any_attempt_had_shown():
    assert fed(*TAKEN_OVER, final(4, "w w "), finished(5, "m4", "cancelled")).breaches == []


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        ([opened(0), entry(2)], "gap"),
        ([opened(0), entry(1), entry(3)], "gap"),
        ([opened(0), entry(1), entry(1)], "repeated"),
        ([entry(3), opened(3), entry(2)], "reordered"),
        ([entry(1), opened(1), entry(2, epoch=2)], "epoch"),
        ([entry(1), opened(2)], "opened"),
        ([entry(1), delta(1)], "early_delta"),
        ([*WHOLE, delta(3)], "late_delta"),
        ([*WHOLE, final(5, "w")], "second_final"),
        ([opened(0), entry(1), started(2), finished(3, "m9")], "no_final"),
        ([opened(0), entry(1), started(2), delta(1), final(3, "other"), finished(4, "m3")], "torn"),
        ([opened(0), entry(1), started(2), delta(1), finished(3, None, "cancelled")], "torn"),
        ([*TAKEN_OVER, final(4, "w "), finished(5, "m4", "cancelled")], "torn"),
        ([opened(0), entry(1), started(2, 2), delta(1, attempt=1)], "attempt"),
        ([opened(0), entry(1), started(2, 2), started(3, 2)], "attempt"),
    ],
)
def test_a_breach_is_recorded_once_and_by_its_name(frames, kind):
    assert kind in kinds(fed(*frames))
    assert fed(*frames).counts[kind] == 1


def test_one_client_id_in_two_entries_is_a_repeat():
    again = entry(2, **entry(1)["data"])
    assert kinds(fed(opened(0), entry(1), again)) == ["repeated"]


def test_a_higher_attempt_starts_the_text_afresh():
    mirror = fed(opened(0), entry(1), started(2), delta(1), delta(2), started(3, 2), delta(1, attempt=2))
    assert mirror.breaches == []
    assert (mirror.turns[TURN].text, mirror.turns[TURN].n, mirror.turns[TURN].pieces) == ("w ", 1, 3)


def test_a_missing_piece_asks_to_open_again_and_a_repeated_one_is_ignored():
    mirror = fed(opened(0), entry(1), started(2), delta(1))
    assert (mirror.delta(delta(1)), mirror.delta(delta(3)), mirror.turns[TURN].n) == (False, True, 1)
    mirror.asked()
    assert mirror.delta(delta(4)) is False


def test_a_half_written_answer_resumes_from_opened():
    told = {"turn_id": TURN, "attempt": 1, "status": "running", "n": 3, "text": "w w w ", "interrupts": []}
    mirror = fed(opened(0), entry(1), started(2), delta(1))
    mirror.lost_socket()
    mirror.asked()
    mirror.opened(opened(2, told))
    mirror.delta(delta(4))
    assert (mirror.breaches, mirror.turns[TURN].text) == ([], "w w w w ")


def test_the_ledger_tells_another_chain_and_other_bytes():
    ledger = Ledger()
    assert ledger.note(CONVERSATION, (1, 1, "a", "x"), "one") is None
    assert "chain" in ledger.note(CONVERSATION, (1, 1, "b", "x"), "two")
    assert "bytes" in ledger.note(CONVERSATION, (1, 1, "a", "y"), "three")


def report(device_id, *seqs, acks=()):
    seen = [(1, seq, f"{seq:016x}", "d") for seq in seqs]
    entries, acked = {CONVERSATION: seen}, {CONVERSATION: [(seq, f"c{seq}") for seq in acks]}
    return {"device_id": device_id, "counts": {}, "breaches": [], "entries": entries, "acks": acked}


def test_what_one_device_misses_is_named():
    verdict = judge([report("one", 1, 2, 3), report("two", 1, 3), report("late", 3)])
    assert verdict.missing == [("two", CONVERSATION, 2)]


def test_what_was_acked_to_one_must_be_an_entry_on_all():
    verdict = judge([report("one", 1, 2, acks=[3]), report("two", 1, 2)])
    assert verdict.missing == [("one", CONVERSATION, 3), ("two", CONVERSATION, 3)]


def test_the_raw_text_of_each_frame_of_a_batch_is_kept():
    assert list(split('[{"a":1}, {"b":"]"}]')) == [({"a": 1}, '{"a":1}'), ({"b": "]"}, '{"b":"]"}')]
    assert list(split(joined([{"a": 1}]))) == [({"a": 1}, '{"a": 1}')]
