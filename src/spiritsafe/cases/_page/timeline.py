"""Time on the x axis: one campaign's traffic against the background, and all campaigns as spans."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from spiritsafe.cases._page.phrase import day, lasting, short, whole
from spiritsafe.cases._page.svg import MONO, Drawing, Frame, fit, number, steps, ticks, times

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from markupsafe import Markup

_LEFT = 46.0
_MOST_BUCKETS = 200


def thin(counts: Sequence[float], most: int = _MOST_BUCKETS) -> tuple[list[float], int]:
    """Sums of neighbours so that at most ``most`` buckets are left; and how many were joined."""
    joined = -(-len(counts) // most) or 1
    return [sum(counts[at : at + joined]) for at in range(0, len(counts), joined)], joined


def timeline(
    counts: Sequence[float],
    background: Sequence[float],
    start: datetime | None,
    bucket_seconds: float,
    *,
    width: float,
    key: str,
) -> Markup:
    """Two panels over one time axis, each with its own scale: the campaign above, all other traffic below."""
    length = max((at + 1 for row in (counts, background) for at, one in enumerate(row) if one), default=0)
    counts, background = counts[:length], background[:length]
    upper, joined = thin([*counts, *[0.0] * (length - len(counts))])
    lower, _ = thin([*background, *[0.0] * (length - len(background))])
    seconds = bucket_seconds * joined
    both = any(background)
    height = 268.0 if both else 178.0
    peak = max(upper, default=0.0)
    told = f"{whole(sum(upper))} exchanges of this group in buckets of {lasting(seconds)}; peak {whole(peak)}"
    if both:
        told += f". All other traffic: {whole(sum(lower))} exchanges, peak {whole(max(lower))} in a bucket"
    drawing = Drawing(width, height, "Exchanges over time", told + ".", key)
    buckets = max(len(upper), 1)
    edges = _panel(
        drawing, upper, (24.0, 138.0), buckets, "main", f"This group, exchanges per {lasting(seconds)}"
    )
    if both:
        _panel(drawing, lower, (178.0, 238.0), buckets, "back", "All other traffic, own scale")
    _time_axis(drawing, start, seconds * buckets, edges, height - 24)
    return drawing.markup()


def _panel(
    drawing: Drawing, counts: list[float], rows: tuple[float, float], buckets: int, kind: str, name: str
) -> tuple[float, float]:
    marks = ticks(max(counts, default=0.0), 3 if kind == "main" else 2)
    frame = Frame(_LEFT, drawing.width - 8, rows[0], rows[1], marks[-1], 0.0, float(buckets))
    drawing.text((_LEFT, rows[0] - 10), name, f"label strong {kind}-text")
    frame.rules(drawing, marks)
    outline = steps([frame.x(at) for at in range(len(counts) + 1)], [frame.y(count) for count in counts])
    base = number(frame.y(0))
    if outline:
        drawing.path(f"{outline}V{base}H{number(frame.left)}Z", f"{kind}-area")
        drawing.path(outline, f"{kind}-line")
    return frame.left, frame.right


def _time_axis(
    drawing: Drawing, start: datetime | None, seconds: float, edges: tuple[float, float], base: float
) -> None:
    if start is None:
        return
    most = max(2, int((edges[1] - edges[0]) // 72))
    try:
        stop = start + timedelta(seconds=seconds)
    except OverflowError:
        return
    frame = Frame(edges[0], edges[1], 0, 1, 1, start.timestamp(), stop.timestamp())
    for at, name in times(start, stop, most):
        x = frame.x(at.timestamp())
        drawing.line((x, 24), (x, base), "rule time")
        anchor = "start" if x < edges[0] + 20 else "end" if x > edges[1] - 16 else "middle"
        drawing.text((x, base + 16), name, "label num", anchor=anchor)


def spans(
    bars: Sequence[tuple[str, datetime, datetime, float]],
    first: datetime,
    last: datetime,
    *,
    width: float,
    key: str,
) -> Markup:
    """One bar per campaign (name, first seen, last seen, exchanges) over the time that was scanned."""
    row = 26.0
    left = 116.0
    height = 30.0 + row * len(bars)
    told = "; ".join(f"{name} from {day(begin)} to {day(end)}" for name, begin, end, _ in bars[:12])
    drawing = Drawing(width, height, "When each campaign was active", told + ".", key)
    edges = (left, width - 8)
    frame = Frame(*edges, 0, 1, 1, first.timestamp(), max(last.timestamp(), first.timestamp() + 1))
    for at, name in times(first, last, max(2, int((edges[1] - left) // 72))):
        x = frame.x(at.timestamp())
        drawing.line((x, 4), (x, height - 22), "rule time")
        anchor = "start" if x < left + 20 else "end" if x > edges[1] - 16 else "middle"
        drawing.text((x, height - 6), name, "label num", anchor=anchor)
    for index, (name, begin, end, exchanges) in enumerate(bars):
        y = 6.0 + row * index
        x = min(max(frame.x(begin.timestamp()), left), edges[1] - 3)
        stop = min(max(frame.x(end.timestamp()), x + 3), edges[1])
        drawing.text((0, y + 13), fit(name, left - 8, MONO), "label mono")
        drawing.line((left, y + 9), (edges[1], y + 9), "rule")
        drawing.rect((x, y, stop - x, 18), "main-bar", tip=f"{name}: {day(begin)} to {day(end)}")
        note = f"{short(exchanges)} exchanges"
        if stop - x > 110:
            drawing.text((x + 8, y + 13), note, "label onbar")
    return drawing.markup()
