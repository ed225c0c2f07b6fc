"""Counts what went wrong, and says whether the run passed."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chatproject.demo.ledger import Report, judge
from conversations.runner import LAPSED, MOST_LAPSES

from .faults import WENT_ON_SECONDS, Faults
from .plan import KINDS
from .talk import Question, Talk, marks, words
from .work import Work

# What a run must bring to be a run, and must not bring to pass.
WRONG = (
    *("lost", "repeated", "reordered", "doubled"),
    *("wrong", "failed", "re-run", "skipped", "stuck", "breaches", "hung"),
)
# Where the strict client's breaches belong.
BREACHES = {"repeated": "repeated", "reordered": "reordered", "gap": "lost", "second_final": "doubled"}


@dataclass(slots=True)
class Verdict:
    """``counts`` of what is wrong, ``details`` in words, ``waits`` in seconds."""

    counts: dict[str, int]
    faults: dict[str, int]
    waits: dict[str, list[float]]
    details: list[str] = field(default_factory=list)
    missing_kinds: list[str] = field(default_factory=list)
    turns: int = 0
    attempts: int = 0
    done: dict[str, int] = field(default_factory=dict)  # beside asking
    given_up: int = 0  # as the contract asks: their node was lost three times without a new piece

    @property
    def passed(self) -> bool:
        return not any(self.counts.values()) and not self.missing_kinds and self.turns > 0

    def as_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "wrong": self.counts,
            "faults": self.faults,
            "turns": self.turns,
            "attempts": self.attempts,
            "given_up": self.given_up,
            "done": self.done,
            "missing": self.missing_kinds,
            "next_piece_seconds": {kind: percentiles(waits) for kind, waits in self.waits.items()},
            "details": self.details[:200],
        }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return count, p50, p99 and the longest, in seconds; the p99 of few is the longest."""
    if not seconds:
        return {"count": 0}
    ordered = sorted(seconds)
    pick = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)]
    return {"count": len(ordered), "p50": round(pick[0], 2), "p99": round(pick[1], 2), "max": round(ordered[-1], 2)}


def make_verdict(work: Work, faults: Faults, steps: Path, kinds: tuple[str, ...] = KINDS) -> Verdict:
    """Hold all devices' reports against each other, every answer against its question, every step against its turn.

    ``steps``: two files for each turn, with the numbers of the steps that it has run, and (`.begun`) has begun.
    ``kinds``: of faults, each needed.
    """
    counts, details = Counter(dict.fromkeys(WRONG, 0)), list(faults.hung)
    counts["hung"] = len(faults.hung)
    for kind, waits in faults.waits.items():
        late = sum(seconds >= WENT_ON_SECONDS for seconds in waits)
        counts["stuck"] += late
        details += [f"stuck: {late} turns did not go on within {WENT_ON_SECONDS} s of a {kind}"] if late else []
    forks = [fork for talk in work.talks for fork in talk.forks]
    talks = [*work.talks, *(fork.talk for fork in forks)]
    for talk in talks:
        _judge_turns(talk, counts, details)
    for talk in work.talks:
        _judge_versions(talk, counts, details)
    _judge_devices([device.report() for device in work.devices], counts, details)
    questions = [question for talk in talks for question in talk.questions]
    for question in questions:
        _judge_answer(question, counts, details)
        if question.text.startswith("/steps") and question.status == "done":
            _judge_steps(question, steps, counts, details)
    return Verdict(
        dict(counts),
        {kind: faults.counts[kind] for kind in kinds},
        faults.waits,
        details,
        [kind for kind in kinds if not faults.counts[kind]],
        len(questions),
        sum(question.attempts for question in questions),
        {
            "cancelled": sum(question.is_cancelled for question in questions),
            "edited": sum(len(talk.edits) for talk in work.talks),
            "forked": len(forks),
        },
        sum(_is_given_up(question) for question in questions),
    )


def _is_given_up(question: Question) -> bool:
    return question.status == "failed" and question.error == LAPSED and question.attempts > MOST_LAPSES


def _judge_devices(reports: list[Report], counts: Counter[str], details: list[str]) -> None:
    found = judge(reports)
    counts["lost"] += len(found.missing)
    details += [f"lost: {device} never saw {where}/{seq}" for device, where, seq in found.missing]
    counts["breaches"] += len(found.differing)
    details += found.differing
    for text in found.breaches:
        kind = text.split(": ")[1] if ": " in text else ""
        counts[BREACHES.get(kind, "breaches")] += 1
        details.append(text)
    for report in reports:
        sent, acked = report["counts"].get("sent", 0), report["counts"].get("acked", 0)
        if acked < sent:
            counts["lost"] += sent - acked
            details.append(f"lost: {report['device_id']} sent {sent} messages, of which {acked} were acked")


def _judge_turns(talk: Talk, counts: Counter[str], details: list[str]) -> None:
    """Each question is one turn: what was asked once and logged twice is answered twice, and each answer looks well."""
    turns = max(len(device.mirrors[talk.conversation_id].turns) for device in talk.devices)
    if (more := turns - len(talk.questions)) > 0:
        counts["doubled"] += more
        details.append(f"doubled: {turns} turns for {len(talk.questions)} questions in {talk.conversation_id}")


def _judge_versions(talk: Talk, counts: Counter[str], details: list[str]) -> None:
    """What was edited has given way, on every device and as the server tells it in the end, and nothing else has; and
    each fork says what was said up to its place."""
    counts["failed"] += len(talk.refused)
    details += [f"refused: {text}" for text in talk.refused]
    told = [(each["seq"], each.get("superseded_by"), words(each)) for each in talk.told]
    for device in talk.devices:
        entries = device.mirrors[talk.conversation_id].entries
        gave_way = marks(entries)
        said = [(e.cursor.seq, gave_way.get(e.cursor.seq), words(e.data)) for e in entries if e.event == "message"]
        if said != told:
            counts["wrong"] += 1
            details.append(f"wrong: {device.device_id} knows another history of {talk.conversation_id} than the server")
        asked = [e.data for e in entries if e.event == "message" and e.data["role"] == "user"]
        ids = {data.get("turn_id"): data["message_id"] for data in asked}
        wanted = [(edit.seq, ids.get(edit.turn_id)) for edit in talk.edits]
        if wanted != [(e.data["from_seq"], e.data["by"]) for e in entries if e.event == "message.superseded"]:
            counts["wrong"] += 1
            details.append(f"wrong: {device.device_id} has not seen the edits of {talk.conversation_id}: {wanted}")
    for fork in talk.forks:
        copied = fork.talk.devices[0].mirrors[fork.talk.conversation_id].messages()[: len(fork.said)]
        if [words(message) for message in copied] != fork.said:
            counts["lost"] += 1
            details.append(f"lost: fork {fork.talk.conversation_id} does not say what {talk.conversation_id} did")


def _judge_answer(question: Question, counts: Counter[str], details: list[str]) -> None:
    where = f"turn {question.turn_id} of {question.conversation_id} ({question.text}, attempt {question.attempts})"
    if not question.status:
        counts["stuck"] += 1
        details.append(f"stuck: {where}")
    elif question.is_cancelled:
        _judge_cancelled(question, where, counts, details)
    elif _is_given_up(question):
        details.append(f"given up, as it must be: {where}")
    elif question.status != "done":
        counts["failed"] += 1
        details.append(f"{question.status}: {where}: {question.error}")
    elif len(question.finals) > 1:
        counts["doubled"] += 1
        details.append(f"doubled: {where}")
    elif question.finals != [question.answer]:
        counts["wrong"] += 1
        details.append(f"wrong: {where}: {question.finals}")


def _judge_cancelled(question: Question, where: str, counts: Counter[str], details: list[str]) -> None:
    """It ended once, as cancelled, with how its answer begins or nothing."""
    if len(question.finals) > 1:
        counts["doubled"] += 1
        details.append(f"doubled: {where}")
    elif {question.status, *question.ended_as} != {"cancelled"} or not question.answer.startswith(
        "".join(question.finals)
    ):
        counts["wrong"] += 1
        details.append(f"wrong: {where} was cancelled, and is {question.status}: {question.finals}")


def _judge_steps(question: Question, steps: Path, counts: Counter[str], details: list[str]) -> None:
    ran, begun = _numbers(steps / question.turn_id), _numbers(steps / f"{question.turn_id}.begun")
    wanted = list(range(1, int(question.text.split()[1]) + 1))
    again = finished_again(begun)
    if ran == wanted and not again:
        return
    counts["re-run"] += max(len(ran) - len(set(ran)), len(again))
    counts["skipped"] += len(set(wanted) - set(ran))
    told = f"{ran}, begun {begun}" if again else f"{ran}"
    details.append(f"steps of turn {question.turn_id} ({question.text}, attempt {question.attempts}): {told}")


def _numbers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def finished_again(begun: list[int]) -> list[int]:
    """Return the steps that were begun once more after a later one: that one begins when they are durable."""
    again, furthest = [], 0
    for number in begun:
        if number < furthest:
            again.append(number)
        furthest = max(furthest, number)
    return again


def table(verdict: Verdict) -> str:
    """Return what people read."""
    lines = ["faults     " + "  ".join(f"{kind} {count}" for kind, count in verdict.faults.items())]
    lines.append(f"turns      {verdict.turns} in {verdict.attempts} attempts, {verdict.given_up} given up")
    lines.append("beside     " + "  ".join(f"{what} {count}" for what, count in verdict.done.items()))
    lines.append("wrong      " + "  ".join(f"{name} {count}" for name, count in verdict.counts.items()))
    for kind, waits in verdict.waits.items():
        told = percentiles(waits)
        figures = "  ".join(f"{name} {value:g} s" for name, value in told.items() if name != "count")
        lines.append(f"{kind:<10} to the next new piece, {told['count']:g} turns: {figures or 'none was seen'}")
    lines += [f"  {detail}" for detail in verdict.details[:30]]
    lines += [f"no fault of the kind {kind} happened, so nothing was shown" for kind in verdict.missing_kinds]
    return "\n".join([*lines, "PASS" if verdict.passed else "FAIL"])
