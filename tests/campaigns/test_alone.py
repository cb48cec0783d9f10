"""Members alone: what a mixture showed must hold for those who are accused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns import evidence, grounds
from spiritsafe.campaigns.alone import Readings
from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.evidence import Margins
from spiritsafe.campaigns.intent import Reference
from spiritsafe.campaigns.log import HOUR
from spiritsafe.campaigns.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

MEMBERS, BESIDE, EACH = 60, 20, 20
BAR = 10.0


def mixture(make_log: Callable[..., Log], make_layer: Callable[..., Layer]) -> tuple[Readings, Verdict]:
    """Sixty accounts in turn, on twenty cards, with a text; twenty customers send it as well, with a role, when they like."""
    rng = np.random.default_rng(0)
    dealt = np.concatenate([rng.permutation(MEMBERS) for _ in range(EACH)])
    who = np.concatenate([dealt, np.repeat(MEMBERS + np.arange(BESIDE), EACH)])
    time = np.concatenate([np.sort(rng.random(dealt.size)), rng.random(BESIDE * EACH)]) * 24 * HOUR
    order = np.argsort(time, kind="stable")
    who = who[order]
    log = make_log(
        who,
        time=time[order].astype(np.int64),
        template=np.zeros(who.size, np.int64),
        roles=(who >= MEMBERS) * 1,
    )
    holds = [(p, f"card {p // 3}" if p < MEMBERS else f"own {p}") for p in range(MEMBERS + BESIDE)]
    layers = {"payment": make_layer("payment", holds, MEMBERS + BESIDE)}
    reference = Reference(np.zeros(200), np.full(200, 50), np.full(200, "template"), ("test",))
    points: Any = rng.integers(-100, 100, (who.size, 8)).astype(np.int8)
    candidate = Candidate("template", np.arange(who.size), np.array([0]))
    seen = evidence.view(log, candidate)
    verdict = Verdict(candidate, seen, 0.25, 0.005, bar=BAR, label="campaign")
    verdict.tests = evidence.tests(log, seen, layers, points, Margins(), tied=False, alike=False)
    return Readings(log, layers, points, reference, Margins()), verdict


@pytest.mark.parametrize(
    ("kept", "carries", "named"),
    [
        (np.arange(MEMBERS), True, False),  # by elimination: the role was the others'
        (np.arange(MEMBERS, MEMBERS + BESIDE), False, True),  # a role alone is no evidence of one hand
        (np.arange(4), False, None),  # too few to read
    ],
)
def test_those_are_accused_who_carry_it(
    make_log: Callable[..., Log],
    make_layer: Callable[..., Layer],
    kept: Any,
    carries: bool,
    named: bool | None,
):
    readings, verdict = mixture(make_log, make_layer)
    assert verdict.named
    assert grounds.carried(verdict.tests, log_e=BAR), "the whole passes"
    verdict.parties = kept
    assert readings.carries(verdict) is carries
    assert (verdict.alone.named if verdict.alone else None) is named


def test_where_nobody_was_left_out_nothing_is_read_again(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer]
):
    readings, verdict = mixture(make_log, make_layer)
    verdict.parties = verdict.view.parties
    verdict.tests = []
    assert readings.carries(verdict)
    assert verdict.alone is None


def test_an_explanation_of_a_mixture_need_not_fit_a_part_of_it(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer]
):
    # The twenty send the text when they like; the sixty are dealt it in turn, on common cards.
    readings, verdict = mixture(make_log, make_layer)
    readings.log.exact[:] = np.arange(readings.log.acc.size) % 7
    assert readings.explains(verdict, np.arange(MEMBERS, MEMBERS + BESIDE)), "the same seven items, by each"
    readings.log.exact[:] = np.arange(readings.log.acc.size)
    assert not readings.explains(verdict, np.arange(MEMBERS))
    assert readings.explains(verdict, np.arange(4)), "too few to read"


def test_the_stream_is_that_of_all_members_not_of_those_seen_in_the_choice(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer]
):
    readings, verdict = mixture(make_log, make_layer)
    log, seen = readings.log, verdict.view
    late = grounds.of_parties(log, seen, np.arange(10), np.arange(30))
    assert np.unique(log.row_party[late.rows]).tolist() == list(range(30))
    assert set(log.row_party[late.test]) == set(log.row_party[late.screen]) == set(range(10))
    assert late.parties.tolist() == list(range(10))
