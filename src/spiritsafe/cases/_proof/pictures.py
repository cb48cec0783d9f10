"""Two pictures: the suspect beside controls and false labels, and the power of the test with this run on it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from spiritsafe.cases._page.phrase import short
from spiritsafe.cases._page.svg import Drawing, Frame, fit, number, polygon, ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

_ROW = 30.0
_LONGEST = 14  # rows of controls that are drawn


def beside(
    rows: Sequence[tuple[str, Sequence[float], str]], alpha: float, *, width: float, key: str
) -> Markup:
    """One row a model: dots at -log10 p. ``rows``: name, the values, kind ("main-fill" for the suspect)."""
    shown = list(rows[:_LONGEST])
    narrow = width < 500
    left, row = (8.0, 42.0) if narrow else (250.0, _ROW)
    height = 40.0 + row * len(shown)
    most = max([-math.log10(alpha) * 1.5, *(value for _, values, _ in shown for value in values)])
    marks = ticks(most, 4 if narrow else 7)
    frame = Frame(left, width - 30, 0, 1, 1, 0.0, marks[-1])
    told = "; ".join(
        f"{name}: {', '.join(f'{value:.1f}' for value in values[:5])}{' …' if len(values) > 5 else ''}"
        for name, values, _ in shown
    )
    drawing = Drawing(width, height, "Suspect, controls and false labels", f"Minus log10 of p. {told}.", key)
    base = height - 30
    for mark in marks:
        x = frame.x(mark)
        drawing.line((x, 4), (x, base), "rule" if mark else "axis")
        drawing.text((x, base + 16), f"{mark:g}", "label num", anchor="middle")
    edge = frame.x(-math.log10(alpha))
    drawing.line((edge, 4), (edge, base), "joint")
    drawing.text((edge + 4, 12), f"p = {alpha:g}", "label faint halo")
    drawing.text(
        (width, base + 28), "−log10 p: further right is less like chance", "label faint", anchor="end"
    )
    for at, (name, values, kind) in enumerate(shown):
        y = 22 + row * at + (14 if narrow else 0)
        where = (left, y - 12) if narrow else (left - 12, y + 4)
        drawing.text(
            where, fit(name, width - 20 if narrow else left - 20), "label strong" if kind == "main-fill" else "label",
            anchor="start" if narrow else "end",
        )  # fmt: skip
        drawing.line((left, y), (frame.right, y), "rule")
        for value in values:
            drawing.circle(
                (frame.x(min(value, marks[-1])), y), 6.0 if kind == "main-fill" else 4.0, kind,
                tip=f"{name}: −log10 p = {value:.2f}",
            )  # fmt: skip
    return drawing.markup()


def curve(
    drawn: Mapping[str, Any], n: int, power: float | None, target: float, *, width: float, key: str
) -> Markup:
    """Power over n (log scale) at the stated exposure, with its bounds, the measured points, and this run."""
    line = [one for one in drawn["line"] if one[0] > 0]
    # Points of this very exposure are drawn; others carry the fit and would only confuse the picture.
    points = [one for one in drawn["points"] if math.isclose(one[0], drawn["exposure"], rel_tol=1e-6)]
    ends = [math.log10(one[0]) for one in line] + [math.log10(max(n, 1))]
    low, high = min(ends), max(*ends, min(ends) + 0.3)
    height = 250.0
    frame = Frame(46, width - 16, 12, height - 40, 1.0, low, high)
    at = f"{power:.0%}" if power is not None else "not measured"
    drawing = Drawing(
        width, height, "Power of the test",
        f"Chance to find a copy with an exposure of {drawn['exposure']:g} by number of {drawn['unit']}. "
        f"This run had {n}: {at}.", key,
    )  # fmt: skip
    frame.rules(drawing, [0.0, 0.25, 0.5, 0.75, 1.0])
    for exponent in range(math.ceil(low), math.floor(high) + 1):
        drawing.text((frame.x(exponent), height - 24), short(10.0**exponent), "label num", anchor="middle")
    drawing.text((frame.right, height - 8), drawn["unit"], "label faint", anchor="end")
    if line:
        xs = [frame.x(math.log10(one[0])) for one in line]
        upper = [(x, frame.y(one[3])) for x, one in zip(xs, line, strict=True)]
        lower = [(x, frame.y(one[2])) for x, one in zip(xs, line, strict=True)]
        drawing.path(polygon([*upper, *reversed(lower)]) + "Z", "back-area")
        told = [(x, frame.y(one[1])) for x, one in zip(xs, line, strict=True) if one[1] is not None]
        drawing.path(polygon(told), "back-line thick")
    for _, many, hits, runs in points:
        drawing.circle(
            (frame.x(math.log10(many)), frame.y(hits / runs)),
            3.5,
            "dot",
            tip=f"{hits} of {runs} found with {many}",
        )
    drawing.line((frame.left, frame.y(target)), (frame.right, frame.y(target)), "joint")
    drawing.text((frame.left + 4, frame.y(target) - 4), f"wanted: {target:.0%}", "label faint halo")
    x = frame.x(math.log10(max(n, 1)))
    drawing.path(f"M{number(x)} {number(frame.upper)}V{number(frame.lower)}", "main-line")
    side = "end" if x > (frame.left + frame.right) / 2 else "start"
    drawing.text(
        (x + (-6 if side == "end" else 6), frame.lower - 8),
        f"this run: {n:,}",
        "label main-text halo",
        anchor=side,
    )
    if power is not None:
        drawing.circle((x, frame.y(power)), 5.0, "main-fill", tip=f"this run: {power:.0%}")
    return drawing.markup()
