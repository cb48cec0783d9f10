"""The page's drawings on paper: the few shapes that ``_page/svg.py`` writes, with the colours of its print style."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, fromstring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INK, _SOFT, _EDGE, _GROUND, _MAIN, _BACK, _AGAINST = (
    "#000000", "#444444", "#cccccc", "#eeeeee", "#8a3f10", "#44596a", "#24603f",
)  # fmt: skip
_LAYERS = ("#8a3f10", "#235f9c", "#2a7350", "#74489a", "#7d6400", "#44636b")
#: Class → (fill, stroke, width of the stroke, opacity of the fill, dashes).
_LOOKS: Mapping[str, tuple[str | None, str | None, float, float, tuple[float, ...]]] = {
    "rule": (None, _EDGE, 1.0, 1.0, ()),
    "rule time": (None, _EDGE, 1.0, 1.0, (2.0, 3.0)),
    "axis": (None, _SOFT, 1.0, 1.0, ()),
    "joint": (None, _SOFT, 1.0, 1.0, (2.0, 2.0)),
    "main-area": (_MAIN, None, 0.0, 0.22, ()),
    "main-line": (None, _MAIN, 1.6, 1.0, ()),
    "back-area": (_BACK, None, 0.0, 0.2, ()),
    "back-line": (None, _BACK, 1.3, 1.0, ()),
    "back-line thick": (None, _BACK, 2.0, 1.0, ()),
    "main-bar": (_MAIN, None, 0.0, 1.0, ()),
    "main-fill": (_MAIN, None, 0.0, 1.0, ()),
    "total-bar": (_INK, None, 0.0, 1.0, ()),
    "against-bar": (_AGAINST, None, 0.0, 1.0, ()),
    "self-fill": (_SOFT, None, 0.0, 0.18, ()),
    "ground": (_GROUND, None, 0.0, 1.0, ()),
    "thread": (None, "#cfcfcf", 1.0, 1.0, ()),
    "disc": ("#ffffff", _EDGE, 1.0, 1.0, ()),
    "dot": (_INK, None, 0.0, 0.72, ()),
    "value": ("#ffffff", _EDGE, 2.0, 1.0, ()),
}
_TEXTS = {
    "faint": _SOFT, "num": _SOFT, "onbar": "#ffffff", "onmain": "#ffffff", "back-text": _BACK, "main-text": _MAIN,
}  # fmt: skip
_SIZES = {"cell": 10.5, "onvalue": 11.0, "mono": 11.5}
_COMMAND = re.compile(r"([MLHVZhvz])([^MLHVZhvz]*)")
_SPACE = "{http://www.w3.org/2000/svg}"


def size(markup: str) -> tuple[float, float]:
    """Width and height of a drawing, in its own units."""
    root = fromstring(markup)  # noqa: S314 - written by ``_page/svg.py``, which escapes every text
    return float(root.attrib["width"]), float(root.attrib["height"])


def draw(markup: str, canvas: Any, scale: float, fonts: tuple[str, str, str], fit: Any) -> None:
    """Draw on a reportlab canvas whose origin is the drawing's lower left corner.

    ``fonts``: names of the plain, the bold and the mono face. ``fit``: makes a text one that they can set.
    """
    root = fromstring(markup)  # noqa: S314 - as above
    canvas.saveState()
    canvas.scale(scale, -scale)
    canvas.translate(0, -float(root.attrib["height"]))
    for one in root:
        _element(one, canvas, fonts, fit)
    canvas.restoreState()


def _element(one: Element, canvas: Any, fonts: tuple[str, str, str], fit: Any) -> None:
    kind, told = one.tag.removeprefix(_SPACE), one.attrib
    if kind == "g":
        turned, x, y = map(float, re.findall(r"-?[\d.]+", told["transform"]))
        canvas.saveState()
        canvas.translate(x, y)
        canvas.rotate(turned)
        canvas.translate(-x, -y)
        for inner in one:
            _element(inner, canvas, fonts, fit)
        canvas.restoreState()
    elif kind == "text":
        _text(one, canvas, fonts, fit)
    elif kind in {"rect", "line", "circle", "path"}:
        _shape(kind, told, canvas)


def _shape(kind: str, told: Mapping[str, str], canvas: Any) -> None:
    fill, stroke, wide, faded, dashes = _look(told.get("class", ""))
    canvas.saveState()
    if fill:
        canvas.setFillColor(fill)
        canvas.setFillAlpha(float(told.get("fill-opacity", faded)))
    if stroke:
        canvas.setStrokeColor(stroke)
        canvas.setLineWidth(float(told.get("stroke-width", wide)))
        canvas.setDash(list(dashes))
    how = {"fill": int(fill is not None), "stroke": int(stroke is not None)}
    number = {name: float(value) for name, value in told.items() if re.fullmatch(r"-?[\d.]+", value)}
    if kind == "rect":
        canvas.rect(number["x"], number["y"], number["width"], number["height"], **how)
    elif kind == "circle":
        canvas.circle(number["cx"], number["cy"], number["r"], **how)
    elif kind == "line":
        canvas.line(number["x1"], number["y1"], number["x2"], number["y2"])
    else:
        canvas.drawPath(_path(told["d"], canvas.beginPath()), **how)
    canvas.restoreState()


def _look(name: str) -> tuple[str | None, str | None, float, float, tuple[float, ...]]:
    layer = re.search(r"layer-(\d)", name)
    found = _LOOKS.get(name) or _LOOKS.get(name.partition(" ")[0]) or (_SOFT, None, 0.0, 1.0, ())
    if layer:
        color = _LAYERS[int(layer[1]) % len(_LAYERS)]
        return found[0], color, found[2] or 1.0, found[3], found[4]
    return found


def _path(commands: str, path: Any) -> Any:
    x = y = 0.0
    for command, x, y in _steps(commands):
        if command == "M":
            path.moveTo(x, y)
        elif command == "Z":
            path.close()
        else:
            path.lineTo(x, y)
    return path


def _steps(commands: str) -> Iterator[tuple[str, float, float]]:
    """Each command with the point that it leads to; small letters count from where the pen is."""
    x = y = 0.0
    for command, rest in _COMMAND.findall(commands):
        numbers = [float(one) for one in re.findall(r"-?\d*\.?\d+", rest)]
        if command in "Zz":
            yield "Z", x, y
        elif command in "HVhv":
            for value in numbers:
                if command in "Hh":
                    x = value + (x if command == "h" else 0.0)
                else:
                    y = value + (y if command == "v" else 0.0)
                yield "L", x, y
        else:
            for at in range(0, len(numbers), 2):
                x, y = numbers[at], numbers[at + 1]
                yield ("M" if command == "M" and at == 0 else "L"), x, y


def _text(one: Element, canvas: Any, fonts: tuple[str, str, str], fit: Any) -> None:
    told, names = one.attrib, one.attrib.get("class", "label").split()
    plain, bold, mono = fonts
    font = bold if "strong" in names else mono if "mono" in names else plain
    height = next((_SIZES[name] for name in names if name in _SIZES), 12.0)
    color = next((_TEXTS[name] for name in reversed(names) if name in _TEXTS), _INK)
    color = _INK if "strong" in names and color == _SOFT else color
    text = fit("".join(one.itertext()))
    wide = canvas.stringWidth(text, font, height)
    x = float(told["x"]) - {"middle": wide / 2, "end": wide}.get(told.get("text-anchor", "start"), 0.0)
    canvas.saveState()
    canvas.translate(x, float(told["y"]))
    canvas.scale(1, -1)  # letters stand upright although the drawing's y grows downwards
    if "halo" in names:
        canvas.setFillColor("#ffffff")
        canvas.rect(-2, -3, wide + 4, math.ceil(height), fill=1, stroke=0)
    canvas.setFillColor(color)
    canvas.setFont(font, height)
    canvas.drawString(0, 0, text)
    canvas.restoreState()
