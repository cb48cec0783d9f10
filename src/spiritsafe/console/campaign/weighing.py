"""How a group's evidence comes together: each test's log e-value, their average, and the bar that e-BH asks for.

E-values of tests that may depend on each other are averaged, not multiplied. So bits do not add: together they are those of the
strongest test, less its share in the average, and the others add what little the logarithm of a sum leaves. The
``adds`` of the steps, strongest first, sum to the whole exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spiritsafe.campaigns import grounds
from spiritsafe.campaigns.coordination import Test

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BIT: Final = math.log(2)
"""Natural logarithm of a bit of evidence."""
_LARGEST: Final = 1e299
"""E-values from here on may have been cut when they were written."""
NATURES: Final = {
    "marginal": "a crowd of clones would give it, too",
    "orderly": "clocks that tick by themselves would give it, too",
    "firm": "no crowd has it by chance",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One test in the sum: ``bits`` of its own, ``adds`` to the running total (None: it does not count, ``why``).

    ``alone``: whether it reaches the bar by itself. ``window``: the slots of the log that it looked at.
    """

    name: str
    question: str
    kind: str
    nature: str
    bits: float
    weight: float
    n: int
    window: str
    adds: float | None
    alone: bool
    why: str


def tests(entry: Mapping[str, Any]) -> list[Test]:
    """The tests of a group, as ``campaigns.json`` tells them. What cannot be read is left out."""
    found: list[Test] = []
    block = entry.get("coordination")
    for row in block.get("tests", ()) if isinstance(block, dict) else ():
        try:
            found.append(_test(row))
        except (KeyError, TypeError, ValueError):
            continue
    return found


def _test(row: Mapping[str, Any]) -> Test:
    return Test(
        str(row["name"]),
        str(row.get("question", "")),
        str(row.get("null", "")),
        str(row.get("statistic", "")),
        float(row["value"]),
        float(row["expected"]),
        _log_e(float(row["e_value"]), float(row["bits"])),
        int(row["n"]),
        float(row["weight"]),
        str(row.get("note", "")),
    )


def _log_e(e_value: float, bits: float) -> float:
    """The log e-value: of the e-value, which is not rounded, where it was not cut at an end of the scale."""
    return math.log(e_value) if 1 / _LARGEST < e_value < _LARGEST else bits * BIT


def steps(found: Sequence[Test], bar: float | None, windows: Mapping[str, str]) -> list[Step]:
    """Each test in the sum, strongest first; those that do not count behind. ``bar``: a log e-value."""
    counted = sorted(grounds.decisive(found), key=lambda one: -one.log_e)
    total = sum(one.weight for one in counted)
    told: list[Step] = []
    before = -math.inf
    for one in counted:
        after = float(np.logaddexp(before, one.log_e + math.log(one.weight / total)))
        adds = (after - before) / BIT if math.isfinite(before) else after / BIT
        before = after
        told.append(_step(one, windows, bar, adds=adds, why=""))
    rest = [one for one in found if one not in counted]
    return told + [
        _step(one, windows, bar, adds=None, why=one.note or "context only: it never decides") for one in rest
    ]


def summed(counted: Sequence[Step]) -> dict[str, Any] | None:
    """How the average comes to its bits, in three parts that add: the strongest test, its share of weights, all others."""
    if not counted:
        return None
    first = counted[0]
    share = first.weight / sum(one.weight for one in counted)
    rest = sum(one.adds or 0.0 for one in counted[1:])
    return {
        "strongest": first.name, "bits": first.bits, "share": share, "share_bits": math.log2(share),
        "others": len(counted) - 1, "others_bits": rest,
    }  # fmt: skip


def _step(one: Test, windows: Mapping[str, str], bar: float | None, *, adds: float | None, why: str) -> Step:
    alone = adds is not None and bar is not None and one.log_e >= bar
    return Step(
        one.name, one.question, grounds.kind(one), grounds.nature(one.name), one.log_e / BIT, one.weight, one.n,
        windows.get(one.name, ""), adds, alone, why,
    )  # fmt: skip


def bar_of(entry: Mapping[str, Any], tested: Mapping[str, Any]) -> float | None:
    """The log e-value that e-BH asked for: of the entry, else of ``candidates.json``; None where neither tells."""
    decision = entry.get("decision")
    bits = decision.get("bar_bits") if isinstance(decision, dict) else tested.get("bar_bits")
    return bits * BIT if isinstance(bits, int | float) and not isinstance(bits, bool) else None


def windows(entry: Mapping[str, Any]) -> dict[str, str]:
    """Which slots each test looked at, by its name, in the words of the result."""
    block = entry.get("coordination")
    rows = block.get("tests", ()) if isinstance(block, dict) else ()
    return {str(row.get("name")): str(row.get("window", "")) for row in rows if isinstance(row, dict)}
