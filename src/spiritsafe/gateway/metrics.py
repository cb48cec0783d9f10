"""Figures of all workers as one set of Prometheus metrics.

Workers report flat names (``answered.200``, ``seconds.bucket.0.005``). Counts are summed, over workers that ended, too, so
that a restart sets nothing back. What every worker sees alike (orders in force) is the largest that one reports.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    Figures = Mapping[str, float]

PREFIX = "spiritsafe_gateway_"


class Family(NamedTuple):
    """One metric. ``kind``: counter; ``sum`` or ``max``: a gauge that is joined so. ``label``: of ``name.<value>``."""

    kind: str
    label: str
    help: str


FAMILIES = {
    "requests": Family("counter", "", "Requests taken"),
    "answered": Family("counter", "status", "Answers given, by status"),
    "refused": Family("counter", "category", "Requests refused, by category"),
    "matched": Family("counter", "", "Requests that matched an indicator"),
    "upstream": Family("counter", "error", "Requests that the model server did not answer, by error"),
    "artefacts": Family("counter", "verdict", "Reasoning artefacts seen, by verdict"),
    "best_of": Family("counter", "outcome", "Answers that an order wanted drawn several times, by outcome"),
    "escrow": Family("counter", "outcome", "Exchanges for the escrow, by outcome"),
    "records": Family("counter", "", "Records in the exchange log"),
    "records_lost": Family("counter", "", "Records that could not be written"),
    "records_refused": Family("counter", "", "Answers not given because their record could not be written"),
    "log_bytes": Family("counter", "", "Bytes written to the exchange log"),
    "log_failures": Family("counter", "", "Failed writes and syncs of the exchange log"),
    "segments_published": Family("counter", "", "Segments finished and published"),
    "spans_exported": Family("counter", "", "Spans that the collector took"),
    "spans_dropped": Family("counter", "reason", "Spans given up, by reason"),
    "spans_failures": Family("counter", "", "Requests that the collector did not take"),
    "orders_in_force": Family("max", "", "Orders in force"),
    "orders_version": Family("max", "", "Version of the orders in force"),
    "orders_withheld": Family("max", "", "Orders that are not in force"),
    "indicators": Family("max", "", "Indicators loaded"),
    "complaints": Family("max", "", "Complaints of one worker, as /ready lists them"),
    "connections": Family("sum", "", "Open connections of callers"),
    "workers": Family("sum", "", "Workers that serve"),
    "worker_deaths": Family("counter", "", "Workers that died by themselves"),
    "reloads": Family("counter", "result", "Reloads of the policy, by result"),
}
"""By the first part of the flat name. What has no entry is told as a counter with the label ``kind``."""
SECONDS = "seconds"
_OTHER = Family("counter", "kind", "Counted by the gateway")


class Gathered(Collector):
    """``live`` gives the latest figures of each serving worker; ``add`` keeps those of one that ended."""

    def __init__(self, live: Callable[[], Iterable[Figures]]) -> None:
        self._live = live
        self._ended: dict[str, float] = {}

    def add(self, figures: Figures) -> None:
        """Keep the counts of a worker that ended, and those of the parent itself."""
        for name, value in figures.items():
            if _family(name).kind == "counter":
                self._ended[name] = self._ended.get(name, 0) + value

    def joined(self) -> dict[str, float]:
        """One number for each flat name."""
        found: dict[str, float] = dict(self._ended)
        for figures in self._live():
            for name, value in figures.items():
                before = found.get(name)
                join = max if _family(name).kind == "max" else _plus
                found[name] = value if before is None else join(before, value)
        return found

    def collect(self) -> Iterator[Metric]:
        """The metrics of now."""
        by_family: dict[str, dict[str, float]] = {name: {} for name, one in FAMILIES.items() if not one.label}
        seconds: dict[str, float] = {}
        for name, value in self.joined().items():
            first, _, rest = name.partition(".")
            if first == SECONDS:
                seconds[rest] = value
            else:
                by_family.setdefault(first, {})[rest] = value
        for first, values in by_family.items():
            yield _metric(first, values)
        if "count" in seconds:
            yield _histogram(seconds)


def exposition(gathered: Gathered) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(gathered)
    return generate_latest(registry)


def _plus(a: float, b: float) -> float:
    return a + b


def _family(name: str) -> Family:
    return FAMILIES.get(name.partition(".")[0], _OTHER)


def _metric(first: str, values: Mapping[str, float]) -> Metric:
    family = FAMILIES.get(first, _OTHER)
    labels = [family.label] if family.label and any(values) else []
    made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = made(PREFIX + first, family.help, labels=labels)
    for rest, value in sorted(values.items()) or [("", 0.0)]:
        metric.add_metric([rest] if labels else [], value)
    return metric


def _histogram(seconds: Mapping[str, float]) -> Metric:
    bounds = sorted(
        (float(name.removeprefix("bucket.")), value)
        for name, value in seconds.items()
        if name.startswith("bucket.")
    )
    metric = HistogramMetricFamily(
        PREFIX + "answer_seconds", "Time from a request to the last byte of its answer"
    )
    buckets = [("+Inf" if math.isinf(bound) else str(bound), value) for bound, value in bounds]
    if not buckets or buckets[-1][0] != "+Inf":
        buckets.append(("+Inf", seconds["count"]))
    metric.add_metric([], buckets, seconds.get("sum", 0.0))
    return metric
