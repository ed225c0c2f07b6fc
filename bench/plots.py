"""Plots of the results, as PNG."""

from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # draws to files; the machine may have no display
from matplotlib import pyplot as plt
from matplotlib.ticker import NullFormatter, ScalarFormatter

KINDS = {"tether": ("this server, fsync always", "#1f6f8b"), "peer": ("Socket.IO, Redis streams", "#c9803a")}
WIDTH = 0.38


def plot_fanout(medians: dict[tuple[str, int, int], dict[str, Any]], directory: Path) -> Path:
    """Draw deliveries/s, and p50 with p99 of delivery, for each shape and server."""
    directory.mkdir(parents=True, exist_ok=True)
    shapes = sorted({(users, window) for kind, users, window in medians if kind in KINDS})
    figure, (rates, waits) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for offset, (kind, (label, colour)) in enumerate(KINDS.items()):
        runs = [medians.get((kind, *shape)) for shape in shapes]
        places = [place + (offset - 0.5) * WIDTH for place, run in enumerate(runs) if run]
        present = [run for run in runs if run]
        heights = [run["deliveries_per_second"] for run in present]
        below = [run["deliveries_per_second"] - run["lowest"] for run in present]
        above = [run["highest"] - run["deliveries_per_second"] for run in present]
        rates.bar(places, heights, WIDTH, label=label, color=colour, yerr=[below, above], capsize=3)
        p50 = [run["delivery_ms"]["p50"] for run in present]
        p99 = [run["delivery_ms"]["p99"] for run in present]
        waits.vlines(places, p50, p99, color=colour, linewidth=3)
        waits.scatter(places, p50, color=colour, marker="o", label=f"{label}: p50, line up to p99")
    names = [f"{users} × 3 × {window}" for users, window in shapes]
    for axes, title in ((rates, "deliveries a second"), (waits, "text to delivery, ms (log scale)")):
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(len(names)), names)
        axes.set_xlabel("users × devices × window")
        axes.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
        axes.spines[["top", "right"]].set_visible(False)
    waits.set_yscale("log")
    waits.set_xlim(rates.get_xlim())
    waits.yaxis.set_major_formatter(ScalarFormatter())
    waits.yaxis.set_minor_formatter(NullFormatter())
    path = directory / "fanout.png"
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


ROLLING_TURNS = 20


def plot_turns(result: dict[str, Any], directory: Path) -> Path:
    """Draw a turn's time (a rolling median) and what lies in Redis, turn by turn."""
    directory.mkdir(parents=True, exist_ok=True)
    kinds = {"tether": ("this server", "#1f6f8b"), "bare": ("bare graph, stock saver", "#c9803a")}
    figure, (times, sizes) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for kind, (label, colour) in kinds.items():
        ms = result["ms"][kind]
        medians = [median(ms[max(0, end - ROLLING_TURNS) : end]) for end in range(1, len(ms) + 1)]
        times.plot(range(1, len(ms) + 1), medians, color=colour, label=label, linewidth=1.2)
        weights = [(each["turn"], each[kind]["bytes"] / 1024**2) for each in result["weights"]]
        sizes.plot(*zip(*weights, strict=True), color=colour, label=label, marker="o", markersize=3)
    for axes, title in ((times, f"ms a turn, median of {ROLLING_TURNS}"), (sizes, "MiB in Redis")):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("turn")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    path = directory / "turns.png"
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
