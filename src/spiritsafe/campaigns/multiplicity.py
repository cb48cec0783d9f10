"""Multiplicity: whether each item is asked a fixed number of times, as when k answers to each are collected.

Independent customers who draw from a pool ask a popular item often and a rare one seldom: counts are a mixture of
Poissons, over-dispersed. "Each item exactly k times" is a single number. Universal inference (Wasserman, Ramdas &
Balakrishnan, PNAS 2020) makes an e-value of it: the likelihood of a fixed mixture of alternatives, divided by the
greatest likelihood that any mixture of the null can have. Items never asked are not seen, so all counts are given that
they are at least one; then "every item once" is no evidence at all, being what a very large pool gives.

Only counts of counts are used, so the cost does not grow with the items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln, xlogy

from spiritsafe.campaigns._distinct import dense, distinct, kinds, union

if TYPE_CHECKING:
    from collections.abc import Callable

_GRID = 1500
_FITTED = 10
"""Each tenth point of the grid, and the nearest to each count, carries mass in the fit; all of them bound it."""
_ROUNDS, _CLOSE = 400, 0.01
"""The fit stops after so many rounds, or when no mixture can have a log-likelihood greater by this."""
_EACH = 10
"""Rounds after which it is asked whether the fit already explains the counts as well as the alternatives do."""
_TIMES = (*range(2, 17), 20, 24, 32, 48, 64)
_KEPT = (0.5, 0.75, 0.9, 0.99)
"""How many of an item's k exchanges fall in the tested slots, where passes are far apart (0.5) or close (0.99)."""
_STRAY = (0.02, 0.1, 0.3, 0.5)
"""Share of items that were asked for other reasons; those have count c with chance 1/(c (c + 1))."""

_RUNNER = 0.3
"""Share of the items that makes a party one who does the whole task (``hypotheses.SAME_WORK``)."""


@dataclass(frozen=True, slots=True)
class Regularity:
    """``log_e``; ``times``: how often items are asked most, once aside; ``share`` of items that are; ``expected`` share."""

    log_e: float
    times: int
    share: float
    expected: float


@dataclass(frozen=True, slots=True)
class Family:
    """A null family on a grid: an exponential family with natural parameter ``theta`` float (grid,).

    ``logs`` float (grid, counts): log chance of each of ``counts``; ``mean`` float (grid,); ``ends`` bool (2, counts):
    which count has all chance in the limit below and above the grid. Beyond the grid all others only fall.
    """

    counts: Any
    theta: Any
    logs: Any
    mean: Any
    ends: Any


def regularity(items: Any, parties: Any) -> Regularity:
    """Regularity of a candidate's items, against customers with and without replacement: the lesser of two e-values.

    ``items`` uint64 (n,), ``parties`` int (n,) of each exchange. Exchanges of an item are Poisson if customers draw
    with replacement; parties of an item are binomial if each asks an item once or not at all. One customer who asks
    everything three times by himself, an app that does so for each owner, is regular only in the first.
    """
    nothing = Regularity(0.0, 1, 0.0, 0.0)
    if not items.size:
        return nothing
    pool, item = dense(items)
    who, party = dense(parties)
    item, party = _without_runners(item, party, pool.size, who.size)
    if not item.size:
        return nothing
    pair = distinct(item.astype(np.int64) * who.size + party)
    asked = np.bincount(np.bincount(item))
    askers = np.bincount(np.bincount(pair // who.size))
    if askers.size < 3:
        return nothing  # no item of two parties
    first = log_e(*_occurring(asked), poisson)[0]
    counts, weight = _occurring(askers)
    size = kinds(party)
    second, fitted = log_e(counts, weight, lambda counts: binomial(counts, size))
    top = int(np.argmax(np.where(counts > 1, weight, 0)))
    share = float(weight[top] / weight.sum())
    return Regularity(min(first, second), int(counts[top]), share, float(fitted[top]))


def _without_runners(item: Any, party: Any, items: int, parties: int) -> tuple[Any, Any]:
    """The exchanges of parties that ask less than ``_RUNNER`` of the items.

    Two customers who each run a whole benchmark make every count two. Who is left out depends on how much he asks, not
    on what others ask, so that the rest keeps its null.
    """
    pair = distinct(party.astype(np.int64) * items + item)
    light = np.bincount(pair // items, minlength=parties) < _RUNNER * items
    keep = light[party]
    return item[keep], party[keep]


def _occurring(histogram: Any) -> tuple[Any, Any]:
    counts = np.flatnonzero(histogram)
    return counts[counts > 0], histogram[counts[counts > 0]].astype(float)


def poisson(counts: Any) -> Family:
    """Zero-truncated Poissons of all rates. Its upper end is where every count falls with the rate."""
    theta = np.linspace(np.log(1e-3), np.log(2.0 * counts.max()), _GRID)
    rate = np.exp(theta)[:, None]
    logs = xlogy(counts, rate) - rate - gammaln(counts + 1) - np.log(-np.expm1(-rate))
    mean = rate / -np.expm1(-rate)
    return Family(counts, theta, logs, mean[:, 0], np.array([counts == 1, counts == 0]))


def binomial(counts: Any, size: int) -> Family:
    """Zero-truncated binomials of ``size`` trials, of all chances."""
    theta = np.linspace(np.log(1e-3 / size), np.log(10.0 * size), _GRID)
    chance = (1 / (1 + np.exp(-theta)))[:, None]
    none = size * np.log1p(-chance)
    logs = gammaln(size + 1) - gammaln(counts + 1) - gammaln(size - counts + 1)
    logs = logs + counts * np.log(chance) + (size - counts) * np.log1p(-chance) - np.log(-np.expm1(none))
    mean = size * chance / -np.expm1(none)
    return Family(counts, theta, logs, mean[:, 0], np.array([counts == 1, counts == size]))


def log_e(counts: Any, weight: Any, null: Callable[[Any], Family]) -> tuple[float, Any]:
    """Log e-value of ``weight`` float (counts,) items with each of ``counts``, and the null's best fit to them."""
    rivals = _alternatives(counts) @ weight
    rival = float(np.logaddexp.reduce(rivals) - np.log(rivals.size))
    bound, fitted = greatest(weight, null(counts), enough=rival)
    return rival - bound, fitted


def greatest(weight: Any, null: Family, *, enough: float = np.inf) -> tuple[float, Any]:
    """An upper bound of the log-likelihood of every mixture of ``null``, and the fitted chances of the counts.

    A fit that reaches the log-likelihood ``enough`` is not improved further: the bound holds after any number of rounds.

    Expectation-maximisation climbs from below. For its result P and any other mixture Q, Jensen's inequality gives
    log-likelihood(Q) - log-likelihood(P) <= n log max_theta D, where D is the mean over the items of p_theta / P
    (Lindsay 1983: D <= 1 at the maximum). Between two points of the grid each log p_theta is concave, so that
    the tangents at both bound it: the maximum is over all theta, not over the grid.
    """
    own = np.searchsorted(null.mean, null.counts).clip(max=_GRID - 1)
    support = union(np.arange(0, _GRID, _FITTED), own)
    chances = np.concatenate([null.ends.astype(float), np.exp(null.logs[support])])
    mass = np.full(chances.shape[0], 1 / chances.shape[0])
    total = weight.sum()
    fitted = mass @ chances
    for number in range(1, _ROUNDS + 1):
        gain = chances @ (weight / fitted) / total
        if total * np.log(gain.max()) <= _CLOSE:
            break
        mass *= gain
        fitted = mass @ chances
        if number % _EACH == 0 and np.log(fitted) @ weight >= enough:
            break
    slope = null.counts - null.mean[:, None]
    step = np.diff(null.theta)[:, None]
    inside = np.minimum(null.logs[:-1] + step * slope[:-1], null.logs[1:] - step * slope[1:])
    highest = np.where(slope[:-1] <= 0, null.logs[:-1], np.where(slope[1:] >= 0, null.logs[1:], inside))
    highest = np.concatenate([np.where(null.ends, 0.0, null.logs[[0, -1]]), highest])
    most = float((np.exp(highest) @ (weight / fitted)).max() / total)
    return float(np.log(fitted) @ weight + total * np.log(most)), fitted


def _alternatives(counts: Any) -> Any:
    """Log chances (alternatives, counts): k exchanges an item, of which those in tested slots are seen, and strays."""
    k, kept = np.repeat(np.array(_TIMES, float), len(_KEPT))[:, None], np.tile(_KEPT, len(_TIMES))[:, None]
    left = np.maximum(k - counts, 0)
    logs = gammaln(k + 1) - gammaln(counts + 1) - gammaln(left + 1) + xlogy(counts, kept)
    logs += xlogy(left, 1 - kept) - np.log1p(-((1 - kept) ** k))
    logs = np.where(counts <= k, logs, -np.inf)
    other = -np.log(counts * (counts + 1.0))
    return np.concatenate([np.logaddexp(np.log1p(-stray) + logs, np.log(stray) + other) for stray in _STRAY])
