"""Intent: the conformal p-value is valid, the score is a share, and a calibration file is read or refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.campaigns import intent
from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.evidence import Margins
from spiritsafe.campaigns.intent import MOST, Reference
from spiritsafe.campaigns.log import SLOT
from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), min_size=2, max_size=40)


def reference(scores: Any, parties: Any = 10, kinds: Any = "template") -> Reference:
    size = len(scores)
    return Reference(
        np.array(scores, float), np.broadcast_to(parties, size), np.broadcast_to(kinds, size), ("a log",)
    )


@settings(max_examples=60)
@given(SCORES)
def test_if_any_cluster_may_be_the_one_tested_the_p_value_is_super_uniform(scores: list[float]):
    # Exchangeability itself: each of the clusters is the tested one, the others are the reference.
    found = np.array(
        [
            reference(scores[:i] + scores[i + 1 :]).p_value(scores[i], "template", 10)
            for i in range(len(scores))
        ]
    )
    for alpha in np.arange(1, len(scores) + 1) / len(scores):
        assert (found <= alpha + 1e-12).mean() <= alpha + 1e-12


def widths(rng: np.random.Generator, size: int) -> Any:
    return np.exp(rng.uniform(np.log(5), np.log(300), size)).astype(int)


@pytest.mark.parametrize("dependent", [False, True])
def test_p_values_over_many_references_are_super_uniform(dependent: bool):
    found = []
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        width = widths(rng, 80)
        scores = rng.beta(0.3, 3.0, 80) if not dependent else rng.binomial(width, 0.1) / width
        found.append(reference(scores[1:], width[1:]).p_value(scores[0], "template", int(width[0])))
    for alpha in (0.02, 0.05, 0.1, 0.2, 0.5):
        assert np.mean(np.array(found) <= alpha) <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 2000)


def test_the_p_value_never_is_zero_and_one_without_peers():
    assert reference([0.0] * 99).p_value(1.0, "template", 10) == pytest.approx(0.01)
    assert reference([1.0] * 99).p_value(1.0, "template", 10) == 1.0
    assert reference([]).p_value(1.0, "template", 10) == 1.0
    assert reference([0.0] * 99).p_value(1.0, "items", 10) == 1.0, "other kinds are no peers"


@given(SCORES, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_score_is_never_less_unusual(scores: list[float], a: float, b: float):
    low, high = sorted((a, b))
    known = reference(scores)
    assert known.p_value(high, "template", 10) <= known.p_value(low, "template", 10)


def test_peers_are_of_the_same_kind_and_class_of_width():
    known = reference(range(6), [5, 19, 20, 40, 400, 40], ["template"] * 5 + ["items"])
    assert known.peers("template", 5).tolist() == known.peers("template", 19).tolist() == [0, 1]
    assert known.peers("template", 20).tolist() == known.peers("template", 4000).tolist() == [2, 3, 4]
    assert known.peers("items", 20).tolist() == [5]


def test_the_shipped_reference_knows_every_kind_of_candidate_that_is_common():
    known = intent.shipped()
    assert known.scores.size == known.parties.size == known.kinds.size > 1000
    assert ((known.scores >= 0) & (known.scores <= 1)).all()
    kinds = {"template", "items", "role", "infrastructure", "tied", "dense", "topic"}
    assert set(known.kinds.tolist()) == kinds
    for kind in kinds:
        assert known.peers(kind, 5).size >= 20, "fewer could never be unusual at 5 %"
        assert known.peers(kind, 500).size >= 20
    assert known.p_value(1.0, "template", 40) < 0.05


# The score.


def candidate(kind: str, rows: Any) -> Candidate:
    return Candidate(kind, np.array(rows), np.zeros(0, np.int64))


def test_the_score_is_the_share_of_exchanges_with_an_extraction_role(make_log: MakeLog):
    log = make_log(np.arange(8), roles=[1, 1, 2, 4, 0, 3, 6, 5])
    assert intent.score(log, candidate("template", range(8)), np.arange(8)) == pytest.approx(4 / 8)
    assert intent.score(log, candidate("template", range(8)), np.arange(0)) == 0.0


@pytest.mark.parametrize("kind", ["role", "dense", "tied"])
def test_who_was_picked_by_role_is_judged_on_all_they_send_in_the_screening_slots(
    make_log: MakeLog, kind: str
):
    # Party 0: one graded, three plain, a duplicate, one plain in a tested slot; party 1 is somebody else.
    log = make_log(
        [0, 0, 0, 0, 0, 0, 1],
        roles=[1, 0, 0, 0, 0, 0, 1],
        live=[True, True, True, True, False, True, True],
        time=[0, 1, 2, 3, 4, SLOT, 5],
    )
    assert intent.score(log, candidate(kind, [0]), np.array([0])) == pytest.approx(1 / 4)
    assert intent.score(log, candidate("template", [0]), np.array([0])) == 1.0


def test_roles_are_told_most_frequent_first_and_products_not_at_all(make_log: MakeLog):
    log = make_log(np.arange(6), roles=[1, 1, 2, 2, 2, 4])
    assert intent.roles(log, np.arange(6)) == [("grade", 2)]
    log.extraction = 0b101
    log.roles = np.array([1, 1, 4, 4, 4, 5], np.uint64)
    assert intent.roles(log, np.arange(6)) == [("own_affairs", 4), ("grade", 3)]
    assert intent.roles(log, np.arange(2)) == [("grade", 2)]
    assert intent.roles(log, np.arange(0)) == []


# Calibrations.


def test_a_thinned_calibration_is_a_random_sample_of_every_kind():
    kinds = ["template"] * (MOST + 2000) + ["items"] * 7
    first, again, other = (intent.thin(kinds, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert first == sorted(set(first))
    assert sum(kinds[i] == "template" for i in first) == MOST
    assert first[-7:] == list(range(MOST + 2000, MOST + 2007))
    # A simple random sample reaches everywhere alike: the mean position of the kept is that of all, within 5 errors.
    kept = np.array(first[:-7])
    assert abs(kept.mean() - (MOST + 1999) / 2) < 5 * (MOST + 2000) / np.sqrt(12 * MOST)
    assert intent.thin([], seed=0) == []


GOOD: dict[str, Any] = {
    "scores": [0.1, 0.2],
    "parties": [5, 9],
    "kinds": ["template", "items"],
    "sources": ["x"],
}


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(GOOD))
    known = intent.load(path)
    assert known.scores.tolist() == [0.1, 0.2]
    assert known.parties.tolist() == [5, 9]
    assert known.kinds.tolist() == ["template", "items"]
    assert known.sources == ("x",)
    assert known.margins == Margins(), "an older file has no margins"
    path.write_text(json.dumps({**GOOD, "margins": {"load_spread": 0.1, "topic_correlation": 0.01}}))
    assert intent.load(path).margins == Margins(load_spread=0.1, topic_correlation=0.01)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"not json",
        b"\xff\xfe\x00",
        json.dumps({**GOOD, "scores": ["high", "low"]}).encode(),
        json.dumps({**GOOD, "scores": None}).encode(),
        json.dumps({**GOOD, "parties": [5]}).encode(),
        json.dumps({**GOOD, "kinds": []}).encode(),
        json.dumps({**GOOD, "scores": [[0.1], [0.2]]}).encode(),
        json.dumps({**GOOD, "scores": [0.1, float("nan")]}).encode(),
        json.dumps({**GOOD, "margins": {"width": 1}}).encode(),
        json.dumps({**GOOD, "margins": 0.25}).encode(),
        json.dumps({**GOOD, "margins": {"load_spread": "low"}}).encode(),
        json.dumps({**GOOD, "margins": {"load_spread": 0.0}}).encode(),
    ],
)
def test_what_is_no_calibration_is_refused_by_name(tmp_path: Path, text: bytes):
    path = tmp_path / "mine.json"
    path.write_bytes(text)
    with pytest.raises(UsageError, match="not a calibration file") as told:
        intent.load(path)
    assert told.value.where == str(path)


def test_a_missing_calibration_is_told(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot read the calibration"):
        intent.load(tmp_path / "none.json")
