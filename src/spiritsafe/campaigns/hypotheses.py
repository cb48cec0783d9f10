"""Benign explanations: each is tried on every candidate that could be accused; one that fits withholds the accusation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.campaigns import evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.campaigns.evidence import View
    from spiritsafe.campaigns.log import Log

SAME_WORK = 0.3
"""Overlap coefficient of the accounts' items above which they do the same task, each for itself."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A benign explanation, whether it ``fits`` (no, partly, yes), and why."""

    hypothesis: str
    fits: str
    because: str


def heard(log: Log, seen: View, tests: Sequence[Test]) -> list[Hypothesis]:
    """Every benign explanation that a scan can try, in the order in which they are told."""
    value = {test.name: test.value for test in tests}
    strength = {test.name: test.log_e for test in tests}
    overlap = evidence.same_work(log, seen)
    share = np.bincount(np.searchsorted(seen.parties, log.row_party[seen.test]), minlength=seen.parties.size)
    once = float((share <= 1).mean())
    linked = [name for name, s in strength.items() if name.startswith("shared_") and s > 3]
    spread = value.get("even_load", 0.0)
    own = value.get("exchangeable_topics", 0.0)
    apart = strength.get("exchangeable_topics", 0.0) < 0 and strength.get("even_load", 0.0) < 0
    return [
        Hypothesis(
            "the same task done by many (benchmark runs, a class, a shared prompt)",
            "yes" if overlap >= SAME_WORK else "partly" if overlap >= SAME_WORK / 3 else "no",
            f"two accounts share {overlap:.1%} of the smaller one's items; work that is shared out overlaps little",
        ),
        Hypothesis(
            "one app or framework used by many independent owners",
            "yes" if apart and not linked else "partly" if apart else "no",
            f"rates vary with CV² {spread:.2f} and topics correlate {own:.2f} within accounts; independent owners differ more",
        ),
        Hypothesis(
            "a prompt that went around",
            "partly" if once > 0.7 else "no",  # noqa: PLR2004
            f"{once:.0%} of the accounts used it at most once in the tested slots",
        ),
        Hypothesis(
            "people in one place (one network address)",
            "yes" if linked == ["shared_network"] and apart else "no",
            f"layers shared beyond chance: {', '.join(linked) or 'none'}",
        ),
    ]
