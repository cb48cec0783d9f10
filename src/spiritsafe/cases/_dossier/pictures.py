"""Pictures of losses: the ranges of the methods, and what each depends on most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from spiritsafe.cases._page.exhibits import NARROW, WIDE, Figure
from spiritsafe.cases._page.phrase import short
from spiritsafe.cases._page.svg import Drawing, Frame, fit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

_ROW = 34.0


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
    if not rows:
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
    lowest = math.floor(math.log10(min(ends))) if log else min(0.0, *ends)
    highest = math.ceil(math.log10(max(ends))) if log else max(ends) * 1.05
    frame = Frame(left, width - 70, 0, 1, 1, lowest, max(highest, lowest + 1e-9))
    told = "; ".join(f"{name}: {short(low)} to {short(high)}" for name, low, high, _ in rows)
    drawing = Drawing(width, height, title, f"{told}.", key)
    base = height - 26
    marks = range(int(lowest), int(highest) + 1) if log else [highest * part / 4 for part in range(5)]
    for mark in marks:
        x = frame.x(mark)
        drawing.line((x, 2), (x, base), "rule")
        drawing.text((x, base + 16), short(10.0**mark if log else mark), "label num", anchor="middle")
    for at, (name, low, high, middle) in enumerate(rows):
        top = 6 + row * at + (16 if narrow else 0)
        where = (left, top - 4) if narrow else (left - 10, top + 14)
        drawing.text(
            where,
            fit(name, width - 20 if narrow else left - 14),
            "label",
            anchor="start" if narrow else "end",
        )
        begin, end = frame.x(scale(low)), frame.x(scale(high))
        drawing.rect((begin, top, max(end - begin, 1.5), 18), "main-bar")
        x = frame.x(scale(middle)) if middle > 0 or not log else begin
        drawing.line((x, top - 3), (x, top + 21), "axis", thick=2)
        drawing.text((end + 6, top + 13), short(high), "label num")
    return drawing.markup()
