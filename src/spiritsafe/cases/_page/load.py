"""Load per account, to see whether the work is shared out more evenly than among independent customers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.cases._page.phrase import decimal, share, short, whole
from spiritsafe.cases._page.svg import Drawing, Frame, polygon, steps, ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup
    from numpy.typing import NDArray

_BINS = 32
_WIDE = 40.0


def edges_of(values: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """Bin edges over ``values`` (counts ≥ 0), and whether they are logarithmic (a range over 40-fold)."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1:
        return np.array([low - 1, low, low + 1, low + 2]) + 0.0, False
    if low >= 1 and high / low > _WIDE:
        return np.unique(np.geomspace(low, high + 1, _BINS + 1).round()), True
    if low < 1 and high > 10 * _WIDE:
        return np.concatenate([[0.0], np.unique(np.geomspace(1, high + 1, _BINS).round())]), True
    step = max(1.0, math.ceil((high - low + 1) / _BINS))
    return np.arange(low, high + step + 1, step), False


def dispersion(counts: NDArray[Any]) -> float | None:
    """Variance over mean; 1 for independent random arrivals at one rate, below 1 for shared-out work."""
    mean = float(counts.mean()) if counts.size else 0.0
    return float(counts.var(ddof=1)) / mean if counts.size > 1 and mean > 0 else None


def load(counts: Sequence[float], background: Sequence[float], *, width: float, key: str) -> Markup:
    """Histogram of exchanges per account, with the background's (line) as shares of accounts.

    Without background the line is what independent random arrivals with the same mean would give (Poisson).
    """
    mine = np.maximum(np.asarray(counts, dtype=np.float64), 0)
    theirs = np.maximum(np.asarray(background, dtype=np.float64), 0)
    both = np.concatenate([mine, theirs]) if theirs.size else mine
    edges, logarithmic = edges_of(both)
    bars = np.histogram(mine, edges)[0] / max(mine.size, 1)
    if theirs.size:
        curve, name = np.histogram(theirs, edges)[0] / theirs.size, "other accounts"
    else:
        curve, name = _poisson(edges, float(mine.mean())), "independent random arrivals (Poisson)"
    spread = dispersion(mine)
    told = f"{whole(mine.size)} accounts, median {decimal(float(np.median(mine)))} exchanges each"
    told += f"; variance over mean {decimal(spread)}" if spread is not None else ""
    drawing = Drawing(width, 266, "Load per account", told + ".", key)
    drawing.rect((46, 6, 14, 11), "main-bar")
    drawing.text((66, 16), "this group", "label")
    drawing.line((46, 29), (60, 29), "back-line thick")
    drawing.text((66, 33), name, "label")
    drawing.text((width - 8, 16), "share of accounts", "label faint", anchor="end")
    marks = ticks(float(max(bars.max(), curve.max())), 4)
    frame = Frame(46, width - 8, 48, 218, marks[-1], 0.0, float(len(bars)))
    for mark in marks:
        drawing.line((frame.left, frame.y(mark)), (frame.right, frame.y(mark)), "rule" if mark else "axis")
        drawing.text((frame.left - 6, frame.y(mark) + 4), share(mark), "label num", anchor="end")
    for at, value in enumerate(bars):
        x, y = frame.x(at), frame.y(float(value))
        if value > 0:
            gap = 1.0 if frame.x(1) - frame.x(0) > 5 else 0.0
            tip = f"{short(edges[at])} to {short(edges[at + 1])}: {share(float(value))} of accounts"
            drawing.rect((x, y, frame.x(at + 1) - x - gap, frame.y(0) - y), "main-bar", tip=tip)
    xs = [frame.x(at) for at in range(len(bars) + 1)]
    if theirs.size:
        drawing.path(steps(xs, [frame.y(float(value)) for value in curve]), "back-line thick")
    else:
        middle = [(frame.x(at + 0.5), frame.y(float(value))) for at, value in enumerate(curve)]
        drawing.path(polygon(middle), "back-line thick")
    _axis(drawing, frame, edges, logarithmic=logarithmic)
    return drawing.markup()


def _poisson(edges: NDArray[Any], mean: float) -> NDArray[Any]:
    """Share of a Poisson variable of ``mean`` in each bin (exact sums up to 10,000, then the normal law)."""
    if mean <= 0:
        return np.zeros(len(edges) - 1)
    if edges[-1] <= 10_000:
        at = np.arange(math.floor(edges[-1]) + 1)
        logs = at * math.log(mean) - mean - np.array([math.lgamma(value + 1.0) for value in at])
        return np.histogram(at, edges, weights=np.exp(logs))[0]
    below = np.array([0.5 * (1 + math.erf((edge - mean) / math.sqrt(2 * mean))) for edge in edges])
    return np.diff(below)


def _axis(drawing: Drawing, frame: Frame, edges: NDArray[Any], *, logarithmic: bool) -> None:
    """Round numbers under the bins; bins have equal widths in the picture whatever they hold."""
    low, high = float(edges[0]), float(edges[-1])
    wished = max(2, int((frame.right - frame.left) // 52))
    if logarithmic:
        powers = range(math.floor(math.log10(max(low, 1.0))), math.ceil(math.log10(high)) + 1)
        marks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        inside = [mark for mark in marks if low <= mark <= high]
        marks = inside if len(inside) <= wished else [mark for mark in inside if str(mark).startswith("1")]
    else:
        step = ticks(high - low, wished)[1]
        marks = [step * at for at in range(math.ceil(low / step), math.floor(high / step) + 1)]
    for mark in marks:
        x = frame.x(float(np.interp(mark, edges, np.arange(len(edges)))))
        drawing.line((x, frame.lower), (x, frame.lower + 4), "axis")
        drawing.text(
            (x, frame.lower + 18),
            short(mark),
            "label num",
            anchor="end" if x > frame.right - 12 else "middle",
        )
    scale = " (log scale)" if logarithmic else ""
    drawing.text(
        (frame.right, frame.lower + 38), f"exchanges per account{scale}", "label faint", anchor="end"
    )
