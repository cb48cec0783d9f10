"""Calibration: what innocent clusters look like, measured on logs known to hold no campaign.

Two things are learned. Intent scores of innocent clusters, which a candidate's score is compared with (conformal). And
how much independent customers differ at least, in load and in topics: the margins of the tests that rest on that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import clusters, evidence, hypotheses, intent
from spiritsafe.campaigns.evidence import Margins

if TYPE_CHECKING:
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

BUSY = 5.0
"""A wide cluster tells of heterogeneity with at least so many tested exchanges a party on average."""
QUANTILE = 0.02
"""Innocent clusters below this quantile are as even as the margin or more so: rarer than the tests' own errors."""
_KINDS = ("template", "items")
_MOST_COMMON = Margins()


@dataclass(slots=True)
class Measured:
    """What the clusters of one or more logs gave; lists are aligned by cluster, the margins' ones are their own."""

    scores: list[float] = field(default_factory=list)
    parties: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    spreads: list[float] = field(default_factory=list)
    correlations: list[float] = field(default_factory=list)

    def add(self, log: Log, layers: dict[str, Layer], projections: Any, *, seed: int) -> None:
        """Measure the candidates of one clean log."""
        for cluster in clusters.candidates(log, layers, seed=seed):
            seen = evidence.view(log, cluster)
            if cluster.kind in intent.STAND_IN or seen.parties.size < clusters.LEAST_PARTIES:
                continue  # its parts are measured, or a scan does not hear it either
            self.scores.append(round(intent.score(log, cluster, seen.screen), 6))
            self.parties.append(int(seen.parties.size))
            self.kinds.append(cluster.kind)
            wide = seen.parties.size >= intent.WIDE and seen.test.size >= BUSY * seen.parties.size
            # Tied parties may be one hand, and the same task done by many is even by nature and excused as such.
            if cluster.kind in _KINDS and wide and evidence.same_work(log, seen) < hypotheses.SAME_WORK:
                told = {test.name: test.value for test in evidence.work(log, seen, projections, _MOST_COMMON)}
                self.spreads.append(round(told["even_load"], 4))
                if "exchangeable_topics" in told:
                    self.correlations.append(round(told["exchangeable_topics"], 4))

    def margins(self) -> dict[str, float]:
        """The margins: a low quantile over innocent clusters, never above the defaults of ``Margins``."""
        return {
            "load_spread": _low(self.spreads, _MOST_COMMON.load_spread),
            "topic_correlation": _low(self.correlations, _MOST_COMMON.topic_correlation),
        }

    def record(self, sources: list[str], *, version: int, seed: int) -> dict[str, Any]:
        """The content of a calibration file: numbers only, no text."""
        kept = intent.thin(self.kinds, seed=seed)
        return {
            "schema": 1,
            "fingerprint_version": version,
            "sources": sources,
            "clusters": len(self.kinds),
            "margins": self.margins(),
            "margins_from": {"load_spread": len(self.spreads), "topic_correlation": len(self.correlations)},
            "scores": [self.scores[i] for i in kept],
            "parties": [self.parties[i] for i in kept],
            "kinds": [self.kinds[i] for i in kept],
        }


def _low(values: list[float], most: float) -> float:
    if not values:
        return most
    return round(float(np.clip(np.quantile(values, QUANTILE), most / 10, most)), 4)
