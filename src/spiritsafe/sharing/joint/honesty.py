"""Whether a lab's opened e-values are too large: a test over its history against groups that were later found innocent.

An honest lab's e-values of innocent candidates have a mean of one at most. Which groups are looked at again is no fair sample:
those with large values are disputed. So the sum over the refuted ones is divided by the number of *all* its candidates that
matched in that round. Refuted ones are some of the innocent ones, so the mean of that quotient is still at most one, however
they came to be refuted. A bet on it, round by round, is an e-process: it may be looked at any time (Ville's inequality).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_STAKES = np.array([0.02, 0.1, 0.3, 0.6, 0.9])
"""Shares of the wealth that are bet, mixed: none needs to know how much a liar adds, or how often."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a lab's history says: ``bits`` of evidence that its values are too large, and whether it is flagged."""

    by: str
    rounds: int
    matched: int
    refuted: int
    bits: float
    flagged: bool


def history(result: Mapping[str, Any], refuted: Iterable[str]) -> list[dict[str, Any]]:
    """By lab and group of a decision: the bits that were opened, and whether the group was found innocent since.

    ``refuted``: ids of groups whose dispute was upheld, or of which false-positive sightings came.
    """
    wrong = set(refuted)
    return [
        {
            "round": result["round"],
            "by": one["by"],
            "bits": one["bits"],
            "cap": result["cap_bits"],
            "refuted": group["group_id"] in wrong,
        }
        for group in result["groups"]
        for one in group["members"]
    ]


def records(entries: Iterable[Mapping[str, Any]], *, level: float = 0.01) -> list[Record]:
    """The record of each lab in ``entries`` (see ``history``), rounds in the order in which they stand.

    ``level``: chance that any honest lab of the forum is ever flagged.
    """
    rounds: dict[str, dict[str, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        rounds[entry["by"]][entry["round"]].append(entry)
    bar = log2(len(rounds) / level) if rounds else 0.0
    found: list[Record] = []
    for by, mine in sorted(rounds.items()):
        everything = [entry for among in mine.values() for entry in among]
        bits = wealth([excess(among) for among in mine.values()])
        refuted = sum(entry["refuted"] for entry in everything)
        found.append(Record(by, len(mine), len(everything), refuted, bits, bits >= bar))
    return found


def excess(among: Iterable[Mapping[str, Any]]) -> float:
    """One round of one lab: the e-values of the refuted, as they counted, over the number of all; an e-value."""
    entries = list(among)
    values = [
        2.0 ** min(entry["bits"], entry["cap"])
        for entry in entries
        if entry["refuted"] and entry["bits"] is not None
    ]
    return sum(values) / max(1, len(entries))


def wealth(values: Iterable[float]) -> float:
    """Bits of the wealth of bets on a sequence of e-values, stakes mixed: an e-process."""
    each = np.array(list(values), float)
    logs = np.log2(1 - _STAKES[:, None] + _STAKES[:, None] * each[None, :]).sum(axis=1)
    highest = float(logs.max())
    return highest + float(np.log2(np.exp2(logs - highest).mean()))
