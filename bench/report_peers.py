"""The sections of RESULTS.md about the same graph on other servers, and about what one node streams."""

from statistics import median
from typing import Any

from .tables import spread, table, verdict

Result = dict[str, Any]
NAMES = {"tether": "Tether", "aegra": "Aegra", "langgraph-dev": "`langgraph dev` (a development server)"}
AGAIN = {"tether": 0, "aegra": 1, "langgraph-dev": 2}
# How many times Aegra's turns/s, at so many conversations.
GOALS = {10: 3, 50: 3}
# An answer may take so much longer than the model's own pace before the model itself is said to be held up.
PACE_SLACK = 1.1


def levels(result: Result) -> dict[tuple[int, str], Result]:
    """Return for (conversations, kind) the median of its runs in turns/s, whole, with the lowest and highest."""
    grouped: dict[tuple[int, str], list[Result]] = {}
    for run in result["runs"]:
        grouped.setdefault((run["conversations"], run["kind"]), []).append(run)
    chosen = {}
    for key in sorted(grouped, key=lambda key: (key[0], AGAIN[key[1]])):
        ordered = sorted(grouped[key], key=lambda run: run["turns_per_second"])
        rates = [run["turns_per_second"] for run in ordered]
        chosen[key] = ordered[(len(ordered) - 1) // 2] | {"lowest": rates[0], "highest": rates[-1]}
    return chosen


def peers(result: Result) -> str:
    chosen = levels(result)
    rows, ratios = [], []
    for (conversations, kind), run in chosen.items():
        rate = f"{run['turns_per_second']} ({run['lowest']} to {run['highest']})"
        waits = [spread(run["first_ms"]), spread(run["turn_ms"])]
        cores = [f"{run['cores'][name]:.2f}" for name in ("server", "client", "strangers")]
        rows.append([conversations, NAMES[kind], rate, *waits, run["server_cpu_ms_per_turn"], *cores])
        if kind == "tether" and (conversations, "aegra") in chosen:
            ratio = run["turns_per_second"] / chosen[conversations, "aegra"]["turns_per_second"]
            ratios.append([conversations, f"{ratio:.1f}", verdict(ratio, at_least=GOALS.get(conversations))])
    head = ["conversations", "server", "turns/s", "first piece, ms p50 / p99", "turn, ms p50 / p99"]
    head += ["server's processor ms a turn", "cores: server", "client", "strangers"]
    joins = [
        [NAMES[each["kind"]], each["joins"], sum(map(bool, each["missing"])), sum(each["missing"])]
        for each in result["joins"]
    ]
    rounds = 1 + max(run["round"] for run in result["runs"])
    return f"""## The same graph on other agent servers

Three steps, no tools; the model says {result["words"]} words without a pause. Each conversation has one turn after the
other, from the request to the end of the answer as its own client sees it; each server the same number of turns, after
a warm one; in turns, the median run of {rounds} (lowest to highest). Two nodes of ours; two instances of Aegra with
three Redis workers each, as `aegra serve` starts them; one process of `langgraph dev`, which looks for work once a
second. {_skipped(result)}Ours hands words that come within 40 ms to the devices in one piece, the others each word.

{table(head, rows)}

{table(["conversations", "ours / Aegra", "goal"], ratios)}

`strangers` is whatever else ran on the machine meanwhile. {len(result["disturbed"])} runs beside strangers that
took more than a tenth of a core were done again; they stand in the raw file.

Turns whose own asker never got some of the words: {_lost(result)}.

Another device comes in the middle of an answer of {result["joins"][0]["words"]} words at 20 ms a word, on the other
instance where there is one, with ten such answers at once; what it never gets of the words:

{table(["server", "joins", "with words missing", "words missing"], joins)}

{_durability(result)}

{_versions(result)}

![Turns a second](plots/peers.png)"""


def _lost(result: Result) -> str:
    runs = [*result["runs"], *result["disturbed"]]
    counts = {kind: sum(run["turns_with_words_missing"] for run in runs if run["kind"] == kind) for kind in AGAIN}
    turns = {kind: sum(run["turns"] for run in runs if run["kind"] == kind) for kind in AGAIN}
    return ", ".join(f"{NAMES[kind]} {counts[kind]} of {turns[kind]}" for kind in AGAIN if turns[kind])


def _skipped(result: Result) -> str:
    return "".join(f"**{NAMES[kind]} was skipped: {why}.** " for kind, why in result["skipped"].items())


def _durability(result: Result) -> str:
    said = [
        f"{NAMES[kind]}: " + ", ".join(f"{name} {value or 'none'}" for name, value in each.items())
        for kind, each in result["durability"].items()
    ]
    return f"Durability. {'; '.join(said)}."


def _versions(result: Result) -> str:
    said = [
        f"{NAMES[kind]}: " + ", ".join(f"{name} {version}" for name, version in each.items())
        for kind, each in result["versions_of_others"].items()
    ]
    return f"Versions. {'; '.join(said)}." if said else ""


def kills(result: Result) -> str:
    rows = []
    for (kind, words_before), waits in waits_of(result).items():
        known = [wait for wait in waits if wait is not None]
        never = len(waits) - len(known)
        runs = sum((run["kind"], run["words_before"]) == (kind, words_before) for run in result["runs"])
        seen = [f"{median(known):.1f}", f"{known[0]:.1f} to {known[-1]:.1f}"] if known else ["none", "none"]
        goal = verdict(known[-1], at_most=8, unit=" s") if kind == "tether" else "none"
        rows.append([NAMES[kind], words_before, runs, len(waits), *seen, f"{never} of {len(waits)}", goal])
    head = ["server", "after words", "kills", "answers", "next piece, s, median", "from, to"]
    head += [f"not within {result['deadline_seconds']} s", "goal"]
    return f"""## `kill -9` in the middle of an answer, on each of them

The process that writes the answers is killed after so many words at 20 ms a word, and started again at once. Devices
watch on the other instance where there is one, and come again where the connection broke. `langgraph dev` saves its
memory to files each ten seconds; what it was not in time to save is gone.

{table(head, rows)}"""


def waits_of(result: Result) -> dict[tuple[str, int], list[float | None]]:
    """Return the seconds to each next piece by (kind, words before), in order; None, the last, where there was none."""
    found: dict[tuple[str, int], list[float | None]] = {}
    for run in result["runs"]:
        found.setdefault((run["kind"], run["words_before"]), []).extend(run["waits_seconds"])
    return {key: sorted(found[key], key=lambda wait: (wait is None, wait or 0)) for key in found}


def streams(result: Result) -> str:
    shape = result["shape"]
    own_seconds = (shape["words"] - 1) * shape["pace_ms"] / 1000
    rows = []
    held = paced = 0
    for run in result["runs"]:
        holds = run["lag_ms"]["p99"] <= shape["lag_bound_ms"]
        keeps = run["answer_seconds"]["p50"] <= PACE_SLACK * own_seconds
        held = run["conversations"] if holds else held
        paced = run["conversations"] if holds and keeps else paced
        cores = " + ".join(f"{run['cores'][name]:.2f}" for name in ("node", "redis"))
        others = [f"{run['cores'][name]:.2f}" for name in ("client", "strangers")]
        waits = [spread(run["first_ms"]), spread(run["lag_ms"])]
        rows.append([run["conversations"], *waits, run["answer_seconds"]["p50"], cores, *others])
    head = ["conversations", "first piece after the model's first word, ms p50 / p99"]
    head += ["lag of a word, ms p50 / p99", f"an answer takes, s ({own_seconds:.2f} by itself)"]
    head += ["cores: node + Redis", "client", "strangers"]
    fifty = next((run for run in result["runs"] if run["conversations"] == 50), result["runs"][-1])
    first = fifty["first_ms"]["p50"]
    return f"""## What one node streams

Answers of {shape["words"]} words, {shape["pace_ms"]} ms apart, to {shape["devices"]} devices each. The lag is from when
the model says a word to when the frame with it is at a device, over the time in which all stream. A piece holds up to
40 ms of words.

{table(head, rows)}

Conversations at once with a p99 of at most {shape["lag_bound_ms"]} ms: **{held}** ({verdict(held, at_least=50)}); with
answers also at most a tenth slower than the model by itself: {paced}. First piece with {fifty["conversations"]}
conversations, p50: {first} ms ({verdict(first, at_most=10, unit=" ms")}).

![Lag](plots/streams.png)"""


SECTIONS = {"peers": peers, "kills": kills, "streams": streams}
