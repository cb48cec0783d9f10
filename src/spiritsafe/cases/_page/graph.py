"""The account graph: groups of accounts (one dot each) hung on the values that they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.cases._page.layout import group, spread, sunflower
from spiritsafe.cases._page.phrase import human, plural, whole
from spiritsafe.cases._page.svg import Drawing, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from spiritsafe.cases._page.layout import Groups

_DOT = 2.4
_DOTS = 700
#: Layers have one of these marks each (class names); the layer's name is written beside, colour never stands alone.
_KINDS = 6


def graph(
    nodes: Sequence[tuple[str, str, str]], edges: Sequence[tuple[str, str, str]], *, width: float, key: str
) -> Markup | None:
    """``nodes`` are (id, kind, label), ``edges`` (id, id, layer). None when no value joins two accounts."""
    kinds = {name: kind for name, kind, _ in nodes}
    labels = {name: label or name for name, kind, label in nodes if kind == "value"}
    pairs: list[tuple[str, str, str]] = []
    for a, b, layer in edges:
        if kinds.get(a) == "value" and kinds.get(b) != "value":
            pairs.append((b, a, layer))
        elif kinds.get(b) == "value" and kinds.get(a) != "value":
            pairs.append((a, b, layer))
    narrow = width < 500
    accounts = [name for name, kind, _ in nodes if kind == "account"]
    groups = group(accounts, labels, pairs, most=22 if narrow else 44)
    if not groups.values:
        return None
    return _draw(groups, width, 430.0 if narrow else 470.0, key)


def _draw(groups: Groups, width: float, height: float, key: str) -> Markup:
    total = sum(len(members) for members in groups.members)
    dot = _DOT if total <= _DOTS else max(1.2, _DOT * (_DOTS / total) ** 0.5)
    discs = np.array([3.5 + dot * 1.32 * len(members) ** 0.5 for members in groups.members])
    most = max(value.accounts for value in groups.values)
    squares = np.array([7.0 + 9.0 * (value.accounts / most) ** 0.5 for value in groups.values])
    base = len(groups.members)
    strongest = max(count for _, _, count in groups.links)
    links = [(at, base + value, count / strongest) for at, value, count in groups.links]
    layers = list(dict.fromkeys(value.layer for value in groups.values))
    rest = _rest(groups)
    legend = 22.0 * (1 + (len(layers) * 150) // int(width)) + (18.0 if rest else 0.0)
    frame = (width - 12, height - legend - 12)
    at = spread(np.concatenate([discs, squares + 6]), links, frame) + np.array([6.0, 6.0])
    told = (
        f"{plural(total, 'account')} in {plural(base, 'group')} hang on {plural(len(groups.values), 'shared value')} "
        f"of {plural(len(layers), 'layer')}; the most shared value joins {plural(most, 'account')}"
    )
    drawing = Drawing(width, height, "Accounts and what they share", told + ".", key)
    for start, end, weight in links:
        one, two = at[start], at[end]
        drawing.line((one[0], one[1]), (two[0], two[1]), "thread", thick=0.7 + 3.3 * weight)
    for index, members in enumerate(groups.members):
        _disc(drawing, (float(at[index][0]), float(at[index][1])), len(members), float(discs[index]), dot)
    for index, value in enumerate(groups.values):
        x, y = (float(part) for part in at[base + index])
        side = float(squares[index])
        kind = f"layer-{layers.index(value.layer) % _KINDS}"
        tip = f"{human(value.layer)}: {value.label}, {plural(value.accounts, 'account')}"
        drawing.rect((x - side, y - side * 0.72, 2 * side, side * 1.44), f"value {kind}", tip=tip)
        drawing.text((x, y + 4), whole(value.accounts), "onvalue", anchor="middle")
    _legend(drawing, groups, layers, height - legend)
    return drawing.markup()


def _disc(drawing: Drawing, at: tuple[float, float], count: int, radius: float, dot: float) -> None:
    drawing.circle(at, radius, "disc", tip=plural(count, "account"))
    if count > 2 * _DOTS:
        drawing.text((at[0], at[1] + 4), whole(count), "label num", anchor="middle")
        return
    for dx, dy in sunflower(count, radius - dot - 0.8):
        drawing.circle((at[0] + float(dx), at[1] + float(dy)), dot, "dot")


def _legend(drawing: Drawing, groups: Groups, layers: list[str], top: float) -> None:
    x, y = 0.0, top + 14
    for index, layer in enumerate(layers):
        name = fit(human(layer), 150)
        wide = 24 + 6.6 * len(name) + 14
        if x + wide > drawing.width and x > 0:
            x, y = 0.0, y + 22
        drawing.rect((x, y - 9, 16, 11), f"value layer-{index % _KINDS}")
        drawing.text((x + 22, y), name, "label")
        x += wide
    rest = _rest(groups)
    if rest:
        drawing.text((0, drawing.height - 4), rest, "label faint")


def _rest(groups: Groups) -> str:
    """What the picture leaves out."""
    rest: list[str] = []
    if groups.values_left:
        rest.append(f"{plural(groups.values_left, 'rarer value')} not drawn")
    if groups.accounts_left:
        rest.append(f"{plural(groups.accounts_left, 'account')} without a shared value")
    return "; ".join(rest)
