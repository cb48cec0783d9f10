"""Benign explanations: each fits what it was written for, in part what is near, and not what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.coordination import Test
from spiritsafe.campaigns.evidence import view
from spiritsafe.campaigns.hypotheses import SAME_WORK, heard
from spiritsafe.campaigns.log import SLOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]

TASK, APP, PROMPT, PLACE = range(4)
APART = {"even_load": -2.0, "exchangeable_topics": -1.0}


def said(log: Log, strength: dict[str, float] | None = None) -> list[str]:
    tests = [
        Test(name, "", "", "", 0.5, 0.0, log_e, 10, 1.0)
        for name, log_e in (strength or {"even_load": 1.0}).items()
    ]
    rows = np.arange(log.acc.size)
    found = heard(log, view(log, Candidate("template", rows, np.zeros(1, np.int64))), tests)
    assert all(one.hypothesis and one.because for one in found)
    return [one.fits for one in found]


def items(make_log: MakeLog, shared: int, own: int = 100, parties: int = 8) -> Log:
    """Every party sends ``shared`` items that all send and ``own`` of its own, spread over many hours."""
    each = shared + own
    who = np.tile(np.arange(parties), each)
    item: Any = np.repeat(np.arange(each), parties)
    item = np.where(item < shared, item, 10_000 + item * parties + who)
    return make_log(who, item=item)


@pytest.mark.parametrize(
    ("shared", "fits"), [(100, "yes"), (30, "yes"), (29, "partly"), (10, "partly"), (9, "no"), (0, "no")]
)
def test_the_same_task_by_many_shows_in_how_much_of_their_work_is_the_same(
    make_log: MakeLog, shared: int, fits: str
):
    assert pytest.approx(0.3) == SAME_WORK
    assert said(items(make_log, shared, own=100 - shared))[TASK] == fits


@pytest.mark.parametrize(
    ("strength", "fits"),
    [
        (APART, "yes"),
        (APART | {"shared_payment": 3.1}, "partly"),  # they differ, and yet a card is shared
        (APART | {"shared_payment": 3.0}, "yes"),
        (APART | {"even_load": 0.0}, "no"),  # both must speak against one hand
        (APART | {"exchangeable_topics": 0.0}, "no"),
        ({"even_load": -2.0}, "no"),  # topics could not be tested
        ({}, "no"),
    ],
)
def test_an_app_with_many_owners_shows_in_loads_and_topics_of_their_own(
    make_log: MakeLog, strength: dict[str, float], fits: str
):
    assert said(items(make_log, 0), strength)[APP] == fits


@pytest.mark.parametrize(("once", "fits"), [(8, "partly"), (7, "no")])
def test_a_prompt_that_went_around_is_used_once_by_most(make_log: MakeLog, once: int, fits: str):
    # Ten accounts; all are seen in a screening slot, and in a tested slot once or twice.
    again = np.concatenate([np.arange(10), np.arange(once, 10)])
    who = np.concatenate([np.arange(10), again])
    time = np.concatenate([np.zeros(10, int), np.full(again.size, SLOT)]) + np.arange(who.size)
    assert said(make_log(who, time=time))[PROMPT] == fits


@pytest.mark.parametrize(
    ("strength", "fits"),
    [
        (APART | {"shared_network": 9.0}, "yes"),
        (APART | {"shared_network": 3.0}, "no"),
        (APART | {"shared_network": 9.0, "shared_device": 9.0}, "no"),
        (APART | {"shared_device": 9.0}, "no"),
        ({"shared_network": 9.0, "even_load": 5.0, "exchangeable_topics": 5.0}, "no"),
    ],
)
def test_people_in_one_place_share_the_network_and_nothing_else(
    make_log: MakeLog, strength: dict[str, float], fits: str
):
    assert said(items(make_log, 0), strength)[PLACE] == fits


def test_work_that_is_shared_out_fits_no_innocent_explanation(make_log: MakeLog):
    strength = {"even_load": 20.0, "exchangeable_topics": 9.0, "shared_payment": 30.0, "shared_network": 30.0}
    assert said(items(make_log, 0), strength) == ["no"] * 4
