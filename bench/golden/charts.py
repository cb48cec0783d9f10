"""Charts of the benchmark as SVG files, drawn with the product's own writer; light and dark follow the reader."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spiritsafe.cases._page.svg import Drawing, Frame, polygon, ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

WIDTH, HEIGHT = 640.0, 380.0
_RIVAL = "(1 % of innocents in calibration)"
KINDS = ("one", "two", "three", "four")
STYLE = """<style>
svg{background:#fff;font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.label{font-size:12px;fill:#333}.strong{font-size:14px;font-weight:600;fill:#111}.faint{fill:#595959}
.rule{stroke:#ddd;stroke-width:1}.axis{stroke:#666;stroke-width:1}.limit{stroke:#a33;stroke-width:1.5;stroke-dasharray:2 4}
path{fill:none;stroke-width:2.2}
path.one{stroke:#0b5cad}path.two{stroke:#0b5cad;stroke-dasharray:6 4}path.three{stroke:#b35900}path.four{stroke:#4a7a1f}
circle.one,rect.one{fill:#0b5cad}circle.two{fill:#0b5cad;fill-opacity:.45}circle.three,rect.three{fill:#b35900}
circle.four,rect.four{fill:#4a7a1f}rect.two{fill:#0b5cad;fill-opacity:.45}
@media (prefers-color-scheme:dark){svg{background:#15181c}.label{fill:#d5d8dc}.strong{fill:#fff}.faint{fill:#a3a9b0}
.rule{stroke:#343a41}.axis{stroke:#8a919a}.limit{stroke:#ff8a80}
path.one,path.two{stroke:#6db3f2}path.three{stroke:#f5a65b}path.four{stroke:#9ccc65}
circle.one,rect.one,circle.two,rect.two{fill:#6db3f2}circle.three,rect.three{fill:#f5a65b}circle.four,rect.four{fill:#9ccc65}}
</style>"""


@dataclass(frozen=True)
class Line:
    """A named series of (x, y), y a share from 0 to 1; ``dots``: points alone, no line between them."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """One picture: file name, title, axis titles with units, and up to four series; x on a log scale."""

    name: str
    title: str
    x: str
    y: str
    lines: Sequence[Line]
    limit: float | None = None
    limit_name: str = ""
    backwards: bool = False


def draw(chart: Chart) -> str:
    """The SVG text of a chart, y from 0 to 100 %."""
    lines = [line for line in chart.lines if line.points]
    told = "; ".join(
        f"{line.name}: " + ", ".join(f"{x:g} → {100 * y:.0f} %" for x, y in sorted(line.points)[:12])
        for line in lines
    )
    drawing = Drawing(WIDTH, HEIGHT, chart.title, told or "nothing was measured", chart.name)
    drawing.parts.append(STYLE)
    drawing.text((12, 24), chart.title, "label strong")
    xs = sorted({x for line in lines for x, _ in line.points} | ({chart.limit} if chart.limit else set()))
    if not xs:
        drawing.text((WIDTH / 2, HEIGHT / 2), "nothing was measured", "label", anchor="middle")
        return str(drawing.markup())
    low, high = math.log(xs[0]), math.log(xs[-1])
    room = max((high - low) * 0.04, 0.05)
    edges = (high + room, low - room) if chart.backwards else (low - room, high + room)
    upper = 62.0 + 18.0 * (len(lines) - 1)
    frame = Frame(56, WIDTH - 16, upper, HEIGHT - 52, 1.0, *edges)
    for mark in ticks(1.0, 5):
        drawing.line((frame.left, frame.y(mark)), (frame.right, frame.y(mark)), "rule" if mark else "axis")
        drawing.text((frame.left - 6, frame.y(mark) + 4), f"{100 * mark:.0f} %", "label", anchor="end")
    for mark in _marks(xs, lambda value: frame.x(math.log(value))):
        at = frame.x(math.log(mark))
        drawing.line((at, frame.lower), (at, frame.lower + 5), "axis")
        drawing.text((at, frame.lower + 19), f"{mark:,.4g}", "label", anchor="middle")
    drawing.text((frame.right, HEIGHT - 10), f"{chart.x} (log scale)", "label faint", anchor="end")
    drawing.text((12, HEIGHT - 10), f"vertical: {chart.y}", "label faint")
    if chart.limit:
        at = frame.x(math.log(chart.limit))
        drawing.line((at, frame.upper), (at, frame.lower), "limit")
        drawing.text((at + 4, frame.upper + 12), chart.limit_name, "label faint")
    for place, (line, kind) in enumerate(zip(lines, KINDS, strict=False)):
        _line(drawing, frame, line, kind)
        at, row = 16.0, 44.0 + 18.0 * place
        if line.dots:
            drawing.circle((at + 10, row - 4), 4, kind)
        else:
            drawing.path(polygon([(at, row - 4), (at + 22, row - 4)]), kind)
        drawing.text((at + 28, row), line.name)
    return str(drawing.markup())


def _line(drawing: Drawing, frame: Frame, line: Line, kind: str) -> None:
    points = [(frame.x(math.log(x)), frame.y(y)) for x, y in sorted(line.points)]
    if not line.dots and len(points) > 1:
        drawing.path(polygon(points), kind)
    for (x, y), (value, share) in zip(points, sorted(line.points), strict=True):
        drawing.circle(
            (x, y), 3.0 if line.dots else 3.6, kind, tip=f"{line.name}: {value:g}, {100 * share:.1f} %"
        )


def _marks(xs: Sequence[float], place: Callable[[float], float]) -> list[float]:
    """The values themselves where they are few and apart, else 1, 2 and 5 times powers of ten."""
    if len(xs) <= 8:
        kept: list[float] = []
        for value in xs:
            if not kept or abs(place(value) - place(kept[-1])) > 34:
                kept.append(value)
        return kept
    powers = range(math.floor(math.log10(xs[0])), math.ceil(math.log10(xs[-1])) + 1)
    return [m * 10.0**p for p in powers for m in (1, 2, 5) if xs[0] <= m * 10.0**p <= xs[-1]]


def all_charts(told: dict[str, Any]) -> list[Chart]:
    """The charts that go with the figures of ``report.figures``."""
    curves = told["curves"]
    made = [
        Chart(
            f"recall-over-{name}", title, x, "recall of accounts",
            [
                Line("Spiritsafe, mean", _points(curves[name], "recall_mean")),
                Line("Spiritsafe, worst campaign", _points(curves[name], "recall_worst")),
                Line(f"best baseline at each point {_RIVAL}", _points(curves[name], "best_baseline_recall")),
                Line("Spiritsafe, exchanges", _points(curves[name], "exchange_recall")),
            ],
            backwards=name == "share",
        )
        for name, title, x in (
            ("share", "Recall when the harvest is diluted", "share of the accounts' traffic that harvests"),
            ("accounts", "Recall over the size of a campaign", "accounts of the campaign, 26 exchanges a day each"),
            ("background", "Recall over the size of the background", "innocent exchanges, times the usual log"),
        )
    ]  # fmt: skip
    names = {
        "careful": "own words, topics, cards, addresses (told: campaign)",
        "A11": "A11, a relay that keeps answers (told: pool)",
        "A12": "A12, few big accounts (told: campaign)",
    }
    made.append(
        Chart(
            "hard-floors", "Hard floors: recall of campaigns with little in common", "accounts", "recall of accounts",
            [Line(names[name], _points(rows, "recall_mean")) for name, rows in told["floors"].items()],
        )
    )  # fmt: skip
    attacks, bins = told["attacks"], told["cost_bins"]
    made.append(
        Chart(
            "recall-over-cost", "Recall over what evasion costs the attacker",
            "cost of an answer, times the plain campaign's", "recall of accounts",
            [
                Line("mean of attacks of about this cost", _points(bins, "recall_mean")),
                Line("one attack", [(one["cost"], one["recall"]) for one in attacks], dots=True),
                Line(f"best baseline, mean {_RIVAL}", _points(told["cost_bins_baseline"], "recall_mean")),
            ],
            limit=3.0, limit_name="budget of the table: 3×",
        )
    )  # fmt: skip
    return made


def _points(rows: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(row["x"], row[key]) for row in rows if row.get(key) is not None]


def write(told: dict[str, Any], folder: Path) -> list[Chart]:
    """Write all charts as ``benchmark-<name>.svg``; returns them."""
    folder.mkdir(parents=True, exist_ok=True)
    made = all_charts(told)
    for chart in made:
        (folder / f"benchmark-{chart.name}.svg").write_text(draw(chart) + "\n", "utf-8")
    return made
