import asyncio

import pytest

from bench import agent_environment, report_peers, turn_graph
from bench.talks import Answer


def test_words_say_which_they_are_when_they_were_said_and_by_whom():
    answer = Answer()
    answer.take("w1:2000000:77 w2:2500000:77 ")
    answer.take("w4:3000000:78 ")
    assert [(word.number, word.said, word.pid) for word in answer.words] == [(1, 2.0, 77), (2, 2.5, 77), (4, 3.0, 78)]
    assert (answer.missing(4), answer.missing(5)) == (1, 2)


def test_an_answer_with_a_gap_or_a_repeat_is_none():
    for text in ("w1:1:1 w3:1:1 ", "w1:1:1 w2:1:1 w2:1:1 "):
        answer = Answer()
        answer.take(text)
        with pytest.raises(RuntimeError, match="not the answer"):
            answer.check(len(answer.words))


def test_the_graph_of_the_comparison_says_as_many_words_as_asked():
    compiled = turn_graph.make_graph().compile()
    state = asyncio.run(compiled.ainvoke({"messages": [("user", "/words 3 0")]}))
    answer = Answer()
    answer.take(state["messages"][-1].text)
    assert len(answer.check(3).words) == 3


def test_without_another_python_the_servers_are_skipped_and_it_is_said_why(monkeypatch, tmp_path):
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(agent_environment.Skipped, match=r"no Python 3\.12"):
        agent_environment.find_python()


def test_an_answer_that_never_went_on_is_told_as_such():
    runs = [
        {"kind": "aegra", "words_before": 20, "waits_seconds": [38.2, None]},
        {"kind": "tether", "words_before": 20, "waits_seconds": [6.2]},
    ]
    said = report_peers.kills({"runs": runs, "deadline_seconds": 75})
    assert "| Aegra | 20 | 1 | 2 | 38.2 | 38.2 to 38.2 | 1 of 2 |" in said
