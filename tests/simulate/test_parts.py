"""Populations of any size: what parts have in common, what they share out, and that memory does not grow with them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spiritsafe.registry import extensions
from spiritsafe.simulate import Corpus, Order, Plan, Population, simulate
from spiritsafe.simulate._campaign import Campaign, items, queue
from spiritsafe.simulate._crowd import Customers
from spiritsafe.simulate._parts import cut
from spiritsafe.simulate._shelf import Shelf
from spiritsafe.simulate._world import Hand, World

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = sorted(extensions("simulate"))
SHARED = ("organization_id", "payment_id", "user_agent", "email_domain", "device_id")


def made(plan: Plan, out: Path) -> tuple[pa.Table, pa.Table]:
    truth = simulate(plan, out, seed=3)
    return pq.read_table(truth.log), pq.read_table(truth.truth)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_population_in_parts_is_one_population(
    name: str, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options: dict[str, Any] = {"accounts": 240, "rate": 0.5 if name == "evaluation_harness" else 10.0}
    plan = Plan((Population(name, options),), corpus, days=2.0)
    whole, _ = made(plan, tmp_path / "whole")
    monkeypatch.setattr("spiritsafe.simulate._parts.CELL", 700)
    log, truth = made(plan, tmp_path / "parts")
    again, _ = made(plan, tmp_path / "again")
    assert log.equals(again)
    assert log["account_id"].equals(truth["account_id"])
    assert len(log["exchange_id"].unique()) == log.num_rows == pytest.approx(whole.num_rows, rel=0.6)
    assert pc.all(pc.less_equal(log["time"][:-1], log["time"][1:])).as_py()
    assert len(log["account_id"].unique()) == pytest.approx(len(whole["account_id"].unique()), rel=0.1)
    for column in SHARED:  # parts that shared nothing would have several times as many
        one, other = (len(table[column].unique()) for table in (whole, log))
        assert other == pytest.approx(one, rel=0.35, abs=4), column
    owners = log.group_by(["account_id", "organization_id"]).aggregate([]).num_rows
    assert owners == len(log["account_id"].unique())


def test_how_many_chunks_are_read_at_a_time_does_not_show(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plan = Plan(
        (
            Population("chat_users", {"accounts": 900, "rate": 20.0}),
            Population("A13", {"accounts": 300, "rate": 40.0}),
        ),
        corpus,
    )
    monkeypatch.setattr("spiritsafe.simulate._parts.CELL", 2_000)
    monkeypatch.setattr("spiritsafe.simulate._sheet.CHUNK", 1_000)
    one = simulate(plan, tmp_path / "one", seed=1)
    monkeypatch.setattr("spiritsafe.simulate._sheet.MANY", 2)
    other = simulate(plan, tmp_path / "other", seed=1)
    assert one.log.read_bytes() == other.log.read_bytes()
    assert one.truth.read_bytes() == other.truth.read_bytes()


def test_every_family_of_ours_says_how_it_may_be_cut():
    whole = [
        name
        for name, one in extensions("simulate").items()
        if not getattr(one.module, "ARCHETYPE", "") and not hasattr(one.module, "UNIT")
    ]
    assert whole == []


def test_orders_bans_and_framing_work_in_parts(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("spiritsafe.simulate._parts.CELL", 700)
    ring = {
        "accounts": 60, "rate": 60.0, "churn": 0.1, "refused": 0.1, "nulls": 0.1, "frames": "victim", "framing": 0.1,
        "text": "template", "payment": 1.0,
    }  # fmt: skip
    people = Population("byo_key_app", {"accounts": 200, "like": "A4", "likeness": 0.3}, name="victim")
    start = Plan((), corpus).start
    order = Order("suspend", start + 86_400_000_000, campaign="one")
    plan = Plan((Population("A1", ring, name="one"), people), corpus, days=2.0, orders=(order,))
    log, truth = made(plan, tmp_path / "out")
    assert len(log["exchange_id"].unique()) == log.num_rows
    late = pc.and_(pc.greater(log["time"].cast(pa.int64()), order.start), pc.equal(log["status"], 403))
    assert set(truth.filter(late)["account_campaign"].unique().to_pylist()) == {"one"}
    heirs = truth.group_by(["account_id", "replaces"]).aggregate([])
    assert heirs.num_rows == len(truth["account_id"].unique())
    assert heirs.num_rows - heirs["replaces"].null_count >= 60
    known = set(truth["account_id"].to_pylist())
    assert len(known & set(heirs["replaces"].drop_null().to_pylist())) > 50
    own = log.filter(pc.equal(truth["account_campaign"], "one"))
    blank = pc.is_null(own.group_by(["account_id", "device_id"]).aggregate([])["device_id"])
    assert 0.03 < pc.mean(blank.cast(pa.float64())).as_py() < 0.25
    # Five cards by the knob, those of the victim, and one for each sibling at most; not five a part.
    assert len(own["payment_id"].unique()) < 40


@pytest.mark.parametrize("sigma", [0.0, 1.0])
@pytest.mark.parametrize("overlap", ["shard", "best_of_k"])
def test_parts_of_a_campaign_share_out_its_work_to_the_last_item(corpus: Corpus, sigma: float, overlap: Any):
    size, whole = 97, 60
    knobs = Campaign(accounts=whole, rate=97.0, sigma=sigma, overlap=overlap, repeats=2)
    counts = np.zeros(size, dtype=np.int64)
    total = 0
    for first in range(0, whole, 10):
        hand = Hand(np.random.default_rng(5), first, whole, 1, ("x",))
        world = World(corpus, 0, 1.0, "rich", np.random.default_rng([9, first]), 0, hand=hand)
        mine = queue(world, replace(knobs, accounts=10), 1.0)
        counts += np.bincount(items(world, knobs, mine, size), minlength=size)
        total += mine.total
    assert total == whole * 97
    assert counts.sum() == total
    # The share of a part in each round is a whole number of items; the rest of a round is all that may be uneven.
    assert counts.max() - counts.min() <= 0.35 * counts.mean()
    assert counts.min() > 0


def test_a_round_of_a_campaign_has_each_item_once(corpus: Corpus):
    size, whole = 100, 40
    seen: list[np.ndarray[Any, Any]] = []
    for first in range(0, whole, 10):
        hand = Hand(np.random.default_rng(5), first, whole, 1, ("x",))
        world = World(corpus, 0, 1.0, "rich", np.random.default_rng(first), 0, hand=hand)
        knobs = Campaign(accounts=10, rate=30.0)
        seen.append(items(world, knobs, queue(world, knobs, 1.0), size).reshape(-1, size // 4))
    rounds = np.concatenate(seen, axis=1)
    assert rounds.shape == (12, size)
    assert (np.sort(rounds, axis=1) == np.arange(size)).all()
    assert len({tuple(one) for one in rounds}) == 12


@pytest.mark.parametrize(("accounts", "organizations"), [(9, 3), (10, 3), (40, 1), (7, 7)])
def test_firms_are_cut_only_where_one_is_too_large(
    accounts: int, organizations: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("spiritsafe.simulate._parts.CELL", 1_000)
    module: Any = extensions("simulate")["academic_measurement"].module
    knobs = Customers(accounts=accounts, rate=400.0, organizations=organizations)
    shares = list(cut(module, knobs, {}, 1.0))
    assert sum(share.knobs.accounts for share in shares) == accounts
    assert max(share.knobs.accounts for share in shares) * 400 <= 1_200
    for share in shares:
        assert share.split == (share.knobs.accounts < share.whole)


def test_the_shelf_gives_back_what_was_put_aside(tmp_path: Path):
    rng = np.random.default_rng(0)
    kinds = [
        rng.integers(-1, 100, 300_000), np.zeros(10, np.int64), rng.integers(1 << 40, size=200_000),
        np.zeros(0, np.int64), rng.random(100_000) < 0.5, rng.integers(9, size=50),
    ]  # fmt: skip
    with Shelf(tmp_path) as shelf:
        kept = [shelf.put(values) for values in kinds]
        for column, values in zip(kept, kinds, strict=True):
            assert np.array_equal(column.read(), values)
            begin, end = len(values) // 3, len(values) // 2
            assert np.array_equal(column.read(begin, end), values[begin:end])
        assert shelf.bytes > 1_000_000
        assert not list(tmp_path.iterdir())


PEAK = """
import json, resource, sys
from pathlib import Path
from spiritsafe.simulate import Plan, Population, load_corpus, simulate, _parts
_parts.CELL = 100_000
plan = Plan((Population(sys.argv[2], {"accounts": 2_000, "rate": float(sys.argv[3])}),), load_corpus())
simulate(plan, Path(sys.argv[1]), seed=1)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


@pytest.mark.long
@pytest.mark.parametrize("name", ["A1", "byo_key_app"])
def test_memory_does_not_grow_with_the_exchanges(name: str, tmp_path: Path):
    peaks: list[int] = []
    for rate in (400, 1_000):
        ended = subprocess.run(
            [sys.executable, "-c", PEAK, str(tmp_path / f"{rate}"), name, str(rate)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(json.loads(ended.stdout))
    # 1.2 million exchanges more: made in one go they take 67 bytes each and more.
    assert peaks[1] < peaks[0] + 40_000
