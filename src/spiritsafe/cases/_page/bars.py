"""Evidence as a waterfall in bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spiritsafe.cases._page.phrase import bits_text
from spiritsafe.cases._page.svg import Drawing, Frame, fit, ticks, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

_MOST = 14
_TOTAL = {True: "Together", False: "The decision rests on"}


def waterfall(
    pieces: Sequence[tuple[str, float]], total: float, *, adds: bool, width: float, key: str
) -> Markup:
    """Bars in bits, and ``total`` as the last one. Bits to the left of the axis speak against.

    With ``adds`` each piece starts where the one before ended; else all start at 0.
    """
    shown = [*pieces[:_MOST]]
    if len(pieces) > _MOST and adds:
        shown.append((f"{len(pieces) - _MOST} more", sum(bits for _, bits in pieces[_MOST:])))
    begins = [0.0]
    for _, bits in shown:
        begins.append(begins[-1] + bits if adds else 0.0)
    bars = [(name, begin, begin + bits) for (name, bits), begin in zip(shown, begins, strict=False)]
    bars.append((_TOTAL[adds], 0.0, total))
    told = "; ".join(f"{name}: {bits_text(end - begin)}" for name, begin, end in bars) + "."
    plan = _plan(bars, width)
    drawing = Drawing(width, plan.height, "Evidence in bits", told, key)
    _scale(drawing, plan)
    for index, bar in enumerate(bars):
        _bar(drawing, plan, index, bar, last=index == len(shown))
        if adds and index < len(shown):
            x, top = plan.frame.x(bar[2]), plan.top(index) + plan.tall
            drawing.line((x, top), (x, top + plan.row - plan.tall), "joint")
    return drawing.markup()


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where things stand: names beside the bars, or above them in a ``narrow`` drawing."""

    frame: Frame
    marks: list[float]
    narrow: bool
    row: float
    tall: float
    height: float

    def top(self, index: int) -> float:
        return 4 + self.row * index + (16 if self.narrow else 0)


def _plan(bars: Sequence[tuple[str, float, float]], width: float) -> _Plan:
    narrow = width < 500
    row, left = (40.0, 4.0) if narrow else (30.0, 340.0)
    ends = [end for _, _, end in bars]
    marks = ticks(max(*ends, 1.0), 4 if narrow else 6)
    low = max(min(0.0, *ends), -0.25 * marks[-1])  # a long bar against is cut; its number stands beside it
    frame = Frame(left, width - 60, 0, 1, 1, low, marks[-1])
    return _Plan(frame, marks, narrow, row, 16.0 if narrow else 18.0, 34.0 + row * len(bars))


def _scale(drawing: Drawing, plan: _Plan) -> None:
    base = plan.height - 26
    for mark in plan.marks:
        x = plan.frame.x(mark)
        drawing.line((x, 2), (x, base), "rule" if mark else "axis")
        drawing.text((x, base + 16), f"{mark:g}", "label num", anchor="middle" if mark else "start")
    drawing.text((drawing.width, base + 16), "bits", "label faint", anchor="end")


def _bar(drawing: Drawing, plan: _Plan, index: int, bar: tuple[str, float, float], *, last: bool) -> None:
    name, begin, end = bar
    frame, top = plan.frame, plan.top(index)
    left, right = sorted(frame.x(min(max(value, frame.low), frame.high)) for value in (begin, end))
    weight = "label strong" if last else "label"
    if plan.narrow:
        drawing.text((frame.left, top - 4), fit(name, drawing.width - 20), f"{weight} halo")
    else:
        lines = wrap(name, frame.left - 14)
        for at, line in enumerate(lines):
            drawing.text(
                (frame.left - 10, top + 20.5 - 6.5 * len(lines) + 13 * at), line, weight, anchor="end"
            )
    kind = "total-bar" if last else "main-bar" if end >= begin else "against-bar"
    drawing.rect((left, top, max(right - left, 1.5), plan.tall), kind)
    sign = "+" if not last and end >= begin else ""
    drawing.text(
        (right + 6, top + 13), sign + bits_text(end - begin).removesuffix(" bits"), "label num strong"
    )
