"""Figures of what was measured."""

from collections.abc import Iterable


def quantiles(values: Iterable[float]) -> dict[str, float]:
    """Return count, p50, p99 and the highest."""
    ordered = sorted(values)
    if not ordered:
        return {"count": 0}
    at = {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 99)}
    return {
        "count": len(ordered),
        **{name: round(value, 2) for name, value in at.items()},
        "max": round(ordered[-1], 2),
    }
