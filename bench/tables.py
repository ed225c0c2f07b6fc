"""Markdown tables and the words that say whether a goal is met."""

from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table; cells that start with a digit stand to the right."""
    lines = [list(head), *[[str(cell) for cell in row] for row in rows]]
    numeric = [bool(rows) and str(rows[0][column])[:1].isdigit() for column in range(len(head))]
    rule = ["---:" if right else "---" for right in numeric]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [lines[0], rule, *lines[1:]])


def verdict(figure: float, *, at_least: float | None = None, at_most: float | None = None, unit: str = "") -> str:
    """Say the goal and whether the figure meets it."""
    if at_least is not None:
        return f"≥ {at_least:g}{unit}: {'met' if figure >= at_least else 'missed'}"
    if at_most is not None:
        return f"≤ {at_most:g}{unit}: {'met' if figure <= at_most else 'missed'}"
    return "none"


def spread(quantiles: dict[str, Any]) -> str:
    return f"{quantiles['p50']} / {quantiles['p99']}"
