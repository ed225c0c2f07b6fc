"""The fault run's plan comes from its seed, and its verdict can fail."""

import socket
from collections import Counter
from types import SimpleNamespace

import pytest

from chatproject.chaos import stack
from chatproject.chaos.faults import WENT_ON_SECONDS
from chatproject.chaos.plan import KINDS, make_plan
from chatproject.chaos.verdict import make_verdict, percentiles, table
from chatproject.chaos.work import Question


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


def verdict(tmp_path, *reports, ran=(1, 2), begun=(1, 2), turns=("t",), waited=6.1, faults=None, **answered):
    question = Question("c", "/steps 2", "steps: 2", 0.0, "t", "done", finals=["steps: 2"], attempts=1)
    for name, value in answered.items():
        setattr(question, name, value)
    (tmp_path / "t").write_text("".join(f"{number}\n" for number in ran))
    (tmp_path / "t.begun").write_text("".join(f"{number}\n" for number in begun))
    reports = reports or (device(),)
    mirrors = {"c": SimpleNamespace(turns=dict.fromkeys(turns))}
    devices = [SimpleNamespace(report=lambda each=each: each, mirrors=mirrors) for each in reports]
    work = SimpleNamespace(
        devices=devices,
        talks=[SimpleNamespace(conversation_id="c", questions=[question], devices=devices)],
    )
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
        ("breaches", {"reports": [device(breaches=["close: 1011"])]}),
    ],
)
def test_whatever_is_wrong_is_counted_and_fails_the_run(tmp_path, wrong, given):
    found = verdict(tmp_path, *given.pop("reports", ()), **given)
    assert [name for name, count in found.counts.items() if count] == [wrong]
    assert not found.passed


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
