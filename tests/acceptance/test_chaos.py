"""A short fault run by a fixed seed: every kind of fault, nothing wrong, and a history that tells it again."""

import json

import pytest

from chatproject.chaos.plan import KINDS, make_plan
from chatproject.chaos.run import Options, run_chaos

OPTIONS = Options(seed=20261121, faults=12, conversations=4, longest=3)


@pytest.mark.timeout(180)
def test_a_short_fault_run_finds_nothing_wrong_and_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("LEASE_SECONDS", "2")
    said = []
    verdict = run_chaos(OPTIONS, said.append, history=tmp_path / "history.jsonl", keep=tmp_path / "cluster")
    assert verdict.passed, "\n".join(said)
    assert set(verdict.faults) == set(KINDS)
    assert all(verdict.done.values()), verdict.done
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    struck = [(line["kind"], line["seconds"]) for line in lines if line["what"] == "fault"]
    planned = make_plan(seed=OPTIONS.seed, faults=OPTIONS.faults, longest_seconds=OPTIONS.longest)
    assert struck == [(fault.kind, fault.seconds) for fault in planned]
    assert (lines[0]["seed"], lines[-1]["passed"]) == (OPTIONS.seed, True)
