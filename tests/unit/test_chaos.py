"""The fault run's plan comes from its seed, and its verdict can fail."""

import socket
from collections import Counter
from types import SimpleNamespace

import pytest

from chatproject.chaos import stack
from chatproject.chaos.faults import WENT_ON_SECONDS
from chatproject.chaos.plan import KINDS, make_plan
from chatproject.chaos.talk import Edit, Fork, Question, marks
from chatproject.chaos.verdict import make_verdict, percentiles, table


def test_a_seed_makes_the_same_plan_again_and_another_seed_another():
    assert make_plan(seed=3, faults=50) == make_plan(seed=3, faults=50)
    assert make_plan(seed=3, faults=50) != make_plan(seed=4, faults=50)


@pytest.mark.parametrize("seed", range(20))
def test_each_kind_comes_at_least_once(seed):
    assert {fault.kind for fault in make_plan(seed=seed, faults=len(KINDS))} == set(KINDS)


def test_no_fault_lasts_longer_than_the_longest():
    assert max(fault.seconds for fault in make_plan(seed=1, faults=200, longest_seconds=2)) == 2


def test_the_p99_of_few_is_the_longest():
    assert percentiles([3, 1, 2]) == {"count": 3, "p50": 2, "p99": 3, "max": 3}
    assert percentiles([]) == {"count": 0}


def device(*, entries=(1, 2), breaches=(), sent=1, acked=1):
    seen = [(1, seq, f"chain {seq}", "digest") for seq in entries]
    return {
        "device_id": "phone",
        "counts": {"sent": sent, "acked": acked},
        "breaches": list(breaches),
        "entries": {"c": seen},
        "acks": {},
    }


def said(seq, content, turn_id="t", role="user"):
    data = {"role": role, "author": "7", "content": content, "status": "complete", "message_id": f"m{seq}"}
    return SimpleNamespace(event="message", cursor=SimpleNamespace(seq=seq), data=data | {"turn_id": turn_id})


def gave_way(seq, from_seq, to_seq, by):
    data = {"from_seq": from_seq, "to_seq": to_seq, "by": by}
    return SimpleNamespace(event="message.superseded", cursor=SimpleNamespace(seq=seq), data=data)


def told(entry, entries):
    mark = marks(entries).get(entry.cursor.seq)
    return {"seq": entry.cursor.seq, **entry.data} | ({"superseded_by": mark} if mark else {})


def fork(messages):
    """Return a fork that says these, of a talk that said one: hello."""
    mirror = SimpleNamespace(turns={}, messages=lambda: [said(1, each).data for each in messages])
    device = SimpleNamespace(mirrors={"fork": mirror})
    talk = SimpleNamespace(conversation_id="fork", questions=[], devices=[device])
    hello = {"role": "user", "author": "7", "content": "hello", "status": "complete"}
    return Fork(talk, [hello])


EDITED = (said(1, "hello", "old"), gave_way(2, 1, 1, "m3"), said(3, "better"), said(4, "fine", role="assistant"))


def verdict(
    tmp_path,
    *reports,
    ran=(1, 2),
    begun=(1, 2),
    turns=("t",),
    waited=6.1,
    faults=None,
    entries=(),
    as_told=None,
    edits=(),
    refused=(),
    forks=(),
    **answered,
):
    question = Question("c", "/steps 2", "steps: 2", 0.0, "t", "done", finals=["steps: 2"], attempts=1)
    for name, value in answered.items():
        setattr(question, name, value)
    (tmp_path / "t").write_text("".join(f"{number}\n" for number in ran))
    (tmp_path / "t.begun").write_text("".join(f"{number}\n" for number in begun))
    reports = reports or (device(),)
    mirrors = {"c": SimpleNamespace(turns=dict.fromkeys(turns), entries=entries)}
    devices = [SimpleNamespace(device_id="phone", report=lambda each=each: each, mirrors=mirrors) for each in reports]
    talk = SimpleNamespace(conversation_id="c", questions=[question], devices=devices)
    talk.edits, talk.refused, talk.forks = list(edits), list(refused), [fork(each) for each in forks]
    talk.told = [told(entry, entries) for entry in entries if entry.event == "message"] if as_told is None else as_told
    work = SimpleNamespace(devices=devices, talks=[talk])
    done = SimpleNamespace(hung=[], counts=Counter(dict.fromkeys(KINDS, 1) | (faults or {})), waits={"kill": [waited]})
    return make_verdict(work, done, tmp_path)


def test_a_run_without_a_fault_of_ours_passes(tmp_path):
    found = verdict(tmp_path)
    assert found.passed, found
    assert table(found).endswith("PASS")


@pytest.mark.parametrize(
    ("wrong", "given"),
    [
        ("stuck", {"status": ""}),
        ("failed", {"status": "failed"}),
        ("doubled", {"finals": ["steps: 2", "steps: 2"]}),
        ("wrong", {"finals": ["steps: 3"]}),
        ("re-run", {"ran": (1, 2, 2)}),
        ("re-run", {"begun": (1, 2, 1)}),
        ("skipped", {"ran": (1,)}),
        ("doubled", {"turns": ("t", "nobody asked")}),
        ("stuck", {"waited": float(WENT_ON_SECONDS)}),
        ("lost", {"reports": [device(), device(entries=(1, 2, 3))]}),
        ("lost", {"reports": [device(acked=0)]}),
        ("lost", {"reports": [device(acked=0), device(acked=2)]}),
        ("repeated", {"reports": [device(breaches=["repeated: entry 2 in c"])]}),
        ("reordered", {"reports": [device(breaches=["reordered: entry 1 after 2 in c"])]}),
        ("doubled", {"reports": [device(breaches=["second_final: entry 4 in c"])]}),
        ("wrong", {"is_cancelled": True, "status": "done"}),
        ("wrong", {"is_cancelled": True, "status": "cancelled", "finals": ["other"], "ended_as": ["cancelled"]}),
        ("wrong", {"is_cancelled": True, "status": "cancelled", "finals": ["steps"], "ended_as": ["complete"]}),
        ("failed", {"status": "cancelled", "finals": ["steps"], "ended_as": ["cancelled"]}),
        ("failed", {"refused": ["edit"]}),
        ("wrong", {"entries": EDITED}),
        ("wrong", {"entries": (said(1, "hello", "old"), said(3, "better")), "edits": [Edit(1, "t")]}),
        ("wrong", {"entries": EDITED, "edits": [Edit(1, "t")], "as_told": []}),
        ("lost", {"forks": [["something else"]]}),
        ("lost", {"forks": [[]]}),
        ("breaches", {"reports": [device(breaches=["close: 1011"])]}),
    ],
)
def test_whatever_is_wrong_is_counted_and_fails_the_run(tmp_path, wrong, given):
    found = verdict(tmp_path, *given.pop("reports", ()), **given)
    assert [name for name, count in found.counts.items() if count] == [wrong]
    assert not found.passed


@pytest.mark.parametrize("finals", [["steps"], []])
def test_what_was_cancelled_keeps_how_its_answer_begins_or_nothing(tmp_path, finals):
    ended_as = ["cancelled"] * len(finals)
    found = verdict(tmp_path, is_cancelled=True, status="cancelled", finals=finals, ended_as=ended_as)
    assert (found.passed, found.done["cancelled"]) == (True, 1)


def test_edits_that_every_device_saw_and_forks_that_say_the_same_pass(tmp_path):
    found = verdict(tmp_path, entries=EDITED, edits=[Edit(1, "t")], forks=[["hello", "and on"]])
    assert (found.passed, found.done) == (True, {"cancelled": 0, "edited": 1, "forked": 1})


def test_a_step_begun_again_before_it_was_finished_is_none_that_was_run_again(tmp_path):
    assert verdict(tmp_path, begun=(1, 1, 2)).passed


def test_a_run_in_which_a_kind_of_fault_did_not_happen_fails(tmp_path):
    found = verdict(tmp_path, faults={"freeze": 0})
    assert (found.missing_kinds, found.passed) == (["freeze"], False)


async def test_a_node_whose_port_stays_in_use_is_given_up_with_its_name(monkeypatch):
    monkeypatch.setattr(stack, "END_SECONDS", 0.1)
    node = stack.Node(SimpleNamespace(redis_port=1, installation=None), "n1")
    taken = pytest.raises(stack.PortTaken, match=f"port {node.port} of n1")
    with socket.create_server(("127.0.0.1", node.port)), taken:
        await node.restart()
