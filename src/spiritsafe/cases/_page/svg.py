"""A small SVG writer: shapes, text, axes and ticks. Colours are CSS classes, so that light, dark and print follow.

Every text is escaped here. Only attributes with names and number formats of our own are written; no ``style``, no link.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from spiritsafe.cases._page.phrase import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Width of one letter in units of the type size: a middle value for sans-serif faces.
LETTER = 0.51
#: Type size of chart labels, user units; drawings are shown at their natural size or a little less.
TYPE = 12.0
#: The size to reckon with for labels of fixed width: 11.5 units, 0.6 of them a letter.
MONO = 11.5 * 0.6 / LETTER

_STEPS_OF_TIME = (
    60,
    300,
    900,
    1800,
    3600,
    3 * 3600,
    6 * 3600,
    12 * 3600,
    86400,
    2 * 86400,
    7 * 86400,
    14 * 86400,
    30 * 86400,
    91 * 86400,
    365 * 86400,
)


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def fit(text: str, width: float, size: float = TYPE) -> str:
    """``text`` cut so that it fits ``width``. Wide scripts count double."""
    room = width / (size * LETTER)
    used = 0.0
    for index, letter in enumerate(text):
        used += 1.85 if ord(letter) >= 0x1100 else 1.0
        if used > room:
            return text[: max(index - 1, 1)].rstrip() + "…"
    return text


def wrap(text: str, width: float, size: float = TYPE) -> list[str]:
    """``text`` in at most two lines that fit ``width``; broken at a space."""
    if fit(text, width, size) == text:
        return [text]
    start = fit(text, width, size).removesuffix("…")
    at = start.rfind(" ")
    cut = at if at > len(start) // 2 else len(start)
    return [text[:cut], fit(text[cut:].strip(), width, size)]


def ticks(top: float, most: int = 4) -> list[float]:
    """Round numbers from 0 to at least ``top``, at most about ``most`` steps of 1, 2 or 5 × 10ⁿ."""
    if top <= 0:
        return [0.0, 1.0]
    raw = top / most
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * mult for mult in (1, 2, 5, 10) if unit * mult >= raw * (1 - 1e-9))
    return [step * index for index in range(math.ceil(top / step - 1e-9) + 1)]


def times(start: datetime, stop: datetime, most: int) -> list[tuple[datetime, str]]:
    """Round moments between two times with their labels, at most ``most``."""
    length = max((stop - start).total_seconds(), 1.0)
    step = next(
        (s for s in _STEPS_OF_TIME if length / s <= most),
        365 * 86400 * math.ceil(length / (365 * 86400 * most)),
    )
    first = math.ceil(start.timestamp() / step) * step
    form = "%H:%M" if step < 86400 else "%b %Y" if step >= 30 * 86400 else "day"
    found: list[tuple[datetime, str]] = []
    at = datetime.fromtimestamp(first, UTC)
    while at <= stop and len(found) <= most:
        midnight = form == "%H:%M" and at.hour == at.minute == 0
        found.append((at, f"{at.day} {at:%b}" if form == "day" or midnight else at.strftime(form)))
        at += timedelta(seconds=step)
    return found


@dataclass(slots=True)
class Drawing:
    """One picture with a title and a description for those who do not see it. ``key`` must be unique in the page."""

    width: float
    height: float
    title: str
    description: str
    key: str
    parts: list[str] = field(default_factory=list[str])

    def rect(
        self, box: tuple[float, float, float, float], kind: str, *, tip: str = "", fade: float | None = None
    ) -> None:
        """A rectangle (x, y, width, height); ``fade`` is its opacity, ``tip`` shows on hover."""
        x, y, w, h = box
        faded = "" if fade is None else f' fill-opacity="{fade:.2f}"'
        inside = f"><title>{escape(tip)}</title></rect>" if tip else "/>"
        self.parts.append(
            f'<rect class="{kind}" x="{number(x)}" y="{number(y)}" '
            f'width="{number(max(w, 0))}" height="{number(max(h, 0))}"{faded}{inside}'
        )

    def line(
        self, start: tuple[float, float], end: tuple[float, float], kind: str, *, thick: float | None = None
    ) -> None:
        wide = "" if thick is None else f' stroke-width="{number(thick)}"'
        self.parts.append(
            f'<line class="{kind}" x1="{number(start[0])}" y1="{number(start[1])}" '
            f'x2="{number(end[0])}" y2="{number(end[1])}"{wide}/>'
        )

    def circle(self, at: tuple[float, float], radius: float, kind: str, *, tip: str = "") -> None:
        inside = f"><title>{escape(tip)}</title></circle>" if tip else "/>"
        self.parts.append(
            f'<circle class="{kind}" cx="{number(at[0])}" cy="{number(at[1])}" r="{number(radius)}"{inside}'
        )

    def text(self, at: tuple[float, float], text: str, kind: str = "label", *, anchor: str = "start") -> None:
        self.parts.append(
            f'<text class="{kind}" x="{number(at[0])}" y="{number(at[1])}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def path(self, commands: str, kind: str, *, fade: float | None = None) -> None:
        """A path of commands made with ``number``."""
        faded = "" if fade is None else f' fill-opacity="{fade:.2f}"'
        self.parts.append(f'<path class="{kind}" d="{commands}"{faded}/>')

    def markup(self) -> Markup:
        """The finished ``<svg>`` element."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{self.key}-t {self.key}-d" '
            f'width="{number(self.width)}" height="{number(self.height)}" '
            f'viewBox="0 0 {number(self.width)} {number(self.height)}">'
            f'<title id="{self.key}-t">{escape(self.title)}</title>'
            f'<desc id="{self.key}-d">{escape(self.description)}</desc>'
        )
        return Markup(head + "".join(self.parts) + "</svg>")  # noqa: S704 - every text above is escaped


@dataclass(frozen=True, slots=True)
class Frame:
    """The plotting area of a chart and its two scales, from 0 to ``top`` and from ``left_value`` to ``right_value``."""

    left: float
    right: float
    upper: float
    lower: float
    top: float
    low: float = 0.0
    high: float = 1.0

    def x(self, value: float) -> float:
        return self.left + (value - self.low) / ((self.high - self.low) or 1.0) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.lower - value / (self.top or 1.0) * (self.lower - self.upper)

    def rules(self, drawing: Drawing, marks: Sequence[float]) -> None:
        """Horizontal grid lines with their numbers at the left."""
        for value in marks:
            drawing.line((self.left, self.y(value)), (self.right, self.y(value)), "rule" if value else "axis")
            drawing.text((self.left - 6, self.y(value) + 4), short(value), "label num", anchor="end")


def steps(xs: Sequence[float], ys: Sequence[float]) -> str:
    """Path commands of a step line: level ``ys[i]`` from ``xs[i]`` to ``xs[i + 1]`` (one more x than y)."""

    def commands() -> Iterator[str]:
        for index, level in enumerate(ys):
            yield f"{'L' if index else 'M'}{number(xs[index])} {number(level)}H{number(xs[index + 1])}"

    return "".join(commands())


def polygon(points: Sequence[tuple[float, float]]) -> str:
    """Path commands of a polyline."""
    return "".join(f"{'L' if index else 'M'}{number(x)} {number(y)}" for index, (x, y) in enumerate(points))
