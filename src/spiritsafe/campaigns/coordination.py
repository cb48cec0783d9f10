"""Coordination tests for accounts that look unrelated.

Independent customers are over-dispersed: unequal loads, bursts, own topics, own documents. Central control is *under*-
dispersed: too even, too disjoint, too exchangeable. Each test here returns the logarithm of an e-value for a stated
null (mean at most one under it, so it may be averaged over tests and fed to e-BH). Tests with a margin hold for
customers at least as heterogeneous as the margin; the margins stand in ``evidence.Margins``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import gammaln

from spiritsafe.campaigns import _martingales
from spiritsafe.campaigns._distinct import dense, distinct, kinds
from spiritsafe.campaigns.log import PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence


#: Exchanges of a candidate that one test reads, at most.
MOST_ROWS = 60_000
_LIMITS = (2.0, 1.3, 1.1)
_CLOSE = 0.05
"""Share of a party's mean gap below which an exchange follows another one."""
_PARTS_OF_A_TURN = (0.25, 0.5, 0.8)
_REACHES, _REPULSIONS = (1, 3, 6, 12), (0.1, 0.3, 1.0, 3.0)
"""Parts of a slot within which two exchanges are near, and how strongly that is bet against."""


@dataclass(frozen=True, slots=True)
class Test:
    """One coordination or intent test: what was asked, under which null, what came out.

    ``log_e`` is the natural logarithm of the e-value; ``weight`` its share in the average over tests.
    """

    name: str
    question: str
    null: str
    statistic: str
    value: float
    expected: float
    log_e: float
    n: int
    weight: float
    note: str = ""

    __test__ = False


def even_load(counts: Any, *, spread: float) -> float:
    """Log e-value for loads more even than independent customers' whose rates vary by ``spread``.

    ``counts`` int (parties,): exchanges of each, in slots not used to choose the parties. Null: rates are gamma with
    squared coefficient of variation ``spread`` or more, so counts given their total are Dirichlet-multinomial with
    concentration 1/``spread`` a party. Alternatives, mixed: dealt out in turn (hypergeometric), equal rates
    (multinomial), and camouflage up to CV² 0.1.
    """
    n = np.asarray(counts, float)
    total, parties = n.sum(), n.size
    if parties < 2 or total < 2:
        return 0.0
    null = _dirichlet_multinomial(n, 1 / spread)
    capacity = np.ceil(2 * total / parties)
    rivals = [
        _hypergeometric(n, capacity),
        gammaln(total + 1) - gammaln(n + 1).sum() - total * np.log(parties),
        _dirichlet_multinomial(n, 40.0),
        _dirichlet_multinomial(n, 10.0),
    ]
    return _mixed(rivals) - null


def even_arrivals(counts: Any) -> float:
    """Log e-value for arrivals more regular than a Poisson process of the same hourly rates.

    ``counts`` int (hours, bins): arrivals in equal parts of each hour. Null: given the hour's total, arrivals fall in
    the parts independently (bursty customers are further away still). Alternatives, mixed: dealt out with a limit of
    ``_LIMITS`` times the mean a part.
    """
    total = 0.0
    for hour in np.asarray(counts, float):
        if hour.sum() >= hour.size:
            flat = gammaln(hour.sum() + 1) - gammaln(hour + 1).sum() - hour.sum() * np.log(hour.size)
            regular = _mixed([_hypergeometric(hour, np.ceil(k * hour.sum() / hour.size)) for k in _LIMITS])
            # Mixing in the null keeps one irregular hour from ending the bet.
            total += float(np.logaddexp(regular, flat + np.log(3)) - np.log(4) - flat)
    return total


def _mixed(logs: Any) -> float:
    """The log of the mean of exp(``logs``): alternatives mixed evenly."""
    return float(np.logaddexp.reduce(np.asarray(logs, float)) - np.log(len(logs)))


def _dirichlet_multinomial(n: Any, concentration: float) -> float:
    total, parties = n.sum(), n.size
    return float(
        gammaln(total + 1)
        + gammaln(parties * concentration)
        - gammaln(total + parties * concentration)
        + (gammaln(n + concentration) - gammaln(n + 1)).sum()
        - parties * gammaln(concentration)
    )


def _hypergeometric(n: Any, capacity: float) -> float:
    if (n > capacity).any():
        return -np.inf
    choose = gammaln(capacity + 1) - gammaln(n + 1) - gammaln(capacity - n + 1)
    size, total = n.size * capacity, n.sum()
    return float(choose.sum() - (gammaln(size + 1) - gammaln(total + 1) - gammaln(size - total + 1)))


def exchangeable(topics: Any, prior: Any, *, correlation: float) -> float:
    """Log e-value for accounts that all draw from one distribution of topics.

    ``topics`` int (parties, buckets): how often each party touched each topic; ``prior`` float (buckets,): the topics'
    frequencies, from other exchanges. Null: each party has its own preferences, Dirichlet with intra-class correlation
    ``correlation`` or more. Alternative: none has.
    """
    c = np.asarray(topics, float)
    c = c[c.sum(axis=1) > 1]
    if not c.size:
        return 0.0
    p = np.asarray(prior, float) / np.sum(prior)
    strength = (1 - correlation) / correlation
    n = c.sum(axis=1)
    own = (
        gammaln(strength) - gammaln(n + strength) + (gammaln(c + strength * p) - gammaln(strength * p)).sum(1)
    )
    same = (c * np.log(p)).sum(axis=1)
    weak = 8 * strength
    near = gammaln(weak) - gammaln(n + weak) + (gammaln(c + weak * p) - gammaln(weak * p)).sum(1)
    return _mixed(((same - own).sum(), (near - own).sum()))


def taken_in_turn(labels: Any, times: Any, tested: Any = None) -> float:
    """Log e-value that accounts take turns: the same one returns later than in a random order.

    ``labels`` int (n,): the party of each exchange of the candidate, in time order; ``times`` int64 (n,); ``tested`` bool
    (n,), None for all: those that are bet on. The others only tell who sent last, so that a turn is seen whole. Null: given
    them and how often each party is tested, every order of those tested is equally likely; bursts only lower the value.
    Since a sticky router sends bursts too, the starts of bursts are read as a second sequence, and the two e-values are
    averaged.
    """
    tested = np.ones(labels.size, bool) if tested is None else tested
    first = burst_starts(labels, times)
    return _mixed((_late_turn(labels, tested), _late_turn(labels[first], tested[first], thinned=True)))


def rotates(labels: Any, times: Any) -> Any:
    """Float by party 0, 1, …: log-likelihood ratio of being dealt to in turn, against sending at random; no e-value.

    ``labels``, ``times`` as in ``taken_in_turn``; followers within a burst do not count.
    """
    first = burst_starts(labels, times)
    found = np.zeros((len(_PARTS_OF_A_TURN), int(labels.max(initial=-1)) + 1))
    label = labels[first].astype(np.int64)
    count = np.bincount(label, minlength=found.shape[1])
    for part, scores in zip(_PARTS_OF_A_TURN, found, strict=True):
        reach = np.maximum(1, part * label.size / np.maximum(count, 1)).astype(np.int64)
        _martingales.no_early_turn(label, np.ones(label.size, bool), reach, 0.1, _slack(part), scores)
    return np.logaddexp.reduce(found, axis=0) - np.log(len(_PARTS_OF_A_TURN))


def burst_starts(labels: Any, times: Any) -> Any:
    """Boolean (n,): exchanges that do not follow one of the same party closely.

    Closely is a twentieth of the mean time between the party's exchanges, or between any party's if that is less. Dropping
    followers keeps a party from returning at once; ``_late_turn`` allows for that.
    """
    if not labels.size:
        return np.zeros(0, bool)
    order = np.lexsort((times, labels))
    gap = np.diff(times[order])
    same = np.diff(labels[order]) == 0
    ticks = distinct(times)
    count = np.bincount(labels)
    most = np.minimum(1 / np.maximum(count, 1), kinds(labels) / labels.size)
    close = float(times.max() - times.min()) * most * _CLOSE
    first = np.ones(labels.size, bool)
    tick = int(np.gcd.reduce(np.diff(ticks))) if ticks.size > 1 else np.inf
    # A clock that is coarser than what is close tells no followers.
    near = (gap <= close[labels[order][1:]]) & (close[labels[order][1:]] >= tick)
    first[order[1:]] = ~same | ~near
    return first


def _late_turn(labels: Any, tested: Any, *, thinned: bool = False) -> float:
    """Log e-value that a party comes back later than in a random order: reaches of parts of a turn, two sizes of the effect.

    A party's turn is its own mean gap, in exchanges of all. ``thinned``: followers
    were dropped, which makes returns at once rarer for independent customers, too: of those within a share f of their mean
    gap by (1 - exp(-``_CLOSE``)) / (1 - exp(-f)); a little more is allowed for.
    """
    _, place = dense(labels)
    count = np.bincount(place)
    if count.size < 2 or place.size <= count.size or not tested.any():
        return 0.0
    turn = place.size / count
    bets: list[float] = []
    for part in _PARTS_OF_A_TURN:
        reach = np.maximum(1, (turn * part).astype(np.int64))
        slack = _slack(part) if thinned else 0.0
        bets += [
            float(_martingales.no_early_turn(place, tested, reach, share, slack, np.zeros(count.size)))
            for share in (0.1, 0.6)
        ]
    return _mixed(bets)


def _slack(part: float) -> float:
    return float(1.2 * np.expm1(-_CLOSE) / np.expm1(-part))


def spaced_apart(labels: Any, slots: Any, parts: Any, tested: Any, others: Any = None) -> float:
    """Log e-value that parties keep out of each other's way, as the requests of one queue do, or out of that of ``others``.

    ``labels`` int (n,): the party of each exchange, 0, 1, …; ``slots`` int (n,): its slot, 0, 1, …; ``parts`` int (n,): where
    within the slot, of ``PARTS``; ``tested`` bool by party: who is bet on; ``others`` float (slots, parts): exchanges of
    everybody else.
    Null: the phase of each party within its slots is uniform given what all others do. So it is for customers of any rhythm,
    bursts and clocks, unless somebody arranges them; where many clocks strike round minutes they meet, which lowers the value.
    Each party in turn, the busiest first, is compared with itself moved on by each number of parts.
    """
    return _mixed(_apart(labels, slots, parts, tested, others).sum(axis=1))


def keeps_apart(labels: Any, slots: Any, parts: Any) -> Any:
    """Float by party 0, 1, …: log-likelihood ratio of keeping out of the others' way, against any phase; no e-value.

    Arguments as in ``spaced_apart``. By the bet that all of them together win most with.
    """
    found = _apart(labels, slots, parts, np.ones(int(labels.max(initial=-1)) + 1, bool), None)
    return found[np.argmax(found.sum(axis=1))]


def _apart(labels: Any, slots: Any, parts: Any, tested: Any, others: Any) -> Any:
    """Float (bets, parties): ``_martingales.keep_apart`` for all reaches and bets: off each other, or off ``others``."""
    count = np.bincount(labels)
    order = np.argsort(-count, kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    sorting = np.argsort(rank[labels], kind="stable")
    first = np.concatenate([[0], np.cumsum(count[order])])
    slot, part = slots[sorting].astype(np.int64), parts[sorting].astype(np.int64)
    bets, mine = np.array(_REPULSIONS), tested[order]
    found = np.zeros((len(_REACHES) * bets.size, order.size))
    for n, reach in enumerate(_REACHES):
        known = np.zeros((int(slot.max()) + 1, PARTS)) if others is None else _blurred(others, reach)
        won = _martingales.keep_apart(first, slot, part, known, reach, bets, mine, others is None)
        found[n * bets.size : (n + 1) * bets.size, order] = won.T
    return found


def _blurred(counts: Any, reach: int) -> Any:
    """``counts`` (slots, parts) seen through a triangle of ``reach`` parts to each side, round and round."""
    blurred = np.zeros(np.shape(counts))
    for off in range(1 - reach, reach):
        blurred += (1.0 - abs(off) / reach) * np.roll(counts, off, axis=1)
    return blurred


def runs(labels: Any) -> bool:
    """Whether exchanges follow one of the same party more often than in a random order (three standard deviations).

    ``labels`` int (n,): the party of each exchange, in time order.
    """
    count = np.bincount(labels).astype(float)
    expected = float((count * (count - 1)).sum() / max(1, labels.size))
    return float((np.diff(labels) == 0).sum()) > expected + 3 * np.sqrt(expected) + 3


def swept(items: Any) -> float:
    """Log e-value that a pool of items is worked through pass by pass: no item again before all were taken.

    ``items`` uint64 (n,): the item of each exchange, in time order. Null: given the multiplicities, every order is
    equally likely. All items different, or drawn at random: no evidence either way.
    """
    return late_return(items)


def late_return(labels: Any) -> float:
    """Log e-value that a label comes back later than in a random order, for four sizes of the effect, mixed.

    Half of the time is not tested, so that a turn of k labels comes round after k/2 tested events or so, not after k: the
    shorter reach is for that.
    """
    held, place = dense(labels)
    many = held.size
    if many < 2 or place.size <= many:
        return 0.0
    bets = [
        float(_martingales.no_early_repeat(place, many, max(1, many // part), share))
        for part in (2, 4)
        for share in (0.1, 0.6)
    ]
    return _mixed(bets)


def shared(values: Any, population: Any, size: int) -> float:
    """Log e-value that members share one layer's values more than parties drawn at random from the log.

    ``values`` int (members,) indexes ``population`` int (kinds,), the number of parties in the whole log that hold each
    value; ``size`` parties in all. Rare values weigh, popular ones do not (the chance is exact).
    """
    if len(values) < 2:
        return 0.0
    bets = np.array([0.02, 0.1, 0.4, 0.9])
    logs = _martingales.shared_values(
        np.asarray(values, np.int64), np.asarray(population, np.int64), int(size), bets
    )
    return _mixed(logs)


def average(tests: Sequence[Test]) -> float:
    """The log of the weighted average of the tests' e-values: an e-value whatever their dependence.

    (Vovk & Wang 2021, "E-values: calibration, combination and applications", section 3.)
    """
    live = [test for test in tests if test.weight > 0]
    if not live:
        return 0.0
    weights = np.array([test.weight for test in live])
    logs = np.array([test.log_e for test in live])
    return float(np.logaddexp.reduce(logs + np.log(weights / weights.sum())))
