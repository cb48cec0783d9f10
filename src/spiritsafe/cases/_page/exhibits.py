"""From an exhibit of the result to a figure of the page: what is drawn, and what stands under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.cases._page import bars, graph, heat, load, timeline, view
from spiritsafe.cases._page.phrase import decimal
from spiritsafe.cases._page.record import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from markupsafe import Markup

    from spiritsafe.cases._page.record import Record

#: Drawing widths (CSS pixels): across the page, half of it, and on a telephone.
WIDE, HALF, NARROW = 980.0, 470.0, 332.0
#: The most streams whose names are told under a matrix.
_NAMED = 12


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing for broad and one for narrow screens, and the words about it.

    ``full`` spans both columns; ``alone`` stands in the last row with nothing beside it, so its words stand there.
    """

    title: str
    broad: Markup
    narrow: Markup
    note: str
    reading: str
    full: bool = False
    alone: bool = False


def _both(
    draw: Callable[[float, str], Markup | None], width: float, key: str
) -> tuple[Markup, Markup] | None:
    broad, narrow = draw(width, f"{key}b"), draw(NARROW, f"{key}n")
    return None if broad is None or narrow is None else (broad, narrow)


def figure(row: Record, key: str) -> Figure | None:
    """The drawn exhibit, or None when its kind is unknown or it holds nothing to draw."""
    kind = row.text("kind", limit=20)
    maker = {
        "timeline": _timeline,
        "load": _load,
        "matrix": _matrix,
        "overlap": _overlap,
        "graph": _graph,
    }.get(kind)
    return maker(row, key) if maker else None


def waterfall(campaign: Record, decided: float | None, key: str) -> Figure | None:
    """The evidence in bits, piece by piece, beside the bits that the decision rests on.

    Pieces that add up to them (multiplied e-values) stand as a waterfall; others (averaged e-values) side by side, for
    their bits must not be added.
    """
    pieces = [
        (row.text("label", limit=80) or "unnamed", row.number("bits"))
        for row in campaign.rows("evidence_bits")
    ]
    known = [(name, bits) for name, bits in pieces if bits is not None]
    if not known:
        return None
    together = sum(bits for _, bits in known)
    adds = decided is None or abs(decided - together) <= 1
    total = together if decided is None or adds else decided
    drawn = _both(
        lambda width, name: bars.waterfall(known, total, adds=adds, width=width, key=name), WIDE, key
    )
    reading = "Ten bits more make coincidence a thousand times less likely. "
    reading += (
        "Each bar begins where the one above it ends."
        if adds
        else "The tests look at the same accounts, so their bits are not added: the last bar is what the decision "
        "rests on, with a price paid for having tried several tests."
    )
    return Figure("Evidence, piece by piece", *drawn, "", reading, full=True) if drawn else None


def _note(row: Record) -> str:
    return row.text("note", limit=500)


def _timeline(row: Record, key: str) -> Figure | None:
    counts, background = row.numbers("counts"), row.numbers("background")
    if not any(counts):
        return None
    start, bucket = row.time("start"), max(row.number("bucket_seconds") or 3600.0, 1.0)
    drawn = _both(
        lambda width, name: timeline.timeline(counts, background, start, bucket, width=width, key=name),
        WIDE,
        key,
    )
    reading = "The two panels share the time axis; each has its own scale."
    reading = reading if any(background) else ""
    return (
        Figure(row.text("title") or "Traffic over time", *drawn, _note(row), reading, full=True)
        if drawn
        else None
    )


def _load(row: Record, key: str) -> Figure | None:
    counts, background = row.numbers("counts"), row.numbers("background")
    if not any(counts):
        return None
    drawn = _both(lambda width, name: load.load(counts, background, width=width, key=name), HALF, key)
    spread = load.dispersion(np.asarray(counts))
    reading = ""
    if spread is not None:
        reading = (
            f"Variance over mean is {decimal(spread)}. Independent random arrivals at one rate give 1; customers with "
            "needs of their own give far more; work handed out by one hand gives less."
        )
    return Figure(row.text("title") or "Load per account", *drawn, _note(row), reading) if drawn else None


def _matrix(row: Record, key: str) -> Figure | None:
    counts = row.grid("counts")
    if not counts or not counts[0] or not any(any(line) for line in counts):
        return None
    accounts = view.names([*row.items("accounts"), *[None] * (len(counts) - row.count("accounts"))])
    drawn = _both(lambda width, name: heat.matrix(accounts, counts, width=width, key=name), HALF, key)
    reading = "One dark column: all accounts work on the same task. A diagonal: tasks are divided among them."
    streams = row.texts("streams", limit=60)
    if len(streams) == len(counts[0]) <= _NAMED:
        reading += f" Streams: {', '.join(f'{at} {name}' for at, name in enumerate(streams, 1))}."
    return Figure(row.text("title") or "Accounts by streams", *drawn, _note(row), reading) if drawn else None


def _overlap(row: Record, key: str) -> Figure | None:
    cells = row.grid("matrix")
    if min(len(cells), len(cells[0]) if cells else 0) < 2:
        return None
    labels = view.names([*row.items("labels")], 40)
    drawn = _both(lambda width, name: heat.overlap(labels, cells, width=width, key=name), HALF, key)
    reading = (
        ""
        if row.text("note")
        else "Work that is divided overlaps little; a task that many do overlaps fully."
    )
    return Figure(row.text("title") or "Overlap of work", *drawn, _note(row), reading) if drawn else None


def _graph(row: Record, key: str) -> Figure | None:
    nodes: list[tuple[str, str, str]] = []
    for node in row.rows("nodes"):
        name = node.text("id", limit=120)
        if name:
            nodes.append((name, node.text("kind", limit=20), node.text("label", limit=60)))
    edges: list[tuple[str, str, str]] = []
    for edge in row.items("edges"):
        if isinstance(edge, list | tuple) and len(edge) >= 2:  # pyright: ignore[reportUnknownArgumentType]
            ends = [clean(part, limit=120) for part in edge[:3]]  # pyright: ignore[reportUnknownVariableType]
            edges.append((ends[0], ends[1], ends[2] if len(ends) > 2 and ends[2] else "shared value"))
    drawn = _both(lambda width, name: graph.graph(nodes, edges, width=width, key=name), WIDE, key)
    reading = (
        "A dot is an account; accounts that share the same values stand together in a circle. A box is a value, with "
        "the number of accounts that share it; colours name the layer of evidence."
    )
    title = row.text("title") or "Who shares what"
    return Figure(title, *drawn, _note(row), reading, full=True) if drawn else None
