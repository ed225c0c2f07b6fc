"""Messages, turns and first pieces of the last day, an hour a bar, as SVG that the server draws.

Costs what a day holds, not what the tables do: turns have an index by time; messages have none, but their keys rise
with time, so the hours' borders are found by halving, and counted between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any

from django.db.models import Max, Min
from django.utils import timezone

from ..models import Message, Turn

HOURS = 24
# Of one day; with more the newest count.
MOST_TURNS = 50_000
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720, 200, 52, 14, 26


@dataclass
class Hour:
    start: datetime
    messages: int = 0
    done: int = 0
    failed: int = 0
    other: int = 0
    median_ms: int | None = None
    slow_ms: int | None = None  # 95 of 100 were quicker

    @property
    def turns(self) -> int:
        return self.done + self.failed + self.other


def last_day(now: datetime | None = None) -> list[Hour]:
    """Return 24 whole hours up to and with the current one, the oldest first."""
    current = (now or timezone.now()).replace(minute=0, second=0, microsecond=0)
    hours = [Hour(current - timedelta(hours=back)) for back in range(HOURS - 1, -1, -1)]
    _count_messages(hours)
    _count_turns(hours)
    return hours


def _count_messages(hours: list[Hour]) -> None:
    ends = Message.objects.aggregate(first=Min("pk"), last=Max("pk"))
    if ends["last"] is None:
        return
    low, end = ends["first"], ends["last"] + 1
    borders = []
    for hour in hours:
        low = _first_since(hour.start, low, end)
        borders.append(low)
    for hour, start, stop in zip(hours, borders, [*borders[1:], end], strict=True):
        hour.messages = Message.objects.filter(pk__gte=start, pk__lt=stop).count() if stop > start else 0


def _first_since(moment: datetime, low: int, end: int) -> int:
    """Return the smallest key from ``low`` on of a message said at the moment or later; ``end`` if there is none."""
    while low < end:
        middle = (low + end) // 2
        found = Message.objects.filter(pk__gte=middle).order_by("pk").values_list("pk", "at").first()
        if found is None or found[1] >= moment:
            end = middle
        else:
            low = found[0] + 1
    return low


def _count_turns(hours: list[Hour]) -> None:
    since = hours[0].start
    rows = Turn.objects.filter(queued_at__gte=since).order_by("-queued_at")
    waits: list[list[float]] = [[] for _ in hours]
    for queued_at, status, first_piece_at in rows.values_list("queued_at", "status", "first_piece_at")[:MOST_TURNS]:
        index = int((queued_at - since).total_seconds() // 3600)
        if index >= len(hours):
            continue
        hour = hours[index]
        if status == Turn.Status.DONE:
            hour.done += 1
        elif status == Turn.Status.FAILED:
            hour.failed += 1
        else:
            hour.other += 1
        if first_piece_at is not None:
            waits[index].append((first_piece_at - queued_at).total_seconds() * 1000)
    for hour, of in zip(hours, waits, strict=True):
        if of:
            parts = quantiles(of, n=20, method="inclusive") if len(of) > 1 else of * 19
            hour.median_ms, hour.slow_ms = round(parts[9]), round(parts[18])


@dataclass
class Bar:
    x: float
    y: float
    width: float
    height: float
    kind: str
    words: str


@dataclass
class Chart:
    """Geometry for `charts.html`. Ticks are (y, text), labels (x, text)."""

    bars: list[Bar]
    ticks: list[tuple[float, str]]
    labels: list[tuple[float, str]]
    is_empty: bool
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    base: int = HEIGHT - BOTTOM


def draw(hours: Sequence[Hour], series: Sequence[tuple[str, Sequence[int | None]]], *, stacked: bool) -> Chart:
    """Return bars for each hour: on top of each other, or side by side. ``series``: (kind, value for each hour)."""
    columns = list(zip(*[values for _, values in series], strict=True))
    heights = [sum(v or 0 for v in column) if stacked else max(v or 0 for v in column) for column in columns]
    top, step_y = _scale(max(heights, default=0))
    room = HEIGHT - TOP - BOTTOM
    slot = (WIDTH - LEFT - 6) / len(hours)
    width = slot * 0.72 if stacked else slot * 0.78 / len(series)
    bars = []
    for index, column in enumerate(columns):
        base = float(HEIGHT - BOTTOM)
        for number, ((kind, _), value) in enumerate(zip(series, column, strict=True)):
            if not value:
                continue
            height = max(1.0, value / top * room)
            x = LEFT + slot * index + slot * 0.12 + (0 if stacked else number * width)
            y = base - height if stacked else HEIGHT - BOTTOM - height
            base = y if stacked else base
            words = f"{timezone.localtime(hours[index].start):%H:%M} · {value:,}"
            bars.append(Bar(round(x, 1), round(y, 1), round(width, 1), round(height, 1), kind, words))
    ticks = [(round(HEIGHT - BOTTOM - at / top * room, 1), f"{at:,}") for at in _ticks(top, step_y)]
    labels = [
        (round(LEFT + slot * (index + 0.5), 1), f"{timezone.localtime(hour.start):%H:%M}")
        for index, hour in enumerate(hours)
        if index % 3 == 2
    ]
    return Chart(bars, ticks, labels, is_empty=not any(heights))


def _scale(most: int) -> tuple[int, int]:
    """Return a round number not below ``most`` and the step of its ticks."""
    step = 1
    while step * 4 < most:
        step = {1: 2, 2: 5, 5: 10}[int(str(step)[0])] * 10 ** (len(str(step)) - 1)
    return max(4 * step, 4), step


def _ticks(top: int, step: int) -> list[int]:
    return list(range(0, top + 1, max(1, step)))


def charts_of(hours: Sequence[Hour]) -> dict[str, Any]:
    return {
        "messages": draw(hours, [("messages", [hour.messages for hour in hours])], stacked=True),
        "turns": draw(
            hours,
            [
                ("done", [hour.done for hour in hours]),
                ("other", [hour.other for hour in hours]),
                ("failed", [hour.failed for hour in hours]),
            ],
            stacked=True,
        ),
        "waits": draw(
            hours,
            [("median", [hour.median_ms for hour in hours]), ("slow", [hour.slow_ms for hour in hours])],
            stacked=False,
        ),
    }
