"""What the drawings of the campaign's page have in common, and the drawings: timeline, weighing, network.

SVG with classes for colours and no style of its own, as the content security policy asks. Every text is escaped. A drawing in
which something can be chosen is a group of links; the others are one picture with a description. Each has a table beside it.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zlib import crc32

from markupsafe import Markup, escape

from spiritsafe.cases._page.record import clean
from spiritsafe.cases._page.svg import Drawing, Frame, fit, number, ticks, times, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spiritsafe.console.campaign.network import Edge, Network, Node
    from spiritsafe.console.campaign.timeline import Timeline
    from spiritsafe.console.campaign.weighing import Step

BROAD, HALF, NARROW = 1160.0, 700.0, 330.0
"""Widths in CSS pixels: across the page at 1280, a part of it, and at 390."""
_LEFT = 44.0


def timeline(shown: Timeline, *, width: float, key: str) -> Markup:
    """Bars of this group, those of all others below on a scale of their own, and marks with numbers.

    The picture's data attributes say where which time stands, so that a script can let people choose a span.
    """
    narrow = width < 500
    both = shown.background is not None and any(shown.background)
    top = 30.0 if shown.marks else 18.0
    base = top + 118.0
    height = base + (78.0 if both else 0.0) + 26.0
    drawing = Drawing(width, height, "Exchanges over time", _told(shown), key)
    bars = len(shown.counts)
    begin = shown.start // shown.step * shown.step
    left, right = _LEFT, width - 6.0
    end = begin + bars * shown.step
    _panel(drawing, shown.counts, (top, base), (left, right), "main")
    if both and shown.background is not None:
        drawing.text((left, base + 22), "all other traffic, own scale", "label faint")
        _panel(drawing, shown.background, (base + 28, base + 74), (left, right), "back")
    frame = Frame(left, right, 0, 1, 1, begin / 1e6, end / 1e6)
    foot = height - 24
    most = 4 if narrow else 10
    for at, name in times(
        datetime.fromtimestamp(begin / 1e6, UTC), datetime.fromtimestamp(end / 1e6, UTC), most
    ):
        x = frame.x(at.timestamp())
        if left <= x <= right:
            drawing.line((x, foot), (x, foot + 4), "axis")
            anchor = "start" if x < left + 16 else "end" if x > right - 18 else "middle"
            drawing.text((x, foot + 18), name, "label num", anchor=anchor)
    for place, mark in enumerate(shown.marks[:20], 1):
        x = frame.x(mark.time / 1e6)
        drawing.line((x, 20), (x, foot), f"mark {mark.kind}")
        drawing.circle((x, 12), 8.5, f"mark-dot {mark.kind}", tip=clean(mark.text))
        drawing.text((x, 16), str(place), "mark-number", anchor="middle")
    text = str(drawing.markup())
    data = f'class="drawn" data-from="{begin}" data-to="{end}" data-left="{number(left)}" data-right="{number(right)}" '
    return Markup(text.replace("<svg ", f"<svg {data}", 1))  # noqa: S704 - numbers of our own


def _panel(
    drawing: Drawing, counts: Sequence[int], rows: tuple[float, float], edges: tuple[float, float], kind: str
) -> None:
    marks = ticks(max(counts, default=0) or 1, 3 if kind == "main" else 1)
    frame = Frame(edges[0], edges[1], rows[0], rows[1], marks[-1], 0.0, float(max(len(counts), 1)))
    frame.rules(drawing, marks)
    gap = 1.0 if frame.x(1) - frame.x(0) > 3 else 0.0
    for at, count in enumerate(counts):
        if count:
            y = frame.y(count)
            drawing.rect(
                (frame.x(at), y, frame.x(at + 1) - frame.x(at) - gap, max(frame.lower - y, 0.8)),
                f"{kind}-bar",
            )


def _told(shown: Timeline) -> str:
    peak = max(shown.counts, default=0)
    length = shown.step // 1_000_000
    unit = (
        f"{length // 86_400} days"
        if length > 86_400
        else "day"
        if length == 86_400
        else f"{length // 60} minutes"
    )
    when = datetime.fromtimestamp(shown.start / 1e6, UTC).strftime("%Y-%m-%d %H:%M")
    return f"{shown.shown:,} exchanges of this group from {when} on; at most {peak:,} in {unit}. The table below has each bar."


def weighing(
    steps: Sequence[Step],
    total: float,
    bar: float | None,
    *,
    width: float,
    key: str,
    words: Callable[[str], str],
) -> Markup:
    """A bar for each test's bits, one for all together, and a line for the bar of e-BH. The scale is a square root's, with sign.

    ``total`` and ``bar`` in bits. So the bar stays in sight where evidence is a hundred times more.
    """
    narrow = width < 500
    rows = [
        (clean(words(one.name), limit=80), one.bits, "against-bar" if one.bits < 0 else "main-bar", one.alone)
        for one in steps
    ]
    rows.append(("together, the average", total, "total-bar", bar is not None and total >= bar))
    row, tall = (38.0, 15.0) if narrow else (27.0, 17.0)
    left = 6.0 if narrow else 236.0
    high = max([bits for _, bits, _, _ in rows] + [(bar or 1.0) * 1.6, 1.0])
    low = min([bits for _, bits, _, _ in rows] + [0.0])
    frame = Frame(left, width - 64, 0, 1, 1, _root(max(low, -high * 0.25)), _root(high))
    head = 22.0
    height = head + row * len(rows) + 22.0
    told = "; ".join(f"{name}: {_bits(bits)}" for name, bits, _, _ in rows)
    drawing = Drawing(width, height, "Evidence, test by test", f"{told}. The bar of e-BH: {_bits(bar)}.", key)
    foot = height - 20
    for mark in _marks(high, narrow=narrow):
        x = frame.x(_root(mark))
        drawing.line((x, head - 4), (x, foot), "rule" if mark else "axis")
        drawing.text((x, foot + 15), f"{mark:,.0f}", "label num", anchor="middle" if mark else "start")
    drawing.text(
        (width - 2, 12),
        "bits, √ scale" if narrow else "bits, on a square-root scale",
        "label faint",
        anchor="end",
    )
    for at, (name, bits, kind, alone) in enumerate(rows):
        y = head + row * at + (16.0 if narrow else 3.0)
        ends = sorted(frame.x(min(max(_root(value), frame.low), frame.high)) for value in (0.0, bits))
        last = at == len(rows) - 1
        weight = "label strong" if last else "label"
        if narrow:
            drawing.text((left, y - 4), fit(name, width - 20), f"{weight} halo")
        else:
            lines = wrap(name, left - 16)
            for n, line in enumerate(lines):
                drawing.text((left - 12, y + 18.5 - 6.5 * len(lines) + 13 * n), line, weight, anchor="end")
        drawing.rect(
            (ends[0], y, max(ends[1] - ends[0], 1.5), tall),
            kind if alone or bits < 0 or last else f"{kind} weak",
        )
        # What speaks against one hand is told beyond the bar's line, not across it.
        beyond = ends[1] if bits >= 0 or bar is None else frame.x(_root(bar))
        drawing.text((beyond + 6, y + 13), f"{bits:,.1f}".replace("-", "−"), "label num strong")
    if bar is not None:
        x = frame.x(_root(bar))
        drawing.line((x, head - 6), (x, foot), "bar-line")
        drawing.text((x + 4, 12), f"bar of e-BH: {bar:,.1f} bits", "label bar-text")
    return Markup(str(drawing.markup()).replace("<svg ", '<svg class="drawn" ', 1))  # noqa: S704 - a word of our own


def _root(bits: float) -> float:
    return math.copysign(math.sqrt(abs(bits)), bits)


def _marks(high: float, *, narrow: bool) -> list[float]:
    """Numbers of bits that stand apart on the scale of the square root."""
    all_marks = [0.0, *(step * 10.0**power for power in range(6) for step in (1, 2, 5))]
    found: list[float] = []
    least = _root(high) / (5 if narrow else 9)
    for mark in all_marks:
        if mark <= high and (not found or _root(mark) - _root(found[-1]) >= least):
            found.append(mark)
    return found


def _bits(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.1f} bits"


_COLUMNS: Final = ((0.0, 250.0), (440.0, 300.0), (930.0, 230.0))
"""Left edge and width of streams, accounts, infrastructure."""
_SMALL: Final = 30.0
"""Nodes less tall have one line."""
_HEADS: Final = ("Streams", "Accounts", "Infrastructure")


def network(graph: Network, link: Callable[[Node], tuple[str, str] | None], *, key: str) -> Markup:
    """Three columns of nodes and the edges between them, as broad as what they stand for (by the square root).

    ``link`` gives address and purpose of a node that leads somewhere.
    """
    columns = [[one for one in graph.nodes if one.column == at] for at in range(3)]
    most = [max((one.size for one in nodes), default=1) or 1 for nodes in columns]
    tall = [[_tall(one, most[at]) for one in nodes] for at, nodes in enumerate(columns)]
    gap = 9.0
    heights = [sum(rows) + gap * max(len(rows) - 1, 0) for rows in tall]
    height = max(*heights, 60.0) + 34.0
    place: dict[str, tuple[float, float, float]] = {}
    for at, nodes in enumerate(columns):
        # A column that is less tall stands wider apart, and in the middle.
        left = height - 34.0 - heights[at]
        wide = min(left / len(nodes), 3 * gap) if nodes else 0.0
        y = 30.0 + (left - wide * max(len(nodes) - 1, 0)) / 2
        for one, rise in zip(nodes, tall[at], strict=True):
            place[one.key] = (_COLUMNS[at][0], y, rise)
            y += rise + gap + wide
    ends = _ends(graph, place)
    parts = [_edge(ends[one], part) for one, part in _weights(graph)]
    for at, name in enumerate(_HEADS):
        parts.append(f'<text class="label strong" x="{number(_COLUMNS[at][0])}" y="14">{name}</text>')
    for at, nodes in enumerate(columns):
        parts += [_node(one, place[one.key], _COLUMNS[at][1], link(one)) for one in nodes]
    streams, accounts, infrastructure = (len(nodes) for nodes in columns)
    told = f"{graph.accounts:,} accounts in {accounts} nodes; {streams} nodes of streams, {infrastructure} of infrastructure."
    head = (
        f'<svg class="drawn network" xmlns="http://www.w3.org/2000/svg" role="group" aria-labelledby="{key}-t {key}-d" '
        f'width="{number(BROAD)}" height="{number(height)}" viewBox="0 0 {number(BROAD)} {number(height)}">'
        f'<title id="{key}-t">Streams, accounts and infrastructure</title><desc id="{key}-d">{escape(told)} '
        "The table below says the same.</desc>"
    )
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - every text of others is escaped


def _tall(one: Node, most: int) -> float:
    if one.kind == "account" or one.kind.startswith("value"):
        return 22.0
    return 34.0 + 44.0 * (one.size / most) ** 0.5


def _weights(graph: Network) -> list[tuple[Edge, float]]:
    column = {one.key: one.column for one in graph.nodes}
    most = [1, 1, 1]
    for one in graph.edges:
        most[column[one.other]] = max(most[column[one.other]], one.weight)
    return [(one, one.weight / most[column[one.other]]) for one in graph.edges]


def _ends(
    graph: Network, place: Mapping[str, tuple[float, float, float]]
) -> dict[Edge, tuple[tuple[float, float], tuple[float, float]]]:
    """Where each edge begins and ends: along the sides of its two nodes, in the order of what it leads to."""
    sides: dict[tuple[str, bool], list[Edge]] = {}
    for one in graph.edges:
        right = place[one.other][0] > place[one.account][0]
        sides.setdefault((one.account, right), []).append(one)
        sides.setdefault((one.other, not right), []).append(one)
    at: dict[tuple[Edge, str], tuple[float, float]] = {}
    for (key, right), mine in sides.items():
        x, y, tall = place[key]
        width = next(wide for left, wide in _COLUMNS if left == x)
        mine.sort(key=lambda one: place[one.other if one.account == key else one.account][1])
        for n, one in enumerate(mine):
            at[one, key] = (x + (width if right else 0.0), y + tall * (n + 0.5) / len(mine))
    return {one: (at[one, one.account], at[one, one.other]) for one in graph.edges}


def _edge(ends: tuple[tuple[float, float], tuple[float, float]], part: float) -> str:
    """A band from accounts to what they send or hold. ``part``: its weight as a share of the column's largest."""
    (x1, y1), (x2, y2) = ends
    middle = number((x1 + x2) / 2)
    kind = "infra" if x2 > x1 else "work"
    return (
        f'<path class="edge {kind}" stroke-width="{number(0.7 + 11 * part**0.5)}" d="M{number(x1)} {number(y1)}'
        f'C{middle} {number(y1)} {middle} {number(y2)} {number(x2)} {number(y2)}"/>'
    )


def _node(one: Node, at: tuple[float, float, float], width: float, link: tuple[str, str] | None) -> str:
    x, y, tall = at
    small = tall < _SMALL
    name, detail, count = clean(one.name, limit=120), clean(one.detail, limit=80), f"{one.size:,}"
    sign = ("− " if one.open else "+ ") if one.opens else ""
    room = width - 26 - 7.6 * len(count) - (14 if sign else 0)
    line = y + (15 if small else tall / 2 - 3)
    kind = one.kind.split(" ")[0]
    box = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(tall)}"'
    inside = [
        f'<rect class="node {kind}" {box} rx="3"/>',
        _text((x + 8, line), sign + fit(name, room), "label"),
        _text((x + width - 8, line), count, "label num strong", anchor="end"),
    ]
    if not small and detail:
        inside.append(_text((x + 8, y + tall / 2 + 12), fit(detail, width - 16), "label faint"))
    unit = "exchanges" if one.column == 0 else "accounts"
    said = f"{name}: {count} {unit}{', ' if detail else ''}{detail}"
    if link is None:
        return f"<g><title>{escape(said)}</title>{''.join(inside)}</g>"
    href, section = link
    label = f"{'close' if one.open else 'open'} {said}" if one.opens else said
    swap = f' data-swap="{section}"' if section else ""
    return (
        f'<a class="node-link" id="node-{crc32(one.key.encode()):08x}" href="{escape(href)}" aria-label="{escape(label)}"{swap}>'
        f"<title>{escape(said)}</title>{''.join(inside)}</a>"
    )


def _text(at: tuple[float, float], text: str, kind: str, *, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{number(at[0])}" y="{number(at[1])}" text-anchor="{anchor}">{escape(text)}</text>'
