"""How a population is cut in parts of bounded size: who is made together, and what all parts of one hand agree on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spiritsafe.simulate._campaign import WARM, Campaign

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from spiritsafe.simulate._crowd import Customers

CELL = 2_000_000
"""Exchanges above which a population is made in several parts; part of what makes a log's bytes."""
LEAST = 8
"""Accounts that a part of a campaign has at least: work is handed on inside a part."""
ALL, FIRM = "all", "firm"


@dataclass(frozen=True)
class Share:
    """One part of a population: ``knobs.accounts`` of its accounts, from ``first`` on of the ``whole`` of one hand.

    ``unit`` counts the hands (firms, circles, …) before it; ``split`` tells that its own hand has further parts.
    """

    knobs: Campaign | Customers
    first: int
    whole: int
    unit: int
    split: bool


def together(module: ModuleType, knobs: Campaign | Customers, own: Mapping[str, Any]) -> int | None:
    """How many accounts have something in common, by the family's ``UNIT``; None: it cannot be cut.

    ``UNIT`` is a number, ``"all"``, ``"firm"`` (all, one organization), or the name of the knob that says it.
    """
    unit = getattr(module, "UNIT", ALL if getattr(module, "ARCHETYPE", "") else None)
    if unit in (ALL, FIRM):
        return knobs.accounts
    if unit == "organizations":
        return -(-knobs.accounts // max(1, knobs.organizations))
    return max(2, own[unit]) if isinstance(unit, str) else unit


def expected(module: ModuleType, knobs: Campaign | Customers, own: Mapping[str, Any], days: float) -> float:
    """About how many exchanges a population has, without what orders add.

    A family's ``LOAD`` is how many come to one that ``rate`` counts: a number, or the knob that says it.
    """
    load = getattr(module, "LOAD", 1.0)
    each = knobs.rate * days * (own[load] if isinstance(load, str) else load)
    if isinstance(knobs, Campaign):
        each *= 1.0 + knobs.share * (knobs.refused + knobs.framing)
        each += WARM * knobs.rate * min(knobs.warmup_days, days)
    return knobs.accounts * each


def cut(
    module: ModuleType, knobs: Campaign | Customers, own: Mapping[str, Any], days: float
) -> Iterator[Share]:
    """The parts of a population, each of about ``CELL`` exchanges or less; one part where all fits in one."""
    accounts, size = knobs.accounts, expected(module, knobs, own, days)
    unit = together(module, knobs, own)
    if size <= CELL or unit is None:
        yield Share(knobs, 0, accounts, 0, split=False)
        return
    firms = getattr(module, "UNIT", ALL) == "organizations"
    units = -(-accounts // unit)
    if size * unit <= CELL * accounts:  # parts of whole hands
        cells = min(units, -(-int(size) // CELL))
        done = 0
        for cell in range(cells):
            hands = units // cells + (cell < units % cells)
            mine = min(hands * unit, accounts - done * unit)
            part = replace(knobs, accounts=mine, **({"organizations": hands} if firms else {}))
            yield Share(part, 0, mine, done, split=False)
            done += hands
        return
    for hand in range(units):
        whole = min(unit, accounts - hand * unit)
        cells = max(1, min(whole // _least(knobs), -(-int(size * whole / accounts) // CELL)))
        first = 0
        for cell in range(cells):
            mine = whole // cells + (cell < whole % cells)
            part = replace(knobs, accounts=mine, **({"organizations": 1} if firms else {}))
            yield Share(part, first, whole, hand, split=cells > 1)
            first += mine


def _least(knobs: Campaign | Customers) -> int:
    if not isinstance(knobs, Campaign):
        return 1
    return max(LEAST, knobs.repeats if knobs.overlap == "best_of_k" else 0)


def largest(module: ModuleType, knobs: Campaign | Customers, own: Mapping[str, Any], days: float) -> float:
    """About how many exchanges the largest part of a population has."""
    most = max(share.knobs.accounts for share in cut(module, knobs, own, days))
    return expected(module, knobs, own, days) * most / knobs.accounts
