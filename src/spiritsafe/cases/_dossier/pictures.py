"""Pictures of losses: the ranges of the methods, and what each depends on most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from spiritsafe.cases._page.exhibits import NARROW, WIDE, Figure
from spiritsafe.cases._page.phrase import short
from spiritsafe.cases._page.svg import Drawing, Frame, fit, ticks, wrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

_ROW = 34.0
_LEAST = 0.05
"""Of the median: what moves a result by less is not drawn."""


def ranges(methods: Sequence[Mapping[str, Any]], currency: str, key: str) -> Figure | None:
    """One bar a method, from low to high on a scale of magnitudes, with a tick at the median."""
    rows = [
        (one["question"], one["low"], one["high"], one["median"])
        for one in methods
        if one["estimated"] and one["low"] > 0
    ]
    if not rows:
        return None
    reading = (
        f"{currency}, on a scale of magnitudes. The bar holds nine of ten draws; the tick is their median."
    )
    return Figure(
        "What was taken, by method",
        _bars("Ranges by method", rows, WIDE, f"{key}b", log=True),
        _bars("Ranges by method", rows, NARROW, f"{key}n", log=True),
        "", reading, full=True,
    )  # fmt: skip


def tornado(method: Mapping[str, Any], currency: str, key: str) -> Figure | None:
    """The result of one method as each figure goes from its 5 % to its 95 % quantile; None when nothing moves it."""
    rows = [(one["figure"], one["low"], one["high"], method["median"]) for one in method["sensitivity"][:8]]
    if not rows or rows[0][2] - rows[0][1] < _LEAST * method["median"]:
        return None
    return Figure(
        f"What it depends on: {method['question']}",
        _bars("Sensitivity", rows, WIDE, f"{key}b", log=False),
        _bars("Sensitivity", rows, NARROW, f"{key}n", log=False),
        "", f"{currency}. Each figure alone goes from low to high, all others stay at their medians.", full=True,
    )  # fmt: skip


def _bars(
    title: str, rows: Sequence[tuple[str, float, float, float]], width: float, key: str, *, log: bool
) -> Markup:
    narrow = width < 500
    left, row = (4.0, 46.0) if narrow else (330.0, _ROW)
    height = 34.0 + row * len(rows)
    ends = [value for _, low, high, _ in rows for value in (low, high)]
    scale = math.log10 if log else float
    lowest = math.floor(math.log10(min(ends))) if log else 0
    highest = max(math.ceil(math.log10(max(ends))), lowest + 1) if log else 0
    marks = list(range(lowest, highest + 1)) if log else ticks(max(ends), 3 if narrow else 6)
    frame = Frame(left, width - 70, 0, 1, 1, marks[0], marks[-1])
    told = "; ".join(f"{name}: {short(low)} to {short(high)}" for name, low, high, _ in rows)
    drawing = Drawing(width, height, title, f"{told}.", key)
    base = height - 26
    for mark in marks:
        x = frame.x(mark)
        drawing.line((x, 2), (x, base), "rule")
        drawing.text((x, base + 16), short(10.0**mark if log else mark), "label num", anchor="middle")
    for at, (name, low, high, middle) in enumerate(rows):
        top = 6 + row * at + (16 if narrow else 0)
        if narrow:
            drawing.text((left, top - 4), fit(name, width - 20), "label")
        else:
            _beside(drawing, name, left, top)
        begin, end = frame.x(scale(low)), frame.x(scale(high))
        drawing.rect((begin, top, max(end - begin, 1.5), 18), "main-bar")
        x = frame.x(scale(middle)) if middle > 0 or not log else begin
        drawing.line((x, top - 3), (x, top + 21), "axis", thick=2)
        drawing.text((end + 6, top + 13), short(high), "label num")
    return drawing.markup()


def _beside(drawing: Drawing, name: str, left: float, top: float) -> None:
    """A name left of its bar, in one line or two."""
    lines = wrap(name, left - 14)
    for at, text in enumerate(lines):
        drawing.text((left - 10, top + 20 - 6.5 * len(lines) + 13 * at), text, "label", anchor="end")
