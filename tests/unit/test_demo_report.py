from chatproject.demo.report import Scene, since, table, verdict

GOOD = {"sent": 2, "acked": 2, "delivered": 4}


def report(**counts):
    return {"device_id": "d", "counts": {**GOOD, **counts}, "breaches": [], "entries": {}, "acks": {}}


def judged(*reports, **scene):
    made = Scene("1", **scene)
    made.take(list(reports))
    return made


def test_a_scene_by_the_book_passes():
    assert verdict(judged(report())) == "PASS"


def test_what_was_sent_and_not_acked_fails():
    assert judged(report(acked=1)).failures == ["not everything sent was acked"]


def test_a_repeated_entry_fails():
    assert judged(report(repeated=1)).failures == ["1 repeated"]


def test_a_count_of_zero_that_must_not_be_zero_fails():
    failures = judged(report(), needed=("sent", "after kill")).failures
    assert failures == ["the count of after kill is zero, so nothing was shown"]


def test_a_breach_fails():
    assert judged({**report(), "breaches": ["gap: entry 3"]}).failures == ["d: gap: entry 3"]


def test_a_report_since_another_has_only_what_is_new():
    earlier = {**report(), "breaches": ["gap"], "entries": {"a": []}}
    later = {**report(sent=5, acked=3), "breaches": ["gap", "gap"], "entries": {"a": [], "b": []}}
    new = since(later, [earlier])
    assert (new["counts"]["sent"], new["breaches"], list(new["entries"])) == (3, ["gap"], ["b"])


def test_the_table_has_a_row_for_each_scene_and_its_verdict():
    lines = table([judged(report()), judged(report(reordered=1))]).splitlines()
    assert [line.split()[-1] for line in lines[2:]] == ["PASS", "FAIL"]
