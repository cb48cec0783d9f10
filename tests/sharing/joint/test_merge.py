"""Merging: what comes out is an e-value whatever is silent or lies, and joins what the closed form says it joins."""

from __future__ import annotations

from math import inf, log, log2
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.campaigns import decide
from spiritsafe.sharing.joint import power
from spiritsafe.sharing.joint.merge import Lab, Terms, bar, e_bh, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TERMS = Terms(0.75, 10.0)
BARE = Terms(1.0, inf)
TESTS = ("taken_in_turn", "even_arrivals", "swept_items")
BITS = st.one_of(st.just(-inf), st.floats(-70, 70))


def labs(*bits: float) -> list[list[Lab]]:
    return [[Lab({"taken_in_turn": one})] for one in bits]


def gaussian(rng: np.random.Generator, shift: float, real: float, size: Any) -> Any:
    """Bits of likelihood ratios for a shift, where the true one is ``real``."""
    return (shift * rng.normal(real, 1, size) - shift**2 / 2) / log(2)


@pytest.mark.parametrize("liars", [0, 1])
def test_the_mean_under_the_null_is_at_most_one(liars: int):
    """100 seeds, tests of one lab dependent: each mean within three standard errors of one, or below."""
    beyond = 0
    means: list[float] = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 6))
        shared = rng.normal(size=(400, n, 1))
        z = 0.8 * shared + 0.6 * rng.normal(size=(400, n, len(TESTS)))
        bits = (z - 0.5) / log(2)
        values = [
            2.0 ** merged([[Lab(dict(zip(TESTS, lab, strict=True)))] for lab in one], TERMS, liars=liars).bits
            for one in bits.tolist()
        ]
        means.append(float(np.mean(values)))
        beyond += np.mean(values) > 1 + 3 * np.std(values) / np.sqrt(len(values))
    assert beyond <= 2
    assert np.mean(means) <= 1 + 3 * np.std(means) / np.sqrt(len(means))


def test_the_scans_own_nulls_merge_to_an_e_value(
    scan_null: Callable[[np.random.Generator], dict[str, float]],
):
    """Three labs, 300 seeds: mean at most one, and Markov's bound at each height."""
    values = np.empty(300)
    for seed in range(values.size):
        rng = np.random.default_rng(seed)
        values[seed] = 2.0 ** merged([[Lab(scan_null(rng))] for _ in range(3)], TERMS).bits
    assert values.mean() <= 1 + 3 * values.std() / np.sqrt(values.size)
    for height in (1, 2, 3, 4):
        assert (values >= 2**height).mean() <= 2.0**-height


@given(st.lists(BITS, min_size=2, max_size=6), st.lists(BITS, min_size=1, max_size=3), st.integers(1, 3))
def test_whatever_liars_claim_the_result_is_at_most_that_of_the_honest(
    honest: list[float], lies: list[float], liars: int
):
    lies = lies[:liars]
    alone = merged(labs(*honest), TERMS)
    joined = merged(labs(*honest, *lies), TERMS, liars=len(lies))
    assert joined.bits <= alone.bits + 1e-9


@given(st.lists(BITS, min_size=1, max_size=5), BITS)
def test_to_withhold_never_raises_and_costs_no_more_than_the_trust(others: list[float], mine: float):
    spoken = merged(labs(*others, mine), TERMS).bits
    silent = merged([*labs(*others), [Lab({}, silent=True)]], TERMS).bits
    assert silent <= spoken + 1e-9
    assert silent >= merged(labs(*others), TERMS).bits + log2(1 - TERMS.trust) - 1e-9


@given(st.lists(st.floats(-70, 0), min_size=1, max_size=5), st.floats(0, 70))
def test_no_lab_brings_more_than_the_cap(others: list[float], mine: float):
    assert merged(labs(*others, mine), TERMS).bits <= TERMS.cap + 1e-9


def test_the_liars_product_says_that_more_labs_than_liars_hold_evidence():
    """Partial conjunction: one lab with all the evidence in the world does not pass for one liar, two do not for two."""
    assert merged(labs(60, -1, -1), TERMS, liars=1).bits < 0
    assert merged(labs(60, 60, 0), TERMS, liars=1).bits > 9
    assert merged(labs(60, 60, 0), TERMS, liars=2).bits == pytest.approx(0)
    assert merged(labs(60, 60), TERMS, liars=2).bits == 0, "nobody is left"


def test_labs_that_saw_the_same_traffic_are_averaged_and_not_multiplied():
    one = Lab({"taken_in_turn": 8.0})
    assert merged([[one, one]], TERMS).bits == pytest.approx(merged([[one]], TERMS).bits)
    assert merged([[one], [one]], TERMS).bits > merged([[one, one]], TERMS).bits + 5


def test_copies_of_one_e_value_would_break_the_product_and_do_not_break_the_average():
    rng = np.random.default_rng(0)
    bits = gaussian(rng, 1.0, 0.0, 10_000).tolist()
    apart = np.mean([2.0 ** merged([[Lab({"swept_items": b})]] * 2, BARE).bits for b in bits])
    voice = np.mean([2.0 ** merged([[Lab({"swept_items": b})] * 2], BARE).bits for b in bits])
    assert apart > 1.5
    assert voice == pytest.approx(1, abs=0.05)


def test_a_crowd_of_clones_at_all_labs_is_not_multiplied():
    clones = [[Lab({"even_load": 9.0, "exchangeable_topics": 9.0, "taken_in_turn": 0.0})] for _ in range(4)]
    made = merged(clones, TERMS)
    assert made.bits == pytest.approx(0)
    assert made.by_test["even_load"] > 30, "it is still told, as a fact of its kind"


def test_one_test_at_all_labs_pays_once_for_the_choice_of_the_test():
    many = dict.fromkeys(("even_arrivals", "swept_items", "retried_by_another", "shared_device"), -60.0)
    made = merged([[Lab({**many, "taken_in_turn": 8.0})] for _ in range(3)], Terms(0.75, 30.0)).bits
    product = 3 * (8 + log2(0.75))
    assert made > product - 1 - log2(5) - 0.1
    assert made < product


@pytest.mark.parametrize(("shift", "n"), [(1.5, 2), (2.0, 3), (1.2, 5), (2.5, 1)])
def test_power_follows_the_closed_form(shift: float, n: int):
    rng = np.random.default_rng(n)
    bits = gaussian(rng, shift, shift, (4000, n))
    least = bar(100, 1, fdr=0.01) * 0.6
    reached = np.mean([merged(labs(*one), BARE).bits >= least for one in bits.tolist()])
    expected = power.together(shift, n, log_bar=least * log(2))
    assert reached == pytest.approx(expected, abs=3.5 * np.sqrt(0.25 / 4000))


def test_the_shift_needed_falls_with_the_labs_and_gives_the_power():
    needed = [power.needed(n, hypotheses=50, fdr=0.01) for n in (1, 2, 3, 5)]
    assert needed == sorted(needed, reverse=True)
    for n, shift in zip((1, 2, 3, 5), needed, strict=True):
        assert power.together(shift, n, log_bar=log(5000)) == pytest.approx(0.8, abs=1e-6)
    assert power.alone(needed[3], log_bar=log(5000)) < 0.1


@given(st.lists(st.floats(-20, 30), max_size=30), st.integers(0, 100), st.sampled_from([0.01, 0.05, 0.2]))
def test_e_bh_is_the_scans(bits: Sequence[float], more: int, fdr: float):
    hypotheses = len(bits) + more
    chosen, least = e_bh(list(bits), fdr=fdr, hypotheses=hypotheses)
    # A value within rounding of a bar may fall on either side of it.
    near = any(abs(one - bar(hypotheses, k + 1, fdr=fdr)) < 1e-9 for one in bits for k in range(len(bits)))
    assert near or chosen == decide.e_bh(np.array(bits) * log(2), fdr=fdr, candidates=hypotheses).tolist()
    assert least == bar(hypotheses, max(1, sum(chosen)), fdr=fdr)
