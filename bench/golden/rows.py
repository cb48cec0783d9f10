"""The table of the golden benchmark: each quantity beside what was published and what is aimed at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_MEASURED = "not measured"
SMALL = 1e-3


@dataclass(frozen=True)
class Reading:
    """One measured value: what it is, how many units it comes from, and its bound on the side that matters."""

    value: float | None
    shown: str
    bound: float | None = None

    @property
    def measured(self) -> bool:
        """Whether there is a value."""
        return self.value is not None


@dataclass(frozen=True)
class Row:
    """A quantity, its three columns as texts, and what each of them asks of the readings.

    ``asks``: (reading, least or most, target) for world-class, then moonshot; all of one column must hold.
    """

    name: str
    published: str
    world: str
    moonshot: str
    readings: dict[str, Reading]
    asks: tuple[tuple[tuple[str, str, float], ...], tuple[tuple[str, str, float], ...]]

    def meets(self, column: int) -> str:
        """Whether values and bounds meet the column: yes, point only (the bounds do not), no, or not measured."""
        verdicts = [
            _verdict(self.readings.get(name), side, target) for name, side, target in self.asks[column]
        ]
        return next((one for one in (NOT_MEASURED, "no", "point only") if one in verdicts), "yes")


def _verdict(reading: Reading | None, side: str, target: float) -> str:
    if reading is None or reading.value is None:
        return NOT_MEASURED
    holds: Callable[[float], bool] = (lambda v: v >= target) if side == "least" else (lambda v: v <= target)
    if not holds(reading.value):
        return "no"
    return "yes" if reading.bound is not None and holds(reading.bound) else "point only"


def rate(told: dict[str, Any] | None, side: str) -> Reading:
    """A share as a reading; ``side`` says which bound matters ("least" or "most" is asked of it)."""
    if not told or not told["n"]:
        return Reading(None, NOT_MEASURED)
    bound = told["lower"] if side == "least" else told["upper"]
    sign = "≥" if side == "least" else "≤"
    text = f"{told['hits']:,} of {told['n']:,} = {percent(told['rate'])} ({sign} {percent(bound)})"
    return Reading(told["rate"], text, bound)


def plain(value: float | None, text: str = "", bound: float | None = None) -> Reading:
    """A value without an exact bound."""
    return Reading(None, NOT_MEASURED) if value is None else Reading(value, text or percent(value), bound)


def percent(value: float | None) -> str:
    """A share for people: percent with two digits that matter, powers of ten when small."""
    if value is None:
        return "–"
    if 0 < value < SMALL:
        return f"{value:.1e}"
    return f"{100 * value:.4g} %"


def table(told: dict[str, Any]) -> list[Row]:
    """All rows, from what ``report.figures`` computed."""
    archetypes, adaptive, benign = told["archetypes"], told["adaptive"], told["benign"]
    pool, multiplier = told["pool"].get("spiritsafe", {}), told["multiplier"]
    worst = told["worst_family"]
    hours = _watched(told["watch"], "hours_median", "{:.3g} h")
    leaked = _watched(told["watch"], "leaked_median", "{:.2%}")
    least = multiplier["least"]
    tried = multiplier["tried"]
    return [
        Row(
            "campaign recall, static",
            "81–87 % at 2.4–3.1 % FPR", "≥99 % (≥500 accounts)", "100 % (≥50 accounts)",
            {
                "500 accounts": rate(archetypes.get("500", {}).get("found"), "least"),
                "50 accounts and more": rate(archetypes["all"].get("found"), "least"),
            },
            ((("500 accounts", "least", 0.99),), (("50 accounts and more", "least", 1.0),)),
        ),
        Row(
            "campaign recall, adaptive at ≤3× attacker cost", "–", "≥85 %", "≥95 %",
            {
                "campaigns found": rate(adaptive.get("found"), "least"),
                "accounts, mean over attacks": plain(adaptive.get("recall_mean")),
                "accounts, worst attack": plain(adaptive.get("recall_worst")),
            },
            ((("campaigns found", "least", 0.85),), (("campaigns found", "least", 0.95),)),
        ),
        Row(
            "account recall / purity inside a found campaign", "– / >99 %", "≥95 % / ≥99.5 %", "≥99 % / ≥99.9 %",
            {
                "recall, mean": plain(archetypes["all"]["recall_found"]),
                "purity, mean": plain(archetypes["all"]["purity_mean"]),
                "purity, worst": plain(archetypes["all"]["purity_worst"]),
            },
            (
                (("recall, mean", "least", 0.95), ("purity, mean", "least", 0.995)),
                (("recall, mean", "least", 0.99), ("purity, mean", "least", 0.999)),
            ),
        ),
        Row(
            "benign account false positives", "0.3 %/window, 2.4 %/session", "≤1e-5", "≤1e-6",
            {
                "accounts": rate(benign["accounts"], "most"),
                "organizations": rate(benign["organizations"], "most"),
            },
            ((("organizations", "most", 1e-5),), (("organizations", "most", 1e-6),)),
        ),
        Row(
            "worst look-alike family", "not reported anywhere", "≤1e-4", "0 in 1e5",
            {worst["family"] if worst else "none run": rate(worst and worst["organizations"], "most")},
            tuple(((worst["family"] if worst else "none run", "most", target),) for target in (1e-4, 1e-5)),  # type: ignore[arg-type]
        ),
        Row(
            "realised FDR at nominal 1 %, static / drift", "–", "≤1 % / ≤2 %", "≤1 % / ≤1 %",
            {name: _fdr(told[name]) for name in ("static", "drift")},
            (
                (("static", "most", 0.01), ("drift", "most", 0.02)),
                (("static", "most", 0.01), ("drift", "most", 0.01)),
            ),
        ),
        Row(
            "median time to detect (≥1k accounts)", "weeks", "≤24 h", "≤1 h",
            hours,
            (_all_most(hours, 24.0), _all_most(hours, 1.0)),
        ),
        Row(
            "exchanges leaked before detection", "up to all", "≤2 % of plan", "≤0.2 %",
            leaked,
            (_all_most(leaked, 0.02), _all_most(leaked, 0.002)),
        ),
        Row(
            "mixed pool at 10 %: distillation recall / customers mislabelled", "5–94 % / –", "≥90 % / ≤1 %", "≥95 % / ≤0.1 %",
            {
                "exchanges recalled": plain(pool.get("exchange_recall")),
                "customers (sessions) mislabelled": rate(pool.get("customers_flagged"), "most"),
            },
            (
                (("exchanges recalled", "least", 0.90), ("customers (sessions) mislabelled", "most", 0.01)),
                (("exchanges recalled", "least", 0.95), ("customers (sessions) mislabelled", "most", 0.001)),
            ),
        ),
        Row(
            "attacker's cost multiplier", "3.8–16× (SEAT)", "≥5×", "≥20×",
            {
                "least cost of an attack that halves recall": plain(
                    least if least is not None else tried,
                    f"{least:.2f}×" if least is not None else f"none found up to {tried:.1f}×" if tried else "",
                ),
                "cost at which mean recall is below a half": plain(
                    multiplier["mean"], f"{multiplier['mean']:.1f}×" if multiplier["mean"] else ""
                ),
            },
            tuple((("least cost of an attack that halves recall", "least", target),) for target in (5.0, 20.0)),  # type: ignore[arg-type]
        ),
    ]  # fmt: skip


def _fdr(told: dict[str, Any]) -> Reading:
    if told["fdr"] is None:
        return Reading(None, NOT_MEASURED)
    logs = told["logs_with_false"]
    entries = f"{told['false']} of {told['entries']} entries"
    text = f"{percent(told['fdr'])} over {told['logs']} logs ({entries}; ≤ {percent(logs['upper'])})"
    return Reading(told["fdr"], text, logs["upper"])


def _watched(watch: dict[str, Any], key: str, form: str) -> dict[str, Reading]:
    """One reading a case of ``bench/watch.py`` that has campaigns.

    Its median hours count what was not detected as for ever; its median leak is of the detected alone, and says so.
    """
    made: dict[str, Reading] = {}
    for case, one in watch.items():
        if one["campaigns"]:
            value = math.inf if one[key] is None else one[key]
            text = "not detected by half" if one[key] is None else form.format(value)
            beside = f"detected {one['detected']} of {one['campaigns']}"
            beside = f"of those {beside}" if key.startswith("leaked") else beside
            made[case] = Reading(value, f"{text} ({beside})")
    return made or {"live traffic": Reading(None, NOT_MEASURED)}


def _all_most(readings: dict[str, Reading], target: float) -> tuple[tuple[str, str, float], ...]:
    return tuple((name, "most", target) for name in readings)
