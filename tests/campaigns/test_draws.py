"""Exact draws: the closed form, a mean of at most one under the null, power against planted cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import nchypergeom_fisher

from spiritsafe.campaigns import draws

SEEDS = 300


def test_enriched_meets_the_closed_form():
    size, marked, drawn, hits = 40, 9, 11, 6
    fair = nchypergeom_fisher.pmf(hits, size, marked, drawn, 1.0)
    rivals = [nchypergeom_fisher.pmf(hits, size, marked, drawn, odds) for odds in (3.0, 30.0, 300.0)]
    assert draws.enriched(hits, drawn, marked, size) == pytest.approx(np.log(np.mean(rivals) / fair))


def test_enriched_adds_up_to_exactly_one_over_all_outcomes():
    size, marked, drawn = 12, 5, 4
    outcomes = np.arange(drawn + 1)
    chance = nchypergeom_fisher.pmf(outcomes, size, marked, drawn, 1.0)
    values = [np.exp(draws.enriched(x, drawn, marked, size)) for x in outcomes]
    assert chance @ values == pytest.approx(1.0)


def test_many_urns_have_mean_at_most_one_and_catch_a_planted_excess():
    null, planted = [], []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        size, marked, drawn = np.full(12, 6), rng.integers(1, 6, 12), rng.integers(1, 6, 12)
        null.append(
            np.exp(draws.enriched(rng.hypergeometric(marked, size - marked, drawn), drawn, marked, size))
        )
        pairs = np.ones(30, int)
        planted.append(draws.enriched(pairs, pairs, pairs, pairs * 2))
    assert np.mean(null) <= 1 + 3 * np.std(null) / np.sqrt(SEEDS)
    assert min(planted) > np.log(1e4)


def test_inside_has_mean_at_most_one_and_catches_a_planted_excess():
    null, planted = [], []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        chance = rng.uniform(0.05, 0.6, 25)
        null.append(np.exp(draws.inside(chance, rng.random(25) < chance)))
        planted.append(draws.inside(chance, rng.random(25) < 0.95))
    assert np.mean(null) <= 1 + 3 * np.std(null) / np.sqrt(SEEDS)
    assert np.mean(np.array(planted) > np.log(1e4)) >= 0.95


def test_nothing_drawn_says_nothing():
    assert draws.enriched(0, 0, 3, 9) == pytest.approx(0.0)
    assert draws.inside(np.array([0.0, 1.0]), np.array([False, True])) == pytest.approx(0.0)
