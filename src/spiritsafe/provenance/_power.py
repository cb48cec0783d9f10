"""How often a test finds a copy: from points measured in the bench, between them by a fit, with bounds that hold.

A point is ``hits`` of ``runs`` planted copies of an ``exposure`` (share of the student's text that the teacher served)
found at ``alpha`` with ``n`` units. At a measured exposure power does not fall when n grows; that alone gives the bounds: the
best Clopper–Pearson lower bound among points with no larger n, the best upper bound among points with no smaller. Between two
measured exposures power lies between theirs, so the wider of their bounds hold; it need not rise with exposure, for a model
that learned little from us may remember that little well. Inside the bounds the estimate is a probit fit in log n and log
exposure. Where nothing was measured, nothing is said.

What else bears on power is a condition of the points: ``said``, tokens that the suspect said at least; ``keys`` that were
tried at most; ``when``, in words, what only a person can know. A run that does not fulfil one has less power, not more: of it
only the upper bound is told.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import optimize, special

from spiritsafe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

UNITS = ("pairs", "canaries", "prompts", "answers", "tokens")
LEVEL = 0.95
CONDITIONS = ("said", "keys", "when")
_FIELDS = ("test", "access", "unit", "alpha", "exposure", "n", "hits", "runs", "source")


@dataclass(frozen=True, slots=True)
class Point:
    """``hits`` of ``runs`` planted copies were found."""

    exposure: float
    n: int
    hits: int
    runs: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Power with its bounds, which hold together with probability ``LEVEL``; ``value`` None outside what was measured."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """All points of one test at one access. ``sources``: where each was measured; ``said``, ``keys``, ``when``: see above."""

    test: str
    access: str
    unit: str
    alpha: float
    points: tuple[Point, ...]
    sources: tuple[str, ...]
    said: int | None = None
    keys: int | None = None
    when: str = ""

    @property
    def conditions(self) -> str:
        """Under which the points were measured, in words; empty when under none."""
        told = [
            f"from {self.said:,} tokens that the suspect says" if self.said else "",
            f"among {self.keys:,} keys" if self.keys else "",
            self.when,
        ]
        return ", ".join(one for one in told if one)

    def power(self, exposure: float, n: float, had: Mapping[str, float] | None = None) -> Estimate:
        """The power with ``n`` units at ``exposure``. ``had``: ``said`` and ``keys`` of the run, where they are known."""
        low, high = self._bounds(exposure, n)
        had = had or {}
        if had.get("said", np.inf) < (self.said or 0) or had.get("keys", 0) > (self.keys or np.inf):
            return Estimate(None, 0.0, high)
        # Beyond the largest run only the bounds hold: power does not fall, and nobody saw how far it rises.
        known = [one.n for one in self.points]
        if not self.reaches(exposure) or not min(known) <= n <= max(known):
            return Estimate(None, low, high)
        return Estimate(float(np.clip(self._fitted(exposure, n), low, high)), low, high)

    def reaches(self, exposure: float) -> bool:
        """Whether the exposure lies among those that were measured."""
        known = [one.exposure for one in self.points]
        return min(known) * (1 - 1e-9) <= exposure <= max(known) * (1 + 1e-9)

    def needed(self, exposure: float, target: float) -> tuple[int | None, int | None]:
        """Least n whose estimate, and whose lower bound, reaches ``target``; None where no measured n does."""
        if not self.reaches(exposure):
            return None, None
        least, most = min(one.n for one in self.points), max(one.n for one in self.points)
        grid = np.unique(np.round(np.geomspace(least, most, 400)).astype(np.int64))
        found = [self.power(exposure, int(n)) for n in grid]
        value = [int(n) for n, one in zip(grid, found, strict=True) if (one.value or 0.0) >= target]
        low = [int(n) for n, one in zip(grid, found, strict=True) if one.low >= target]
        return (value[0] if value else None), (low[0] if low else None)

    def drawn(self, exposure: float) -> dict[str, Any]:
        """For a picture: ``line`` of [n, power or None, low, high] at ``exposure``, and the points as measured."""
        least, most = min(one.n for one in self.points), max(one.n for one in self.points)
        at = np.unique(np.round(np.geomspace(least, most, 40)).astype(np.int64))
        found = [(int(n), self.power(exposure, int(n))) for n in at]
        return {
            "unit": self.unit, "alpha": self.alpha, "exposure": exposure, "sources": list(self.sources),
            "conditions": self.conditions,
            "line": [[n, one.value, one.low, one.high] for n, one in found],
            "points": [[one.exposure, one.n, one.hits, one.runs] for one in self.points],
        }  # fmt: skip

    def _bounds(self, exposure: float, n: float) -> tuple[float, float]:
        # Each point's two bounds share its part of the error, so that all of them hold at once.
        tail = (1 - LEVEL) / (2 * len(self.points))
        known = sorted({one.exposure for one in self.points})
        below = [one for one in known if one <= exposure * (1 + 1e-9)][-1:]
        above = [one for one in known if one >= exposure * (1 - 1e-9)][:1]
        if not below or not above:
            return 0.0, 1.0
        lows: list[float] = []
        highs: list[float] = []
        for at in {*below, *above}:
            low, high = 0.0, 1.0
            for one in self.points:
                if one.exposure == at and one.n <= n and one.hits:
                    low = max(low, float(special.betaincinv(one.hits, one.runs - one.hits + 1, tail)))
                if one.exposure == at and one.n >= n and one.hits < one.runs:
                    high = min(high, float(special.betaincinv(one.hits + 1, one.runs - one.hits, 1 - tail)))
            lows.append(low)
            highs.append(max(low, high))
        return min(lows), max(highs)

    def _fitted(self, exposure: float, n: float) -> float:
        a, b, c = _fit(self.points, self.alpha)
        return float(_probit(self.alpha, a + b * np.log(n) + c * np.log(exposure)))


def _probit(alpha: float, at: Any) -> Any:
    """From ``alpha``, where there is nothing to find, to 1."""
    return alpha + (1 - alpha) * special.ndtr(at)


@cache
def _fit(points: tuple[Point, ...], alpha: float) -> NDArray[np.float64]:
    n, exposure, hits, runs = np.array([[p.n, p.exposure, p.hits, p.runs] for p in points], float).T
    x, y = np.log(n), np.log(exposure)

    def loss(at: NDArray[np.float64]) -> float:
        p = np.clip(_probit(alpha, at[0] + at[1] * x + at[2] * y), 1e-12, 1 - 1e-12)
        # Half a run of a coin at each point keeps the fit finite where all or none were found.
        seen = (hits + 0.25) * np.log(p) + (runs - hits + 0.25) * np.log1p(-p)
        return -float(seen.sum())

    start = np.array([-float(x.mean()), 1.0, 1.0])
    bounds = [(-60.0, 60.0), (0.0, 20.0), (-20.0, 20.0)]
    return optimize.minimize(loss, start, bounds=bounds, method="L-BFGS-B").x


@cache
def committed() -> bytes:
    """The committed file of measured points."""
    return files("spiritsafe.provenance").joinpath("power.json").read_bytes()


def load(data: bytes | None = None) -> dict[tuple[str, str], Curve]:
    """Curves by test and access, from the committed file or ``data``. Raises InputError for points that make no sense."""
    try:
        rows = json.loads(data if data is not None else committed())["points"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("these are no measured points", where="power.json") from error
    return gather(rows)


def gather(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Curve]:
    """Curves from points as the bench measures them: equal points are added up. Raises InputError."""
    grouped: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for number, row in enumerate(rows):
        if (
            set(row) - set(CONDITIONS) != set(_FIELDS)
            or row["unit"] not in UNITS
            or not (
                0 < row["exposure"] <= 1
                and row["n"] >= 1
                and 0 <= row["hits"] <= row["runs"]
                and row["runs"] >= 1
            )
        ):
            raise InputError(
                f"point {number} makes no sense: {dict(row)}", hint=f"a point has {', '.join(_FIELDS)}"
            )
        grouped.setdefault((str(row["test"]), str(row["access"])), []).append(row)
    return {key: _curve(key, same) for key, same in sorted(grouped.items())}


def _curve(key: tuple[str, str], rows: Sequence[Mapping[str, Any]]) -> Curve:
    alike = {tuple(one.get(name) for name in ("unit", "alpha", *CONDITIONS)) for one in rows}
    if len(alike) > 1:
        raise InputError(
            f"the points of {key[0]} ({key[1]}) differ in unit, alpha or conditions", where="power.json"
        )
    ((unit, _, said, keys, when),) = alike
    added: dict[tuple[float, int], list[int]] = {}
    for one in rows:
        sums = added.setdefault((float(one["exposure"]), int(one["n"])), [0, 0])
        sums[0] += int(one["hits"])
        sums[1] += int(one["runs"])
    points = tuple(Point(*at, *sums) for at, sums in sorted(added.items()))
    sources = tuple(sorted({str(one["source"]) for one in rows}))
    return Curve(*key, str(unit), float(rows[0]["alpha"]), points, sources, said, keys, str(when or ""))


def outlook(
    curves: Mapping[tuple[str, str], Curve], test: str, access: str, *, exposure: float, target: float,
    counts: Mapping[str, int],
) -> dict[str, Any]:  # fmt: skip
    """What may be expected of a test: n as planned, its power, and how many would be needed; or that none was measured.

    ``counts``: n in each unit, and ``said`` and ``keys`` where they are known.
    """
    curve = curves.get((test, access))
    if curve is None:
        return {"access": access, "said": "no curve measured"}
    need, sure = curve.needed(exposure, target)
    told: dict[str, Any] = {
        "access": access, "unit": curve.unit, "alpha": curve.alpha, "exposure": exposure, "target": target,
        "needed": need, "needed_at_lower_bound": sure, "sources": list(curve.sources),
        "conditions": curve.conditions,
    }  # fmt: skip
    if not curve.reaches(exposure):
        told["said"] = f"not measured at an exposure of {exposure:g}"
    elif need is None:
        told["said"] = f"not reached with up to {max(one.n for one in curve.points):,} {curve.unit}"
    else:
        told["said"] = f"{need:,} {curve.unit} for {target:.0%} power at an exposure of {exposure:g}"
    if curve.conditions and need is not None:
        told["said"] += f", {curve.conditions}"
    if curve.unit in counts:
        told |= {"n": counts[curve.unit], "power": asdict(curve.power(exposure, counts[curve.unit], counts))}
    return told
