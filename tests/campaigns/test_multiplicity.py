"""Items asked a fixed number of times: the e-value's mean is at most one for independent customers, and it has power."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import binom, poisson

from spiritsafe.campaigns import multiplicity
from spiritsafe.campaigns.multiplicity import regularity

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

SEEDS = 100
Exchanges = tuple[np.ndarray, np.ndarray]


def drawn(rng: Generator, popularity: np.ndarray, draws: int, parties: int) -> Exchanges:
    item = rng.choice(popularity.size, draws, p=popularity / popularity.sum())
    return item, rng.integers(0, parties, draws)


def subsets(rng: Generator, share: float, parties: int, items: int) -> Exchanges:
    who, item = np.nonzero(rng.random((parties, items)) < share)
    return item, who


def runners(rng: Generator, runs: int, items: int) -> Exchanges:
    """Some run the whole pool, others draw from it."""
    item = np.concatenate([np.tile(np.arange(items), runs), rng.integers(0, items, items // 2)])
    who = np.concatenate([np.repeat(np.arange(runs), items), runs + rng.integers(0, 20, items // 2)])
    return item, who


NULLS: dict[str, Callable[[Generator], Exchanges]] = {
    "a uniform pool": lambda rng: drawn(rng, np.ones(300), 900, 60),
    "a uniform pool, hardly drawn twice": lambda rng: drawn(rng, np.ones(2000), 400, 30),
    "a Zipf pool": lambda rng: drawn(rng, 1 / np.arange(1, 1001), 1500, 30),
    "popularity gamma, shape 2": lambda rng: drawn(rng, rng.gamma(2, 1, 300), 900, 40),
    "popularity gamma, shape 0.3": lambda rng: drawn(rng, rng.gamma(0.3, 1, 300), 900, 40),
    "two popularities": lambda rng: drawn(rng, np.repeat([1.0, 4.0], [200, 100]), 600, 100),
    "few items": lambda rng: drawn(rng, np.ones(12), 20, 12),
    "five items": lambda rng: drawn(rng, np.ones(5), 9, 9),
    "each asks a quarter of the pool": lambda rng: subsets(rng, 0.25, 12, 400),
    "a class picks five of twenty exercises": lambda rng: subsets(rng, 0.25, 50, 20),
    "two run a benchmark that others look into": lambda rng: runners(rng, 2, 200),
}


@pytest.mark.parametrize("name", NULLS)
def test_e_value_has_mean_at_most_one_for_independent_customers(name: str) -> None:
    found = [regularity(*NULLS[name](np.random.default_rng(seed))).log_e for seed in range(SEEDS)]
    values = np.exp(np.minimum(found, 50.0))
    assert values.mean() <= 1 + 3 * values.std(ddof=1) / np.sqrt(SEEDS)
    assert (values >= 100).mean() <= 0.01


def collected(rng: Generator, times: int, items: int, *, seen: float = 1.0, stray: float = 0.0) -> Exchanges:
    """Each item ``times`` times, account after account; ``seen``: share of exchanges in the tested hours."""
    item = np.repeat(np.arange(items), times)
    item = np.where(rng.random(item.size) < stray, items + np.arange(item.size), item)
    kept = rng.random(item.size) < seen
    return item[kept], (np.arange(item.size) % 50)[kept]


def across_hours(rng: Generator) -> Exchanges:
    """Best of four for 400 items in 24 hours, of which every second is tested."""
    item, who = collected(rng, 4, 400)
    odd = np.arange(item.size) * 24 // item.size % 2 == 1
    return item[odd], who[odd]


PLANTED: dict[str, Callable[[Generator], Exchanges]] = {
    "best of four, forty items": lambda rng: collected(rng, 4, 40),
    "best of two, a hundred items": lambda rng: collected(rng, 2, 100),
    "best of four, a tenth of it other work": lambda rng: collected(rng, 4, 300, stray=0.1),
    "best of four, every second hour seen": across_hours,
    "eight passes far apart, half of them seen": lambda rng: collected(rng, 8, 600, seen=0.5),
    "best of four, routed at random": lambda rng: (np.repeat(np.arange(200), 4), rng.integers(0, 50, 800)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_power_against_a_planted_case(name: str) -> None:
    hits = [regularity(*PLANTED[name](np.random.default_rng(seed))).log_e > np.log(1e4) for seed in range(20)]
    assert np.mean(hits) >= 0.95


def test_what_gives_no_evidence() -> None:
    once = regularity(np.arange(500), np.arange(500) % 20)
    assert once.log_e == 0
    own = regularity(np.repeat(np.arange(300), 3), np.repeat(np.arange(300) % 20, 3))
    assert own.log_e <= 0  # an app that asks three times for each owner by himself
    everybody = regularity(np.tile(np.arange(200), 6), np.repeat(np.arange(6), 200))
    assert everybody.log_e <= 0  # the same task done by each
    assert regularity(np.zeros(0, np.uint64), np.zeros(0, int)).log_e == 0


def test_the_result_says_what_was_seen() -> None:
    found = regularity(*collected(np.random.default_rng(0), 4, 100))
    assert found.times == 4
    assert found.share == 1
    assert 0.15 < found.expected < 0.25  # the best Poisson gives 4 with chance 0.199 when it gives at least 1


@pytest.mark.parametrize("family", ["poisson", "binomial"])
def test_the_bound_holds_for_every_mixture_and_is_near_the_fit(family: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        counts = np.unique(rng.integers(1, 20, 8))
        weight = rng.integers(1, 200, counts.size).astype(float)
        null = multiplicity.poisson(counts) if family == "poisson" else multiplicity.binomial(counts, 30)
        bound, fitted = multiplicity.greatest(weight, null)
        assert np.log(fitted) @ weight <= bound <= np.log(fitted) @ weight + 0.02 * weight.sum()
        for _ in range(50):
            mass = rng.dirichlet(np.full(4, 0.5))
            if family == "poisson":
                rate = np.exp(rng.uniform(-6, 3.5, 4))[:, None]
                chances = poisson.pmf(counts, rate) / poisson.sf(0, rate)
            else:
                share = rng.uniform(0.0001, 0.9999, 4)[:, None]
                chances = binom.pmf(counts, 30, share) / binom.sf(0, 30, share)
            mixture = mass @ chances
            assert np.log(mixture) @ weight <= bound


def test_alternatives_are_chances() -> None:
    chances = np.exp(multiplicity._alternatives(np.arange(1, 20_000)))
    assert chances.sum(axis=1) == pytest.approx(1.0, abs=1e-4)


def test_an_item_that_is_asked_very_often_does_no_harm() -> None:
    item, who = collected(np.random.default_rng(0), 4, 200)
    item, who = np.append(item, np.full(5000, 999)), np.append(who, np.arange(5000) % 50)
    found = regularity(item, who)
    assert np.isfinite(found.log_e)
    assert found.log_e > np.log(1e4)


def test_a_fit_that_stops_early_gives_a_bound_all_the_same() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        counts, weight = _occurring(rng.negative_binomial(2, 0.3, 400))
        null = multiplicity.poisson(counts)
        whole, fitted = multiplicity.greatest(weight, null)
        early, _ = multiplicity.greatest(weight, null, enough=-np.inf)
        assert np.log(fitted) @ weight <= whole <= early


def test_what_the_null_explains_is_no_evidence_however_early_the_fit_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = [
        regularity(*NULLS[name](np.random.default_rng(seed))).log_e for name in NULLS for seed in range(5)
    ]
    planted = [regularity(*PLANTED[name](np.random.default_rng(7))).log_e for name in PLANTED]
    monkeypatch.setattr(multiplicity, "_EACH", 10**9)
    whole = [
        regularity(*NULLS[name](np.random.default_rng(seed))).log_e for name in NULLS for seed in range(5)
    ]
    assert all(early <= late + 0.01 for early, late in zip(cases, whole, strict=True) if late > 0)
    assert all(early <= 0.01 for early, late in zip(cases, whole, strict=True) if late <= 0)
    assert planted == [regularity(*PLANTED[name](np.random.default_rng(7))).log_e for name in PLANTED]


def _occurring(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts, weight = np.unique(found[found > 0], return_counts=True)
    return counts, weight.astype(float)
