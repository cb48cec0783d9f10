"""The adaptive attacker: what is left of recall as a function of what evasion costs."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from golden import sections

if TYPE_CHECKING:
    from golden.sections import Seen

ALLOWED = 3.0
"""The benchmark's budget: an attacker who pays up to this many times the plain campaign's cost."""

BROKEN = 0.5
EDGES = (1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 12.0, 24.0)


def points(some: Seen) -> list[dict[str, Any]]:
    """One entry a log: cost, account recall, archetype, seed and the knobs that differ from plain."""
    made: list[dict[str, Any]] = []
    for one, cell in some:
        (campaign,) = cell["campaigns"].values()
        made.append({
            "cost": one.facts["cost"],
            "recall": sections.recall(campaign),
            "archetype": one.facts["archetype"],
            "accounts": one.facts["accounts"],
            "seed": one.seed,
            "knobs": one.facts["knobs"],
        })  # fmt: skip
    return sorted(made, key=lambda point: point["cost"])


def budget(some: Seen) -> Seen:
    """The trials that the allowed budget pays for."""
    return [(one, cell) for one, cell in some if one.facts["cost"] <= ALLOWED]


def bins(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and worst recall by cost, in fixed bins; the geometric middle stands for a bin."""
    rows: list[dict[str, Any]] = []
    for low, high in pairwise(EDGES):
        inside = [one["recall"] for one in told if low < one["cost"] <= high]
        if inside:
            rows.append({
                "from": low, "to": high, "x": float(np.sqrt(low * high)), "n": len(inside),
                "recall_mean": float(np.mean(inside)), "recall_worst": min(inside),
                "found": sections.rate(sum(one >= BROKEN for one in inside), len(inside)),
            })  # fmt: skip
    return rows


def multiplier(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The attacker's cost multiplier: the least cost of any attack tried whose recall is below a half.

    ``mean``: where the mean over a bin of costs first falls below a half (the bin's lower edge). None: never seen, up to
    ``tried`` times the plain cost.
    """
    broken = [one for one in told if one["recall"] < BROKEN]
    low = [row["from"] for row in bins(told) if row["recall_mean"] < BROKEN]
    return {
        "least": broken[0]["cost"] if broken else None,
        "attack": broken[0] if broken else None,
        "mean": min(low, default=None),
        "tried": max((one["cost"] for one in told), default=None),
        "n": len(told),
    }


def singles(some: Seen) -> list[dict[str, Any]]:
    """Each evasion alone: its cost, mean and worst recall over archetypes and seeds; worst first."""
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(one.facts["single"] for one, _ in some):
        here = [(one, cell) for one, cell in some if one.facts["single"] == name]
        shares = [sections.recall(one) for one in sections.campaigns(here)]
        rows.append({
            "evasion": name,
            "cost": here[0][0].facts["cost"],
            "accounts": here[0][0].facts["accounts"],
            "n": len(shares),
            "recall_mean": float(np.mean(shares)),
            "recall_worst": min(shares),
        })  # fmt: skip
    return sorted(rows, key=lambda row: (row["recall_mean"], row["cost"]))
