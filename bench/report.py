"""RESULTS.md and the plots, made from the raw JSON alone. A figure that was not measured is not there."""

from pathlib import Path
from statistics import median
from typing import Any

from . import faults, plots, plots_peers, report_peers, results
from .processes import BENCH_DIR
from .tables import spread, table, verdict

Result = dict[str, Any]


def write(*, quick: bool) -> Path:
    """Write RESULTS.md beside the results it was made from, and the plots; return its path."""
    found = results.read(quick)
    path = results.directory(quick).parent / "RESULTS.md" if quick else BENCH_DIR / "RESULTS.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [
        HEAD,
        QUICK if quick else "",
        _conditions(found),
        *(SECTIONS[name](found[name]) for name in SECTIONS if name in found),
    ]
    path.write_text("\n\n".join(part.strip() for part in parts if part) + "\n")
    if "fanout" in found:
        plots.plot_fanout(medians(found["fanout"]), path.parent / "plots")
    if "turns" in found:
        plots.plot_turns(found["turns"], path.parent / "plots")
    for name in plots_peers.PLOTS.keys() & found.keys():
        plots_peers.PLOTS[name](found[name], path.parent / "plots")
    return path


HEAD = """
# Results

Made by `python -m bench report` from the files in `results/`; never edited. `make bench` repeats it all.
All processes, the client's too, share the cores of one machine, so ratios say more than figures.
"""

QUICK = "**A quick run: it shows that the harness works, its figures mean nothing.**"


def _conditions(found: dict[str, Result]) -> str:
    rows = []
    for name, result in found.items():
        machine = result["machine"]
        commit = result["commit"] + (" and changes" if result["changed"] else "")
        size = f"{machine['cores']} × {machine['cpu']}, {machine['memory_gib']} GiB"
        rows.append([name, result["at"], commit, result["seed"], size, machine["load_before"][0]])
    if not rows:
        return "Nothing has been measured yet."
    text = "## What it was measured on\n\n"
    text += table(["measure", "at", "commit", "seed", "machine", "load before"], rows)
    versions = next(iter(found.values()))["versions"]
    ours, peer = (_listed(versions[side]) for side in ("ours", "peer"))
    return text + f"\n\nPython {versions['python']} with {ours}; Node {versions['node']} with {peer}."


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def medians(result: Result) -> dict[tuple[str, int, int], Result]:
    """Return for (kind, users, window) the median of its runs in deliveries/s, whole: never mixed figures."""
    grouped: dict[tuple[str, int, int], list[Result]] = {}
    for run in result["runs"]:
        grouped.setdefault((run["kind"], run["users"], run["window"]), []).append(run)
    chosen = {}
    for key, runs in grouped.items():
        ordered = sorted(runs, key=lambda run: run["deliveries_per_second"])
        rates = [run["deliveries_per_second"] for run in ordered]
        chosen[key] = ordered[(len(ordered) - 1) // 2] | {"lowest": rates[0], "highest": rates[-1]}
    return chosen


def _fanout(result: Result) -> str:
    chosen, devices = medians(result), result["devices"]
    rows, ratios = [], []
    for (kind, users, window), run in chosen.items():
        shape = f"{users} × {devices} × {window}"
        servers = " + ".join(f"{cores:.2f}" for cores in run["server_cores"].values())
        others = [f"{run[name]:.2f}" for name in ("client_cores", "strangers_cores")]
        per_core = run["deliveries_per_second"] / max(sum(run["server_cores"].values()), 0.001)
        rate = f"{run['deliveries_per_second']:,} ({run['lowest']:,} to {run['highest']:,})"
        ack = f"{run['ack_ms']['p50']} / {run['ack_ms']['p99']}" if run["ack_ms"]["count"] else ""
        wait = f"{run['delivery_ms']['p50']} / {run['delivery_ms']['p99']}"
        rows.append([shape, kind, rate, wait, ack, servers, f"{per_core:,.0f}", *others])
        if kind == "tether" and ("peer", users, window) in chosen:
            ratio = run["deliveries_per_second"] / chosen["peer", users, window]["deliveries_per_second"]
            ratios.append([shape, f"{ratio:.2f}", verdict(ratio, at_least=FANOUT_GOALS.get((users, window)))])
    head = ["users × devices × window", "server", "deliveries/s", "delivery ms p50 / p99", "ack ms p50 / p99"]
    wrong = [
        f"{said} {sum(run[name] for run in result['runs'] + result.get('disturbed', []))}"
        for name, said in COUNTS.items()
    ]
    rounds = 1 + max(run["round"] for run in result["runs"])
    return f"""## Fan-out against Socket.IO with Redis streams

Two nodes of each, the same client process, runs in turns; the median run of {rounds} (lowest to highest).
{_durabilities(result)} The peer acknowledges nothing, refuses no repeats and has no membership; it does less.

{table([*head, "cores: Redis + nodes", "deliveries/core-second", "client", "strangers"], sorted(rows))}

{table(["users × devices × window", "ours / peer", "goal"], ratios)}

`mirror` is one process that only sends back what it gets: with it the client reaches its own ceiling.
`strangers` is whatever else ran on the machine meanwhile. {len(result.get("disturbed", []))} runs beside strangers
that took more than a tenth of a core were done again; they stand in the raw file. Over all runs: {", ".join(wrong)}.

![Deliveries per second](plots/fanout.png)"""


COUNTS = {
    "lost": "lost",
    "repeated": "repeated",
    "gaps": "gaps",
    "chains_differ": "users with unequal chains",
}
FANOUT_GOALS = {(20, 8): 0.8, (100, 1): 0.5}


def _durabilities(result: Result) -> str:
    said = {"tether": "ours", "peer": "the peer's"}
    parts = []
    for kind, name in said.items():
        if kind in result["durability"]:
            one = result["durability"][kind]
            fsync = f", appendfsync {one['appendfsync']}" if one["appendonly"] == "yes" else ""
            parts.append(f'{name} Redis {one["redis"]}: appendonly {one["appendonly"]}{fsync}, save "{one["save"]}"')
    return f"Durability: {'; '.join(parts)}."


def _ack(result: Result) -> str:
    p50 = median(run["ack_ms"]["p50"] for run in result["runs"])
    p99 = median(run["ack_ms"]["p99"] for run in result["runs"])
    return f"""## From `text` to `ack` of a lone message

{_durabilities(result)}

{table(["p50", "p99", "goal"], [[f"{p50:.2f} ms", f"{p99:.2f} ms", verdict(p50, at_most=3, unit=" ms")]])}"""


def _resume(result: Result) -> str:
    rows = [
        [
            f"{run['length']:,}",
            run["missed"],
            run["in_stream"],
            spread(run["open_ms"]),
            spread(run["auth_ms"]),
        ]
        for run in result["runs"]
    ]
    short, long = result["runs"][0], result["runs"][-1]
    ratio = long["open_ms"]["p50"] / short["open_ms"]["p50"]
    head = [
        "entries",
        "missed",
        "left in the stream",
        "`open` to head, ms p50 / p99",
        "`auth` to head, ms p50 / p99",
    ]
    return f"""## Resume

{table(head, rows)}

Long against short, p50 of `open`: {ratio:.2f} ({verdict(ratio, at_most=1.2)})."""


def _memory(result: Result) -> str:
    idle, stalled = result["idle"], result["stalled"]
    order = stalled["order"]
    alone, beside = stalled["alone"]["delivery_ms"], stalled["beside_stalled"]["delivery_ms"]
    rows = [
        [
            f"idle, {idle['connections']:,} on two nodes",
            idle["each_kib"],
            verdict(idle["each_kib"], at_most=60),
        ],
        [
            f"stopped reading, {order['stalled']}",
            stalled["each_kib"],
            verdict(stalled["each_kib"], at_most=1024),
        ],
    ]
    return f"""## Memory of a node

{table(["connection", "KiB each", "goal"], rows)}

A reader on the same node at {order["per_second"]} messages/s of {order["length"]:,} characters, ms p50 / p99:
{spread(alone)} alone, {spread(beside)} beside the {order["stalled"]} that stopped reading."""


def _failover(result: Result) -> str:
    rows = []
    for ending, goal in (("SIGKILL", 8), ("SIGTERM", 1)):
        runs = [run for run in result["runs"] if run["ending"] == ending]
        waits = sorted(wait for run in runs for wait in run["waits_seconds"])
        whole = sum(run["turns_with_one_whole_answer"] for run in runs)
        worst = waits[min(len(waits) - 1, int(0.99 * len(waits)))]
        counts = [len(runs), f"{whole} of {sum(run['turns'] for run in runs)}"]
        rows.append([ending, *counts, f"{median(waits):.2f}", f"{worst:.2f}", verdict(worst, at_most=goal, unit=" s")])
    head = ["a node gets", "times", "turns with one whole answer", "next piece, s p50", "p99", "goal for p99"]
    return f"## The end of a node in the middle of its answers\n\n{table(head, rows)}"


def _cancel(result: Result) -> str:
    rows = [
        [
            run["model"],
            run["cancels"],
            run["conversations"],
            *("{p50:.0f} / {p99:.0f}".format(**run[name]) for name in ("noted_ms", "ended_ms")),
            verdict(run["ended_ms"]["p99"], at_most=200, unit=" ms"),
        ]
        for run in result["runs"]
    ]
    head = ["the model is", "cancels", "conversations at once", "`result`, ms p50 / p99"]
    head += ["`turn.finished`, ms p50 / p99", "goal for p99"]
    return f"## A cancel from another node\n\n{table(head, rows)}"


def _start(result: Result) -> str:
    seconds = median(result["seconds"])
    row = [result["nodes"], result["model"], f"{seconds:.1f}", verdict(seconds, at_most=15, unit=" s")]
    return f"## Start of `cluster` to a usable page\n\n{table(['nodes', 'model', 'seconds', 'goal'], [row])}"


def _profile(result: Result) -> str:
    rows = [[f"{line['percent']:.1f} %", f"`{line['name']}`"] for line in result["self_time"][:20]]
    packages = [f"{line['name']} {line['percent']:.0f} %" for line in result["packages"][:10]]
    shape = " × ".join(map(str, result["shape"].values()))
    return f"""## Where a node's time goes

One of two nodes at {shape}, {result["samples"]:,} samples by py-spy at
{result["watched"]["deliveries_per_second"]:,} deliveries/s (slower for being watched).
By package: {", ".join(packages)}. Time in the function itself:

{table(["share", "function"], rows)}

[Flame graph](plots/profile.svg)"""


def _turns(result: Result) -> str:
    ours, bare = result["ms"]["tether"], result["ms"]["bare"]
    weights = {each["turn"]: each for each in result["weights"]}
    rows = []
    for name, first, last, weighed in TURN_RANGES:
        if len(ours) >= last:
            cells = [f"{median(ms[first - 1 : last]):.2f}" for ms in (ours, bare)]
            sizes = [_kib(weights[weighed][kind]) if weighed in weights else "" for kind in ("tether", "bare")]
            rows.append([name, *cells, *sizes])
    ratio = median(ours[19:40]) / median(bare[19:40])
    goals = [["turns 20-40, ours / bare", f"{ratio:.2f}", verdict(ratio, at_most=1)]]
    if len(ours) >= 1000:
        growth = median(ours[980:1000]) / median(ours[30:50])
        goals.append(["turns 981-1,000 / 31-50", f"{growth:.2f}", verdict(growth, at_most=1.2)])
        sizes = [
            (weights[1000][kind]["bytes"] - weights[500][kind]["bytes"]) / 500 / 1024 for kind in ("tether", "bare")
        ]
        words = f"{sizes[0]:.2f} KiB (bare: {sizes[1]:.1f} KiB)"
        goals.append(["Redis a turn, turns 500 to 1,000", words, verdict(sizes[0], at_most=8, unit=" KiB")])
    head = ["turns", "ours, ms p50", "bare graph, ms p50", "ours in Redis", "bare in Redis"]
    return f"""## A turn without its model

One conversation, {result["model"]}, messages of 200 characters, turns in turn with the same graph compiled with the
stock `AsyncRedisSaver` on a Redis of its own, as durable. Ours is everything: from `text` on a socket to
`turn.finished` there. The bare graph streams to nobody, has no log and survives no death of its node.

{table(head, rows)}

{table(["", "figure", "goal"], goals)}

![A turn's time and bytes](plots/turns.png)"""


# What is shown of them: name, first and last turn, the turn at which Redis was weighed.
TURN_RANGES = [
    ("20-40", 20, 40, 40),
    ("91-110", 91, 110, 100),
    ("491-510", 491, 510, 500),
    ("981-1,000", 981, 1000, 1000),
]


def _kib(weight: dict[str, int]) -> str:
    return f"{weight['bytes'] / 1024:,.0f} KiB, {weight['keys']:,} keys"


SECTIONS = {
    "fanout": _fanout,
    "ack": _ack,
    "resume": _resume,
    "turns": _turns,
    "memory": _memory,
    "failover": _failover,
    "faults": faults.section,
    "cancel": _cancel,
    **report_peers.SECTIONS,
    "start": _start,
    "profile": _profile,
}
