"""Streams of own text: micro-clusters of projections, the same in every account and the same bits on every machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from spiritsafe import pipeline
from spiritsafe.campaigns import clusters, stored, streams, tables
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator

    from spiritsafe.campaigns.log import Log

KINDS, ACCOUNTS, EACH, NOISE = 3, 8, 20, 400


def directions(rng: Generator, count: int) -> np.ndarray:
    """int8 (count, 64) of length 127, as the kernel makes them."""
    points = rng.standard_normal((count, 64))
    return np.rint(127 * points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.int8)


def around(rng: Generator, centre: np.ndarray, count: int, spread: float) -> np.ndarray:
    points = centre / 127 + spread * rng.standard_normal((count, 64)) / 8
    return np.rint(127 * points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.int8)


def test_kinds_of_text_are_told_apart_and_unrelated_text_is_in_none():
    rng = np.random.default_rng(0)
    points = np.concatenate(
        [*(around(rng, one, 300, 0.8) for one in directions(rng, 4)), directions(rng, 300)]
    )
    close = streams.near(points, streams.registry(points, np.arange(points.shape[0])))
    for kind in range(4):
        mine = close[kind * 300 : kind * 300 + 300]
        usual = np.bincount(mine[mine >= 0]).argmax()
        assert (mine == usual).mean() > 0.8
        assert (close == usual).sum() < 1.1 * (mine == usual).sum()
    assert (close[-300:] >= 0).mean() < 0.2


def test_float32_holds_the_sums_exactly():
    rng = np.random.default_rng(1)
    points = directions(rng, streams._BLOCK + 5_000)
    known = streams.registry(points, np.arange(20_000))
    assert np.unique(known.key).size == known.key.size == streams.MOST
    inner = points.astype(np.int64) @ known.centroids.astype(np.int64).T
    best = inner.argmax(axis=1)
    cosine = (
        inner.max(axis=1) / np.linalg.norm(points, axis=1) / np.linalg.norm(known.centroids, axis=1)[best]
    )
    np.testing.assert_array_equal(
        streams.near(points, known), np.where(cosine >= streams.LEAST_COSINE, best, -1)
    )
    # The same for the largest numbers there are.
    extreme = np.full((1, 64), -127, np.int8)
    assert (extreme.astype(np.float32) @ extreme.astype(np.float32).T)[0, 0] == 64 * 127 * 127 < 2**24


def test_an_account_needs_three_exchanges_for_a_stream():
    close = np.array([0, 0, 0, 0, 0, 1, -1, 0], np.int32)
    accounts = np.array([1, 1, 1, 2, 2, 1, 1, 2], np.int32)
    own = np.array([0, 1, 2, 3, 4, 5, 6])  # the last row has a template
    assert streams.topics(close, accounts, own).tolist() == [0, 0, 0, -1, -1, -1, -1, -1]


@pytest.mark.parametrize("rows", [0, 1, 99])
def test_a_short_log_has_none(rows: int):
    points = directions(np.random.default_rng(2), rows)
    known = streams.registry(points, np.arange(rows))
    assert known.key.size == 0
    assert (streams.near(points, known) == -1).all()


def test_equal_texts_make_one_cluster():
    points = np.repeat(directions(np.random.default_rng(3), 1), 500, axis=0)
    assert (streams.near(points, streams.registry(points, np.arange(500))) == 0).all()
    empty = np.zeros((500, 64), np.int8)
    assert (streams.near(empty, streams.registry(empty, np.arange(500))) == -1).all()


def shuffled(rng: Generator, vocabulary: list[str]) -> str:
    """Text without any fixed run of words, but always of the same words."""
    return " ".join(rng.permutation(vocabulary)[:38])


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Accounts that send three kinds of reworded text each, among customers whose words are anybody's."""
    rng = np.random.default_rng(4)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 6)) for _ in range(4000)]
    sent = [
        (f"ring{account}", shuffled(rng, words[kind * 40 : kind * 40 + 40]))
        for kind in range(KINDS)
        for account in range(ACCOUNTS)
        for _ in range(EACH)
    ]
    sent += [(f"other{rng.integers(40)}", shuffled(rng, words[200:])) for _ in range(NOISE)]
    path = tmp_path / "log.jsonl"
    start = 1_772_323_200
    path.write_text(
        "".join(
            json.dumps({"time": (start + 60 * int(second)) * 1000, "account_id": name, "prompt": prompt})
            + "\n"
            for (name, prompt), second in zip(sent, rng.permutation(len(sent)), strict=True)
        )
    )
    with DuckDB(tmp_path, memory="500MB", threads=1) as engine:
        taken = pipeline.ingest(engine, [path], tmp_path, settings=Settings(threads=1))
        return stored.build(engine, taken, pipeline.silent)


def test_reworded_text_makes_streams_with_the_same_name_in_every_account(log: Log):
    size = ACCOUNTS * EACH
    assert (log.template[: KINDS * size] < 0).mean() > 0.95
    names = tables._streams(log, slice(None), pa.array(log.accounts), tables._kinds(log))
    told = [name.split("/")[1] for name in names.to_pylist()]
    kinds: list[str] = []
    for kind in range(KINDS):
        mine = told[kind * size : kind * size + size]
        usual = max(set(mine), key=mine.count)
        assert usual.startswith("own-")
        assert mine.count(usual) > 0.8 * size
        kinds.append(usual)
    assert len(set(kinds)) == KINDS
    assert sum(one == "own" for one in told[KINDS * size :]) > 0.9 * NOISE
    assert np.unique(log.stream(slice(None))).size == len(set(names.to_pylist()))


def test_a_topic_that_plays_a_role_draws_in_the_templates_near_by_that_play_it(log: Log):
    role = np.uint64(log.extraction & -log.extraction)
    rows = np.flatnonzero(log.near == log.near[0])
    some, others = rows[::5], rows[1::5]
    log.template[some], log.template[others] = 0, 1  # some of its exchanges found a template of their own
    log.template_key = np.ones(2, np.uint64)

    def topic() -> clusters.Candidate:
        found = [one for one in clusters.candidates(log, {}, seed=0) if one.kind == "topic"]
        return max(found, key=lambda one: np.isin(rows, one.rows).sum())

    log.roles[some] |= role
    assert set(topic().rows) == set(rows) - set(some) - set(others)
    log.roles[rows[2::5]] |= role
    assert set(topic().rows) == set(rows) - set(others)
    assert topic().alike
    assert not topic().picked
