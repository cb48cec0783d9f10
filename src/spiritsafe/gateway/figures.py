"""Counts of one process, as flat names for the metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of answer times."""


class Figures:
    """``requests``, ``answered.<status>``, ``refused.<category>``, ``matched``, ``artefacts.<verdict>``, answer times."""

    def __init__(self) -> None:
        self.counter: Counter[str] = Counter()
        self._buckets = [0] * (len(SECONDS) + 1)
        self._sum = 0.0

    def add(self, name: str) -> None:
        """One more."""
        self.counter[name] += 1

    def took(self, seconds: float) -> None:
        """One answer took so long, from the request to its last byte."""
        self._buckets[bisect_left(SECONDS, seconds)] += 1
        self._sum += seconds

    def flat(self) -> dict[str, float]:
        """All of it; buckets are cumulative, as Prometheus wants them."""
        found: dict[str, float] = dict(self.counter)
        total = 0
        for bound, many in zip((*SECONDS, float("inf")), self._buckets, strict=True):
            total += many
            found[f"seconds.bucket.{bound}"] = total
        found["seconds.sum"], found["seconds.count"] = self._sum, total
        return found
