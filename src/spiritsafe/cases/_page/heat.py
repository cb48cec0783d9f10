"""Heat maps: accounts by streams, and the overlap of accounts' work."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spiritsafe.cases._page.phrase import decimal, short, whole
from spiritsafe.cases._page.svg import MONO, Drawing, fit, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup
    from numpy.typing import NDArray

_ROWS = 64
#: The most streams that are drawn one by one.
COLUMNS = 32
#: Shades of a heat map. Few, so that a shade can be found again in the legend.
SHADES = 6
_NAMED = 12


class Gathered(NamedTuple):
    """A table ready to draw (rows × columns), the order of streams and of accounts, and accounts per row."""

    table: NDArray[Any]
    streams: NDArray[Any]
    accounts: NDArray[Any]
    joined: int


def gather(counts: Sequence[Sequence[float]]) -> Gathered:
    """Orders and joins an (accounts × streams) table until it is readable.

    Streams: in their order; when there are more than 32, by exchanges, and the least in one last column. Accounts:
    by the stream they use most and its share, then joined in runs of equal length (means) to at most 64 rows.
    """
    table = np.asarray(counts, dtype=np.float64)
    order = np.arange(table.shape[1])
    if table.shape[1] > COLUMNS:
        order = np.argsort(-table.sum(axis=0), kind="stable")
        table = table[:, order]
    if table.shape[1] > COLUMNS:
        table = np.column_stack([table[:, : COLUMNS - 1], table[:, COLUMNS - 1 :].sum(axis=1)])
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1e-12)
    ranked = np.lexsort((-table.sum(axis=1), -share.max(axis=1), share.argmax(axis=1)))
    table = table[ranked]
    joined = -(-table.shape[0] // _ROWS)
    rows = [table[at : at + joined].mean(axis=0) for at in range(0, table.shape[0], joined)]
    return Gathered(np.asarray(rows), order, ranked, joined)


def matrix(accounts: Sequence[str], counts: Sequence[Sequence[float]], *, width: float, key: str) -> Markup:
    """Accounts (rows) by streams (columns); the shade is the logarithm of the exchanges."""
    table, order, ranked, joined = gather(counts)
    rows, columns = table.shape
    named = rows <= _NAMED and joined == 1 and len(accounts) >= rows
    left = 96.0 if named else 24.0
    tall = min(max(220.0 / rows, 3.5), 22.0)
    upper, base = 33.0, 33.0 + tall * rows
    wide = (width - left - 8) / columns
    top = float(table.max(initial=0.0))
    told = (
        f"{whole(len(counts))} accounts by {whole(len(order))} streams. "
        f"The first stream holds {whole(float(np.asarray(counts)[:, order[0]].sum()))} exchanges; "
        f"the busiest cell holds {decimal(top)}."
    )
    drawing = Drawing(width, base + 62, "Accounts by streams", told, key)
    step = max(1, math.ceil(22 / wide))
    for at in range(0, columns, step):
        more = columns == COLUMNS and len(order) > COLUMNS and at == columns - 1
        drawing.text(
            (left + wide * (at + 0.5), 26), "rest" if more else str(at + 1), "label num", anchor="middle"
        )
    drawing.text(
        (left, 10), "streams" + (", most exchanges first" if len(order) > COLUMNS else ""), "label faint"
    )
    if named:
        for row, at in enumerate(ranked[:rows]):
            place = (left - 6, upper + tall * (row + 0.5) + 4)
            drawing.text(place, fit(accounts[int(at)], left - 10, MONO), "label mono", anchor="end")
    else:
        each = "one account a row" if joined == 1 else f"{joined} accounts a row (mean)"
        _upright(drawing, (14, upper + tall * rows / 2), each)
    drawing.rect((left, upper, wide * columns, tall * rows), "ground")
    _cells(drawing, table, (left, upper, wide, tall), math.log1p(top))
    _legend(drawing, (left, base + 14), f"exchanges of an account, up to {short(top)} (log scale)")
    return drawing.markup()


def _upright(drawing: Drawing, at: tuple[float, float], text: str) -> None:
    drawing.parts.append(f'<g transform="rotate(-90 {number(at[0])} {number(at[1])})">')
    drawing.text(at, text, "label faint", anchor="middle")
    drawing.parts.append("</g>")


def _cells(
    drawing: Drawing, table: NDArray[Any], place: tuple[float, float, float, float], top: float
) -> None:
    """All cells of one shade as one path: a page with thousands of cells stays small."""
    left, upper, wide, tall = place
    shade = np.ceil(np.log1p(np.maximum(table, 0)) / (top or 1.0) * SHADES - 1e-9).astype(int)
    gap = 1.0 if min(wide, tall) >= 6 else 0.0
    for level in range(1, SHADES + 1):
        commands = [
            f"M{number(left + wide * column)} {number(upper + tall * row)}h{number(wide - gap)}v{number(tall - gap)}"
            f"h-{number(wide - gap)}z"
            for row, column in zip(*np.nonzero(shade == level), strict=True)
        ]
        if commands:
            drawing.path("".join(commands), "main-fill", fade=(level / SHADES) ** 1.4)


def _legend(drawing: Drawing, at: tuple[float, float], name: str) -> None:
    x, y = at
    drawing.rect((x, y, 14 * (SHADES + 1), 12), "ground")
    for level in range(1, SHADES + 1):
        drawing.rect((x + 14 * level, y, 14, 12), "main-fill", fade=(level / SHADES) ** 1.4)
    drawing.text((x, y + 28), fit(name, drawing.width - x), "label faint")


def overlap(labels: Sequence[str], cells: Sequence[Sequence[float]], *, width: float, key: str) -> Markup:
    """A square table of overlaps (0 to 1): how much of one account's work another account did too."""
    most = 24
    table = np.asarray(cells, dtype=np.float64)[:most, :most]
    size = min(table.shape)
    table = table[:size, :size]
    left = 100.0
    side = min((width - left - 4) / size, 34.0)
    beside = table[~np.eye(size, dtype=bool)] if size > 1 else np.zeros(1)
    middle = float(np.median(beside))
    told = f"{size} accounts; the median overlap of two different accounts is {decimal(middle)}."
    base = 8 + side * size
    drawing = Drawing(width, base + 54, "Overlap of work between accounts", told, key)
    top = max(1.0, float(table.max(initial=0.0)))
    for row in range(size):
        name = labels[row] if row < len(labels) else ""
        drawing.text(
            (left - 6, 8 + side * (row + 0.5) + 4), fit(name, left - 8, MONO), "label mono", anchor="end"
        )
        for column in range(size):
            value = float(table[row, column])
            box = (left + side * column, 8 + side * row, side - 1, side - 1)
            drawing.rect(box, "ground")
            if value > 0:
                drawing.rect(box, "self-fill" if row == column else "main-fill", fade=max(0.08, value / top))
            if side >= 26:
                dark = value / top > 0.55 and row != column  # noqa: PLR2004
                drawing.text(
                    (box[0] + side / 2 - 0.5, box[1] + side / 2 + 3.5),
                    "–" if row == column else f"{value:.2f}".lstrip("0") if 0 < value < 1 else f"{value:.0f}",
                    "cell onmain" if dark else "cell",
                    anchor="middle",
                )
    _legend(drawing, (left, base + 14), "share of items in common, 0 to 1")
    return drawing.markup()
