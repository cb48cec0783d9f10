"""Each baseline flags what its paper says it flags, and no innocent crowd; thresholds keep their promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import baselines
from spiritsafe.campaigns.log import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable

    from baselines import View

    MakeView = Callable[..., View]
    Scene = Callable[[int], View]

FOUND = baselines.found()
NAMES = sorted(FOUND)
GROUPS = {"evilcohort": 10, "fraudar": None, "stream_clusters": None, "synchrotrap": 10}
BAD = 10


def score(name: str, view: View) -> Any:
    return FOUND[name].score(view, seed=0)


def test_every_file_is_a_baseline_and_every_baseline_has_a_planted_case(planted: dict[str, Scene]):
    assert set(FOUND) == set(planted)
    assert len(FOUND) == 8


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_the_paper_looks_for_is_flagged_at_a_calibrated_threshold(
    planted: dict[str, Scene], innocent: Scene, name: str, seed: int
):
    calm = np.concatenate([score(name, innocent(100 + one)) for one in range(5)])
    hit = baselines.flagged(score(name, planted[name](seed)), baselines.threshold(calm, 0.01))
    assert hit[:BAD].sum() >= 9
    assert hit[BAD:].sum() <= 3


@pytest.mark.parametrize("name", NAMES)
def test_an_innocent_crowd_is_left_alone(innocent: Scene, name: str):
    calm = np.concatenate([score(name, innocent(100 + one)) for one in range(5)])
    hit = baselines.flagged(score(name, innocent(7)), baselines.threshold(calm, 0.01))
    assert hit.sum() <= 3
    if name in GROUPS:
        assert score(name, innocent(7)).max() == 0


@pytest.mark.parametrize("name", ["prada", "mmd_window"])
def test_the_papers_own_threshold_finds_them_too(planted: dict[str, Scene], name: str):
    published = FOUND[name].published
    assert published is not None
    assert baselines.flagged(score(name, planted[name](1)), published)[:BAD].mean() >= 0.9


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_one_a_party_finite_and_the_same_twice(planted: dict[str, Scene], name: str):
    view = planted[name](4)
    first, second = score(name, view), score(name, view)
    assert first.shape == (view.parties,)
    assert np.isfinite(first).all()
    assert (first >= 0).all()
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("who", [[], [0], [0] * 200, [2] * 3])
def test_logs_with_next_to_nothing_in_them(make_view: MakeView, name: str, who: list[int]):
    view = make_view(who, parties=3, points=np.ones((len(who), 64)), item=[5] * len(who))
    assert score(name, view).shape == (3,)


# What one method sees and another does not.


def test_the_size_of_a_group_is_its_score(planted: dict[str, Scene]):
    for name, size in GROUPS.items():
        if size is not None:
            assert set(score(name, planted[name](1))[:BAD].tolist()) == {float(size)}


def test_synchrotrap_needs_the_same_time(make_view: MakeView):
    who = np.repeat(np.arange(10), 12)
    template = np.zeros(who.size, int)
    spread = np.tile(np.arange(12), 10) * HOUR * 10 + who * HOUR
    assert score("synchrotrap", make_view(who, template=template, time=spread, parties=10)).max() == 0
    together = np.tile(np.arange(12), 10) * HOUR * 10
    assert score("synchrotrap", make_view(who, template=template, time=together, parties=10)).min() == 10


def test_an_address_of_everybody_ties_nobody(make_view: MakeView):
    who = np.arange(1200)
    view = make_view(who, parties=1200, address=np.zeros(1200, int))
    assert score("evilcohort", view).max() == 0


def test_a_log_without_addresses_is_blind_and_no_error(make_view: MakeView):
    view = make_view(np.repeat(np.arange(5), 4), parties=5, address=np.full(20, -1))
    assert score("evilcohort", view).max() == 0


def test_stream_clusters_forget(make_view: MakeView):
    who = np.arange(40)
    points = np.ones((40, 64))
    at_once = score("stream_clusters", make_view(who, points=points, time=np.zeros(40), parties=40))
    slowly = score("stream_clusters", make_view(who, points=points, time=who * 24 * HOUR, parties=40))
    assert at_once.min() == 40
    assert slowly.max() < 3


# Windows and thresholds.


def test_windows_hold_the_first_exchanges_in_time(make_view: MakeView):
    view = make_view([1, 0, 1, 1, 2], time=[9, 5, 2, 4, 1], parties=4)
    who, rows, length = view.windows(1, 2)
    assert who.tolist() == [0, 1, 2]
    assert rows.tolist() == [[1, -1], [2, 3], [4, -1]]
    assert length.tolist() == [1, 2, 1]


@example([0.0], 1.0)
@given(st.lists(st.integers(0, 9) | st.floats(0, 9), min_size=1), st.floats(0, 1))
def test_a_threshold_flags_at_most_its_share_and_no_lower_one_would(values: list[float], share: float):
    scores = np.array(values, float)
    limit = baselines.threshold(scores, share)
    assert baselines.flagged(scores, limit).sum() <= share * scores.size
    lower = np.unique(scores[(scores < limit)])
    if lower.size:
        assert baselines.flagged(scores, float(lower[-1])).sum() > int(share * scores.size)
