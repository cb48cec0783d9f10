"""Every e-value has mean at most one under its null; every test has power against a planted case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import hypergeom, multinomial

from spiritsafe.campaigns import coordination as co
from spiritsafe.campaigns.coordination import Test
from spiritsafe.campaigns.decide import bar, e_bh

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

SEEDS = 400


def gamma_loads(rng: Generator, spread: float, parties: int, mean: float) -> np.ndarray:
    return rng.poisson(rng.gamma(1 / spread, mean * spread, parties))


def own_topics(rng: Generator, correlation: float, parties: int, each: int) -> np.ndarray:
    strength = (1 - correlation) / correlation
    taste = rng.dirichlet(np.full(16, strength / 16), parties)
    return np.array([rng.multinomial(each, one) for one in taste])


def random_holders(rng: Generator) -> float:
    population = np.concatenate([np.ones(60, int), np.full(25, 4), [100]])
    holders = np.repeat(np.arange(population.size), population)
    return co.shared(rng.choice(holders, 30, replace=False), population, holders.size)


def in_turn(labels: np.ndarray) -> float:
    return co.taken_in_turn(labels, np.arange(labels.size) * 1_000_000)


def customers_in_turn(
    rng: Generator, *, burst: int, parties: int = 12, starts: int = 8, sigma: float = 0.0, part: float = 1.0
) -> float:
    """Independent customers: Poisson starts, each followed by a conversation with gaps of its own.

    ``sigma``: spread of the logarithm of their rates; ``part``: share of the slots that is tested.
    """
    size = rng.poisson(starts * rng.lognormal(-(sigma**2) / 2, sigma, parties))
    who = np.repeat(np.arange(parties), size)
    start = rng.uniform(0, 1e10, who.size)
    turns = rng.geometric(1 / burst, who.size)
    gap = rng.exponential(3e7, turns.sum())
    who, time = np.repeat(who, turns), np.repeat(start, turns) + np.cumsum(gap)
    time -= np.repeat(
        np.cumsum(gap)[np.cumsum(turns) - 1], turns
    )  # each conversation ends where it was drawn
    order = np.argsort(time, kind="stable")
    who, time = who[order], time[order].astype(np.int64)
    return co.taken_in_turn(who, time, np.isin(time // 100_000_000, np.flatnonzero(rng.random(200) < part)))


def weighted_turns(rng: Generator, weights: np.ndarray, *, part: float) -> float:
    """A router that gives each account evenly spaced places, as many as its weight; a part of the slots is tested."""
    who = np.repeat(np.arange(weights.size), weights)
    nth = np.concatenate([np.arange(one) for one in weights])
    place = (nth + rng.random(weights.size)[who]) / weights[who]
    who = who[np.argsort(place, kind="stable")]
    tested = np.repeat(rng.random(who.size // 10 + 1) < part, 10)[: who.size]
    return co.taken_in_turn(who, np.arange(who.size) * 1_000_000, tested)


NULLS: dict[str, Callable[[Generator], float]] = {
    "even_load at its margin": lambda rng: co.even_load(gamma_loads(rng, 0.25, 12, 6), spread=0.25),
    "even_load, more unequal": lambda rng: co.even_load(gamma_loads(rng, 1.0, 12, 6), spread=0.25),
    "even_load, light users": lambda rng: co.even_load(gamma_loads(rng, 0.25, 60, 1.5), spread=0.25),
    "even_arrivals, Poisson": lambda rng: co.even_arrivals(rng.poisson(2.0, (3, 30))),
    "even_arrivals, many": lambda rng: co.even_arrivals(rng.poisson(36.0, (2, 15))),
    "even_arrivals, bursty": lambda rng: co.even_arrivals(rng.poisson(rng.gamma(0.5, 4, (3, 30)))),
    "exchangeable at its margin": lambda rng: co.exchangeable(
        own_topics(rng, 0.05, 12, 8), np.ones(16), correlation=0.05
    ),
    "exchangeable, own topics": lambda rng: co.exchangeable(
        own_topics(rng, 0.3, 12, 8), np.ones(16), correlation=0.05
    ),
    "taken_in_turn, random order": lambda rng: in_turn(rng.permutation(np.repeat(np.arange(8), 4))),
    "taken_in_turn, bursts": lambda rng: in_turn(np.repeat(rng.integers(0, 8, 20), 3)),
    "taken_in_turn, Poisson customers": lambda rng: customers_in_turn(rng, burst=1),
    "taken_in_turn, conversations": lambda rng: customers_in_turn(rng, burst=4),
    "taken_in_turn, many light customers": lambda rng: customers_in_turn(rng, burst=2, parties=60, starts=3),
    "taken_in_turn, half of the time tested": lambda rng: customers_in_turn(rng, burst=1, part=0.5),
    "taken_in_turn, uneven customers, half tested": lambda rng: customers_in_turn(
        rng, burst=2, parties=30, sigma=1.5, part=0.5
    ),
    "swept, random draws": lambda rng: co.swept(rng.integers(0, 12, 30).astype(np.uint64)),
    "shared, random members": random_holders,
}


@pytest.mark.parametrize("name", NULLS)
def test_e_value_has_mean_at_most_one_under_its_null(name: str) -> None:
    values = np.array([np.exp(min(NULLS[name](np.random.default_rng(seed)), 50.0)) for seed in range(SEEDS)])
    error = values.std(ddof=1) / np.sqrt(SEEDS)
    assert values.mean() <= 1 + 3 * error, f"mean e-value {values.mean():.3f} ± {error:.3f}"
    # Markov: an e-value of 100 is at most a 1 % event.
    assert (values >= 100).mean() <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / SEEDS)


PLANTED: dict[str, Callable[[Generator], float]] = {
    "fifty accounts, equal rates": lambda rng: co.even_load(rng.poisson(13, 50), spread=0.25),
    "seven hundred accounts, two exchanges each": lambda rng: co.even_load(rng.poisson(2, 700), spread=0.25),
    "one mix of topics": lambda rng: co.exchangeable(
        rng.multinomial(13, np.full(16, 1 / 16), 100), np.ones(16), correlation=0.05
    ),
    "round robin": lambda rng: in_turn(np.concatenate([rng.permutation(40) for _ in range(5)])),
    "eight in a row, then the next account": lambda rng: in_turn(
        np.concatenate([np.repeat(rng.permutation(40), 8) for _ in range(4)])
    ),
    "four exchanges each, half of the time tested": lambda rng: weighted_turns(rng, np.full(50, 4), part=0.5),
    "weighted turns, half of the time tested": lambda rng: weighted_turns(
        rng, 1 + rng.poisson(rng.lognormal(1.5, 1.5, 60)), part=0.5
    ),
    "a pool swept three times": lambda rng: co.swept(
        np.concatenate([rng.permutation(200) for _ in range(3)]).astype(np.uint64)
    ),
    "an hour without chance": lambda rng: co.even_arrivals(
        np.full((1, 15), 36) + rng.integers(0, 2, (1, 15))
    ),
    "regular arrivals": lambda rng: co.even_arrivals(np.full((6, 30), 2) + rng.integers(0, 2, (6, 30))),
    "cards shared by ten": lambda rng: co.shared(
        rng.integers(0, 5, 50), np.concatenate([np.full(5, 10), np.ones(5000, int)]), 5050
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_power_against_a_planted_case(name: str) -> None:
    hits = [PLANTED[name](np.random.default_rng(seed)) > np.log(1e4) for seed in range(100)]
    assert np.mean(hits) >= 0.95


def test_even_load_meets_the_closed_form_of_its_parts() -> None:
    counts = np.array([3, 5, 4, 4])
    flat = multinomial.logpmf(counts, counts.sum(), np.full(4, 0.25))
    assert co.even_load(counts, spread=1e-7) == pytest.approx(
        np.log(np.mean(np.exp(_rivals(counts) - flat))), abs=1e-4
    )


def _rivals(counts: np.ndarray) -> np.ndarray:
    n, total, parties = counts.astype(float), counts.sum(), counts.size
    flat = multinomial.logpmf(counts, total, np.full(parties, 1 / parties))
    capacity = int(np.ceil(2 * total / parties))
    dealt = 0.0
    left, room = total, capacity * parties
    for count in counts[:-1]:
        dealt += hypergeom.logpmf(count, room, capacity, left)
        left, room = left - count, room - capacity
    mixed = [
        gammaln(total + 1)
        + gammaln(parties * a)
        - gammaln(total + parties * a)
        + (gammaln(n + a) - gammaln(n + 1)).sum()
        - parties * gammaln(a)
        for a in (40.0, 10.0)
    ]
    return np.array([dealt, flat, *mixed])


def test_a_clock_that_tells_hours_only_makes_no_turns() -> None:
    # Two hundred customers with a few exchanges in most hours; within an hour the log tells no order.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        hours = [rng.permutation(np.repeat(np.arange(200), rng.poisson(2, 200))) for _ in range(12)]
        labels = np.concatenate(hours)
        times = np.repeat(np.arange(12) * 3_600_000_000, [hour.size for hour in hours])
        assert co.taken_in_turn(labels, times) < np.log(100)


def test_a_relabelling_of_accounts_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 20, 300)
    renamed = rng.permutation(20)[labels]
    assert in_turn(labels) == in_turn(renamed)
    counts = np.bincount(labels)
    assert co.even_load(counts, spread=0.25) == pytest.approx(co.even_load(counts[::-1], spread=0.25))


def test_the_average_of_e_values_is_an_e_value_and_weights_count() -> None:
    strong = Test("a", "", "", "", 0, 0, np.log(300), 1, 1.0)
    weak = Test("b", "", "", "", 0, 0, np.log(0.3), 1, 2.0)
    silent = Test("c", "", "", "", 0, 0, 900.0, 1, 0.0)
    assert np.exp(co.average([strong, weak, silent])) == pytest.approx((300 + 0.6) / 3)


def test_e_bh_controls_the_false_discovery_rate() -> None:
    fdr, false, found = 0.1, [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        null = rng.standard_normal(40) * 2 - 2  # log of an e-value with mean one
        real = rng.standard_normal(10) * 2 + 12
        chosen = e_bh(np.concatenate([null, real]), fdr=fdr)
        false.append(chosen[:40].sum() / max(1, chosen.sum()))
        found.append(chosen[40:].mean())
    assert np.mean(false) <= fdr
    assert np.mean(found) > 0.9


def test_merging_what_e_bh_rejects_asks_for_the_bar_of_what_is_left() -> None:
    # Forty views of one campaign, and one innocent group just over the bar for forty-one rejections.
    fdr, views, innocent = 0.01, [500.0] * 40, bar(41, 41, fdr=0.01) + 0.1
    assert e_bh([*views, innocent], fdr=fdr).all()
    assert innocent < bar(41, 2, fdr=fdr) < bar(41, 1, fdr=fdr)
    assert bar(100, 1, fdr=0.01) == pytest.approx(np.log(1e4))
    assert bar(0, 0, fdr=0.01) == pytest.approx(np.log(100))


def test_e_bh_closed_cases() -> None:
    assert e_bh([], fdr=0.01).size == 0
    assert e_bh([np.log(99.0)], fdr=0.01).tolist() == [False]
    assert e_bh([np.log(100.0)], fdr=0.01).tolist() == [True]
    assert e_bh([np.log(100.0), np.log(100.0)], fdr=0.01).tolist() == [True, True]
    assert e_bh([np.log(100.0), 0.0], fdr=0.01).tolist() == [False, False]
    assert e_bh([np.log(100.0)], fdr=0.01, candidates=2).tolist() == [False]


def test_what_is_not_bet_on_makes_no_evidence() -> None:
    labels = np.tile(np.arange(20), 5)
    times = np.arange(labels.size) * 1_000_000
    assert co.taken_in_turn(labels, times, np.zeros(labels.size, bool)) == 0.0
    half = np.arange(labels.size) % 40 < 20
    assert 0 < co.taken_in_turn(labels, times, half) < co.taken_in_turn(labels, times)
