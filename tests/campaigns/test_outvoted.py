"""Outvoted templates: what loses an exchange is kept, and users tell an instruction from an item."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spiritsafe import pipeline
from spiritsafe.campaigns import _anchors
from spiritsafe.campaigns.clusters import candidates
from spiritsafe.campaigns.log import SLOT
from spiritsafe.campaigns.outvoted import Lost, apart
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]


def outvoted(
    lost: dict[int, list[int]], stands: list[int], folder: Path | None = None
) -> dict[int, list[int]]:
    """What ``Lost`` tells of exchanges given in two batches."""
    aside = Lost(len(stands), 2**32, folder)
    for part in (0, 1):
        pairs = sorted(
            (row, one)
            for one, rows in lost.items()
            for row in rows[part * len(rows) // 2 :][: -(-len(rows) // 2)]
        )
        aside.add(np.array([one << 32 | row for row, one in pairs], np.int64))
    return {one: mine.tolist() for one, mine in aside.outvoted(np.array(stands))}


@pytest.mark.parametrize("stored", [False, True])
def test_who_loses_half_is_told_with_what_it_lost(stored: bool, tmp_path: Path):
    lost = {3: list(range(20)), 1: list(range(100, 118)), 2: [2**32 - 2, 2**32 - 1]}
    found = outvoted(lost, [1000, 40, 40, 40], tmp_path if stored else None)
    assert found == {3: list(range(20))}, "the second lost 18 of 40"


@pytest.mark.parametrize(("rows", "told"), [(24, True), (22, False)])
def test_few_exchanges_tell_nothing(rows: int, told: bool):
    assert bool(outvoted({0: list(range(rows))}, [rows])) == told


def test_nothing_lost_is_nothing_told():
    assert Lost(0, 0).outvoted(np.zeros(0, np.int64)) == []


def test_rows_beyond_two_to_the_31_are_told_as_they_are():
    rows = list(range(2**32 - 30, 2**32))
    assert outvoted({7: rows}, [30] * 8) == {7: rows}


def test_a_text_inside_a_component_loses_what_holds_half_of_its_anchors():
    # Anchors 0 … 4 are one component's, 5 another's; 1 … 4 are its inner text.
    inner, host = np.array([-1, 0, 0, 0, 0, -1], np.int32), np.array([0], np.int32)
    rows = [[0, 1, 2], [0, 1], [0, 1, 2, 3, 4], [1, 2, 5], [0], []]
    ranks = np.array([one for row in rows for one in row], np.int32)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    winner, lost = np.array([0, 0, 0, 1, 0, -1], np.int32), np.empty(ranks.size // 2 + 1, np.int64)
    for asked, told in ((4, [0, 2]), (5, [2])):
        many = _anchors.lost_inside(ranks, offsets, inner, np.array([asked]), host, winner, lost)
        assert lost[:many].tolist() == told


def popular(make_log: MakeLog, lost: Any, who: Any, **columns: Any) -> Log:
    """A log in which text 0 wins all exchanges, and text 1 loses those that ``lost`` (boolean) marks."""
    log = make_log(who, template=np.zeros(len(who), int), time=np.arange(len(who)) * SLOT // 7, **columns)
    log.template_key = np.array([1000, 2000], np.uint64)
    log.template_anchors.append(np.array([2001, 2002, 2003], np.uint64))
    log.outvoted = [(1, np.flatnonzero(lost))]
    return log


def test_what_few_of_the_users_send_is_a_candidate_beside_the_whole(make_log: MakeLog):
    rng = np.random.default_rng(0)
    who = rng.integers(0, 100, 4000)
    log = popular(make_log, (who < 20) & (rng.random(4000) < 0.9), who)
    ((one, rows),) = apart(log, np.arange(4000))
    assert one == 1
    assert np.array_equal(rows, log.outvoted[0][1])
    found = {tuple(one.templates.tolist()): one.rows.size for one in candidates(log, {}, seed=0)}
    assert found == {(0,): 4000, (1,): rows.size}


def test_a_few_who_send_most_of_what_others_have_do_not_hide_it(make_log: MakeLog):
    rng = np.random.default_rng(0)
    who = rng.permutation(np.concatenate([np.repeat(np.arange(60), 20), np.repeat(np.arange(60, 70), 200)]))
    ((one, rows),) = apart(popular(make_log, who < 60, who), np.arange(who.size))
    assert (one, rows.size) == (1, 1200)


def test_what_wins_is_not_added(make_log: MakeLog):
    who = np.tile(np.arange(100), 40)
    log = popular(make_log, who < 20, who)
    log.template[who >= 80] = 1  # others, who ask it bare
    ((_, rows),) = apart(log, np.arange(who.size))
    assert np.array_equal(rows, np.flatnonzero(who < 20))


def test_what_falls_on_users_by_chance_is_no_candidate(make_log: MakeLog):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        who = rng.permutation(np.repeat(np.arange(100), rng.integers(1, 2 + seed % 30, 100)))
        log = popular(make_log, rng.random(who.size) < rng.uniform(0.05, 0.5), who)
        if log.screening(log.outvoted[0][1]).sum() >= 24:
            assert not list(apart(log, np.arange(who.size))), f"seed {seed}"


def test_duplicates_and_declared_accounts_do_not_count(make_log: MakeLog):
    who = np.tile(np.arange(100), 40)
    for left_out in ({"live": who >= 20}, {"declared": np.arange(100) < 20}):
        log = popular(make_log, who < 20, who, **left_out)
        rows = np.flatnonzero(log.live & ~log.declared[log.acc])
        assert not list(apart(log, rows))
    assert list(apart(popular(make_log, who < 20, who), np.arange(who.size)))


def said(rng: np.random.Generator, size: int) -> str:
    syllables = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo")
    return " ".join("".join(rng.choice(syllables, 2)) for _ in range(size))


def planted(seed: int, place: str, customers: int) -> pa.Table:
    """Two days: 60 accounts take turns, ``customers`` come as they like; all have one popular phrase in front or at the end."""
    rng = np.random.default_rng(seed)
    phrase, instruction = (said(rng, size) for size in ((22, 22) if place == "before" else (20, 20)))
    day = 86_400_000_000

    def worded(own: str) -> str:
        return f"{phrase} {own}" if place == "before" else f"{own} {phrase}"

    dealt = [(i % 60, f"{instruction} {said(rng, 30)}") for i in range(1500)]
    if place == "after":
        dealt = [(who, f"{said(rng, 30)} {text[: len(instruction)]}") for who, text in dealt]
    due = np.sort(2 * day * (np.arange(1500) + rng.uniform(-0.2, 0.2, 1500)) / 1500)
    load = np.repeat(np.arange(60, 60 + customers), rng.geometric(0.05, customers))
    rows = [(int(at), f"c{who}", worded(text)) for at, (who, text) in zip(due, dealt, strict=True)]
    rows += [(int(rng.uniform(0, 2 * day)), f"b{one}", worded(said(rng, 30))) for one in load.tolist()]
    rows.sort()
    start = 1_767_225_600_000_000
    return pa.table(
        {
            "time": pa.array([start + at for at, _, _ in rows], pa.timestamp("us", tz="UTC")),
            "exchange_id": [f"x{n}" for n in range(len(rows))],
            "account_id": [who for _, who, _ in rows],
            "model": ["m"] * len(rows),
            "prompt": [text for _, _, text in rows],
        }
    )


@pytest.mark.parametrize(
    ("place", "customers"),
    [("before", 400), ("after", 400), ("before", 100), ("after", 100)],
    ids=["in front, mostly others'", "at the end, mostly others'", "in front, half", "at the end, half"],
)
def test_a_campaign_behind_a_popular_phrase_is_found_and_its_instruction_is_what_is_matched(
    place: str, customers: int, tmp_path: Path
):
    for seed in range(3):
        log, out = tmp_path / f"{seed}.parquet", tmp_path / f"out-{seed}"
        pq.write_table(planted(seed, place, customers), log)
        result = pipeline.scan([log], out, settings=Settings(threads=1))
        accused = {
            account["account_id"]
            for one in result["campaigns"]
            if one["label"] == "campaign"
            for account in one["accounts"]
        }
        assert len(accused & {f"c{i}" for i in range(60)}) >= 57
        assert not {name for name in accused if name.startswith("b")}
        told = json.loads((out / "indicators.json").read_text("utf-8"))["indicators"]
        (matched,) = [one for one in told if one["kind"] == "template"]
        assert (matched["exchanges"], matched["elsewhere"]) == (1500, 0)
