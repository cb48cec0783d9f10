"""Tail probabilities against closed forms, enumeration and simulation, from the middle to 1e-70."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from spiritsafe.provenance import _tails


@pytest.mark.parametrize(("n", "share"), [(10, 0.5), (100, 0.25), (5_000, 0.1), (200_000, 0.25)])
def test_equal_coins_are_binomial(n: int, share: float):
    deviation = np.sqrt(n * share * (1 - share))
    for shift in (-3.0, 0.0, 1.0, 5.0, 15.0):
        observed = np.ceil(n * share + shift * deviation)
        if not 0 < observed <= n:
            continue
        tail = _tails.greens([1.0], [n], share, float(observed))
        assert tail.exact
        assert tail.log10 == pytest.approx(
            stats.binom.logsf(observed - 1, n, share) / np.log(10), rel=1e-8, abs=1e-9
        )


def test_exponentials_are_gamma():
    for n in (1, 3, 100, 20_000):
        for shift in (-2.0, 0.0, 2.0, 8.0, 20.0):
            observed = n + shift * np.sqrt(n)
            if observed <= 0:
                continue
            tail = _tails.exponentials([1.0], [n], observed)
            if tail.exact:
                assert tail.log10 == pytest.approx(
                    stats.gamma.logsf(observed, n) / np.log(10), rel=1e-7, abs=1e-8
                )
            else:
                assert n < 5
                assert tail.log10 >= stats.gamma.logsf(observed, n) / np.log(10)


@pytest.mark.parametrize("kind", ["greens", "exponentials", "signs"])
def test_weighted_sums_agree_with_simulation(kind: str):
    rng = np.random.default_rng(3)
    w, n, draws = np.array([1.0, 2.0, 7.0]), np.array([400, 90, 12]), 60_000
    d = rng.lognormal(0.0, 1.0, 300)
    if kind == "greens":
        sums = rng.binomial(n, 0.25, (draws, 3)) @ w
    elif kind == "exponentials":
        sums = rng.gamma(n, 1.0, (draws, 3)) @ w
    else:
        sums = np.concatenate(
            [(2.0 * rng.integers(0, 2, (20_000, 300), dtype=np.int8) - 1.0) @ d for _ in range(3)]
        )
    for share in (0.5, 0.9, 0.99, 0.999):
        observed = float(np.quantile(sums, share))
        tail = {
            "greens": lambda s: _tails.greens(w, n, 0.25, s),
            "exponentials": lambda s: _tails.exponentials(w, n, s),
            "signs": lambda s: _tails.signs(d, s),
        }[kind](observed)
        seen = (sums >= observed).mean()
        assert tail.exact
        assert tail.p == pytest.approx(seen, abs=5 * np.sqrt(seen * (1 - seen) / draws) + 1e-9)


def test_signs_by_contour_agree_with_enumeration(monkeypatch: pytest.MonkeyPatch):
    d = np.random.default_rng(5).normal(size=40)
    for observed in (-3.0, 0.0, 5.0, 12.0):
        whole = _tails.signs(d, observed)
        with monkeypatch.context() as patched:
            patched.setattr(_tails, "ENUMERATED", 0)
            patched.setattr(_tails, "QUIET", 1e-8)
            other = _tails.signs(d, observed)
        assert whole.exact
        assert other.p == pytest.approx(whole.p, rel=1e-5) if other.exact else other.p >= whole.p


def test_equal_signs_are_binomial_though_no_contour_ends():
    for heads in (150, 180, 240, 300):
        tail = _tails.signs(np.full(300, 0.7), 0.7 * (2 * heads - 300))
        assert tail.log10 == pytest.approx(
            stats.binom.logsf(heads - 1, 300, 0.5) / np.log(10), rel=1e-8, abs=1e-9
        )


def test_the_ends_are_exact():
    assert _tails.signs([], 0.0).p == 1.0
    assert _tails.signs([], 0.1).p == 0.0
    assert _tails.signs([1.0, 2.0], 3.5).p == 0.0
    assert _tails.signs([1.0, 2.0], 3.0).p == 0.25
    assert _tails.signs([1.0, 2.0], -9.0).p == 1.0
    assert _tails.greens([1.0], [8], 0.5, 8.0).p == pytest.approx(2.0**-8)
    assert _tails.greens([1.0], [8], 0.5, 8.5).p == 0.0
    assert _tails.greens([1.0], [8], 0.5, 0.0).p == 1.0
    assert _tails.exponentials([2.0], [3], -1.0).p == 1.0


def test_a_sum_too_coarse_for_the_contour_gets_a_bound_that_holds():
    """Sixty signs, almost all at their end: the tilted sum is a lattice in disguise."""
    d = np.concatenate([np.ones(59), [1.0001]])
    tail = _tails.signs(d, float(d.sum()) - 2.5)
    truth = (1 + 60) / 2.0**60
    assert tail.p >= truth * (1 - 1e-6)
    assert tail.p < 1e3 * truth


def test_p_values_are_uniform_under_their_null():
    rng = np.random.default_rng(8)
    found = {"signs": [], "greens": [], "exponentials": []}
    w, n = np.array([1.0, 1.7, 3.1]), np.array([300, 80, 20])
    for _ in range(400):
        d = rng.standard_t(3, 120)
        found["signs"].append(_tails.signs(d, float((2 * rng.integers(0, 2, 120) - 1) @ np.abs(d))).p)
        found["greens"].append(_tails.greens(w, n, 0.25, float(rng.binomial(n, 0.25) @ w)).p)
        found["exponentials"].append(_tails.exponentials(w, n, float(rng.gamma(n) @ w)).p)
    for name, values in found.items():
        assert stats.kstest(values, "uniform").pvalue > 1e-3, name


@pytest.mark.parametrize(
    ("sizes", "counts"),
    [
        ([1, 2], [1000, 1]),
        ([1, 2], [300, 300]),
        ([2, 3, 7], [200, 80, 30]),
        ([1, 50], [1, 400]),
        ([2, 5], [38, 5]),
    ],
)
def test_signs_on_a_lattice_are_never_too_small(sizes: list[int], counts: list[int]):
    # Repeated weights: the exact distribution is a convolution of binomials on whole numbers.
    pmf = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        spread = np.zeros(size * count * 2 + 1)
        spread[:: 2 * size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        pmf = np.convolve(pmf, spread)
    most = int(np.dot(sizes, counts))
    weights = np.repeat(np.array(sizes, float), counts)
    deviation = float(np.sqrt((weights**2).sum()))
    for shift in (0.0, 1.0, 2.0, 4.0, 8.0):
        place = min(int(most + shift * deviation), 2 * most)
        place += int(np.flatnonzero(pmf[place:] > 0)[0])
        exact = pmf[place:].sum()
        tail = _tails.signs(weights, float(place - most))
        assert exact * (1 - 1e-9) <= tail.p
        assert tail.p <= exact * (2.5 if tail.exact else 20)


@pytest.mark.parametrize("whole", [True, False])
def test_weights_of_either_sign_agree_with_simulation(whole: bool):
    rng = np.random.default_rng(4)
    w, n, draws = (
        np.array([3.0, 1.0, -2.0, -5.0]) * (1.0 if whole else 0.73),
        np.array([60, 300, 200, 25]),
        60_000,
    )
    for sums, tail in (
        (rng.binomial(n, 0.25, (draws, 4)) @ w, lambda s: _tails.greens(w, n, 0.25, s)),
        (rng.gamma(n, 1.0, (draws, 4)) @ w, lambda s: _tails.exponentials(w, n, s)),
    ):
        for share in (0.02, 0.5, 0.9, 0.999):
            observed = float(np.quantile(sums, share))
            seen, told = (sums >= observed - 1e-9).mean(), tail(observed)
            assert told.exact
            assert told.p == pytest.approx(seen, abs=5 * np.sqrt(seen * (1 - seen) / draws) + 1e-9)


def test_the_ends_of_sums_of_either_sign_are_exact():
    assert _tails.greens([1.0, -1.0], [3, 2], 0.25, 3.0).p == pytest.approx(0.25**3 * 0.75**2)
    assert _tails.greens([1.0, -1.0], [3, 2], 0.25, 3.5).p == 0.0
    assert _tails.greens([1.0, -1.0], [3, 2], 0.25, -2.0).p == 1.0
    assert _tails.greens([0.0], [5], 0.25, 0.0).p == 1.0
    assert _tails.exponentials([-1.0], [1], 0.5).p == 0.0
    assert _tails.exponentials([-1.0], [400], -380.0).p == pytest.approx(
        stats.gamma.cdf(380.0, 400), rel=1e-7
    )
