"""Plots beside the tables of report_peers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # draws to files; the machine may have no display
from matplotlib import pyplot as plt
from matplotlib.ticker import ScalarFormatter

from .report_peers import levels

KINDS = {
    "tether": ("this server", "#1f6f8b"),
    "aegra": ("Aegra", "#c9803a"),
    "langgraph-dev": ("langgraph dev (a development server)", "#9a9a9a"),
}
WIDTH = 0.27


def plot_peers(result: dict[str, Any], directory: Path) -> None:
    """Draw turns/s, and p50 with p99 of the first piece, for each number of conversations and server."""
    chosen = levels(result)
    counts = sorted({conversations for conversations, _ in chosen})
    figure, (rates, waits) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for offset, (kind, (label, colour)) in enumerate(KINDS.items()):
        runs = [chosen.get((count, kind)) for count in counts]
        places = [place + (offset - 1) * WIDTH for place, run in enumerate(runs) if run]
        present = [run for run in runs if run]
        heights = [run["turns_per_second"] for run in present]
        below = [run["turns_per_second"] - run["lowest"] for run in present]
        above = [run["highest"] - run["turns_per_second"] for run in present]
        rates.bar(places, heights, WIDTH, label=label, color=colour, yerr=[below, above], capsize=3)
        p50 = [run["first_ms"]["p50"] for run in present]
        waits.vlines(places, p50, [run["first_ms"]["p99"] for run in present], color=colour, linewidth=3)
        waits.scatter(places, p50, color=colour, label=f"{label}: p50, line up to p99")
    for axes, title in ((rates, "turns a second"), (waits, "request to first piece, ms (log scale)")):
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(len(counts)), [str(count) for count in counts])
        axes.set_xlabel("conversations at once")
        axes.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16))
        axes.spines[["top", "right"]].set_visible(False)
    waits.set_yscale("log")
    waits.yaxis.set_major_formatter(ScalarFormatter())
    _save(figure, directory / "peers.png")


def plot_streams(result: dict[str, Any], directory: Path) -> None:
    """Draw the lag against the number of answers that stream at once."""
    figure, axes = plt.subplots(figsize=(6, 3.8), layout="constrained")
    counts = [run["conversations"] for run in result["runs"]]
    bound = result["shape"]["lag_bound_ms"]
    for share, colour in (("p99", "#c9803a"), ("p50", "#1f6f8b")):
        axes.plot(counts, [run["lag_ms"][share] for run in result["runs"]], "o-", color=colour, label=f"lag, {share}")
    first = [run["first_ms"]["p50"] for run in result["runs"]]
    axes.plot(counts, first, "o--", color="#9a9a9a", label="first piece, p50")
    axes.axhline(bound, color="black", linewidth=0.8, linestyle=":", label=f"bound, {bound} ms")
    axes.set_xlabel(f"answers at once, each to {result['shape']['devices']} devices")
    axes.set_title("from the model's word to the device, ms", fontsize=10)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, directory / "streams.png")


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


PLOTS: dict[str, Callable[[dict[str, Any], Path], None]] = {"peers": plot_peers, "streams": plot_streams}
