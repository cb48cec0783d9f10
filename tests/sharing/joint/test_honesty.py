"""Honesty: a lab that inflates is found out; an honest one is not, however unfairly its groups are looked at again."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.sharing.joint import honesty

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, GROUPS, CAP = 12, 20, 8.0


def entries(by: str, bits: Any, refuted: Any) -> list[dict[str, Any]]:
    return [
        {"round": str(number), "by": by, "bits": value, "cap": CAP, "refuted": bool(wrong)}
        for number, (values, wrongs) in enumerate(zip(bits, refuted, strict=True))
        for value, wrong in zip(values, wrongs, strict=True)
    ]


def test_an_honest_lab_is_hardly_ever_flagged_even_if_just_its_largest_values_are_refuted():
    """300 histories of innocent candidates; everything above two bits is refuted, nothing else is."""
    flagged = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        bits = (1.5 * rng.normal(size=(ROUNDS, GROUPS)) - 1.125) / log(2)
        (one,) = honesty.records(entries("a", bits.tolist(), bits > 2), level=0.05)
        flagged += one.flagged
    assert flagged <= 0.05 * 300


def test_a_lab_that_claims_the_cap_is_flagged_after_few_refutations():
    rng = np.random.default_rng(0)
    lies = np.full((ROUNDS, GROUPS), CAP)
    refuted = np.zeros((ROUNDS, GROUPS), bool)
    refuted[:, 0] = True
    liar = entries("liar", lies.tolist(), refuted)
    honest = entries("honest", ((rng.normal(size=(ROUNDS, GROUPS)) - 0.5) / log(2)).tolist(), refuted)
    after = [
        {one.by for one in honesty.records(e for e in liar + honest if int(e["round"]) < n) if one.flagged}
        for n in range(1, ROUNDS + 1)
    ]
    assert after[-1] == {"liar"}
    assert after.index({"liar"}) <= 5, "one refutation in each of at most six rounds"


def test_the_wealth_is_an_e_process_under_the_scans_own_nulls(
    scan_null: Callable[[np.random.Generator], dict[str, float]],
):
    """100 histories of three rounds of three candidates, all refuted."""
    final: list[float] = []
    for seed in range(100):
        rng = np.random.default_rng(1000 + seed)
        bits = [[scan_null(rng)["taken_in_turn"] for _ in range(3)] for _ in range(3)]
        (one,) = honesty.records(entries("a", bits, np.ones((3, 3))))
        final.append(2.0**one.bits)
    assert np.mean(final) <= 1 + 3 * np.std(final) / np.sqrt(len(final))


def test_a_silent_lab_is_no_liar():
    (one,) = honesty.records(entries("a", [[None, None]], [[True, True]]))
    assert (one.matched, one.refuted, one.flagged) == (2, 2, False)


def test_the_more_labs_the_more_is_asked():
    one = entries("a", [[CAP]] * 2, [[True]] * 2)
    many = [entry for n in range(4000) for entry in entries(f"b{n}", [[0.0]], [[False]])]
    assert honesty.records(one)[0].flagged
    assert not honesty.records(one + many)[0].flagged
