"""The comparison: cases at the size asked for, one entry a detector, counts that add up, declared relations left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import baselines
import compare
import compose
import scoreboard
from spiritsafe import pipeline
from spiritsafe.campaigns.stored import build
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.settings import Settings
from spiritsafe.simulate import Corpus, Plan, Population, load_corpus, simulate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def corpora() -> dict[str, Corpus]:
    corpus = load_corpus()
    names = sorted(corpus.sources)
    return {"calibration": corpus.only(names[::2]), "report": corpus.only(names[1::2])}


def test_a_case_is_scaled_to_the_size_asked_for(corpora: dict[str, Corpus]):
    plan = compare.sized(compose.campaigns(compose.Case(corpora["report"])), 2_000, 12)
    campaigns = [one for one in plan.populations if one.name.startswith("campaign-")]
    assert {one.options["accounts"] for one in campaigns} == {12}
    assert all(one.options["accounts"] >= 2 for one in plan.populations)
    few = compare.sized(compose.cases()["a12"](compose.Case(corpora["report"])), 2_000, 12)
    assert few.populations[-1].options["accounts"] == 4


def test_all_detectors_are_judged_on_one_log(corpora: dict[str, Corpus]):
    runs = compare.run("a9", corpora, compare.Setup(background=1_000, accounts=12), 1)
    assert {one["detector"] for one in runs} == {"spiritsafe", *baselines.found()}
    assert len({one["exchanges"] for one in runs}) == 1
    assert all(one["campaigns"]["campaign-A9"][1] == 12 for one in runs)
    assert len({sum(n for _, n in one["families"].values()) for one in runs}) == 1
    rows = scoreboard.summary(runs)
    assert rows[0]["detector"] == "spiritsafe"
    json.dumps(rows)
    assert scoreboard.table(rows).count("\n") == len(rows) + 1


def test_a_case_or_corpus_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert compare.main(["--corpus", str(tmp_path), "--case", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def _entry(campaigns: dict[str, list[int]], families: dict[str, list[int]]) -> dict[str, Any]:
    return {"detector": "x", "point": "y", "campaigns": campaigns, "families": families}


def test_the_worst_family_is_the_one_with_the_greatest_share_over_all_seeds():
    runs = [
        _entry({"a": [5, 10], "b": [4, 10]}, {"chat_users": [9, 10], "ci_bots": [0, 2], "reseller": [2, 10]}),
        _entry(
            {"a": [10, 10], "b": [0, 10]}, {"chat_users": [0, 10], "ci_bots": [1, 2], "reseller": [0, 10]}
        ),
    ]
    (row,) = scoreboard.summary(runs)
    assert (row["found"], row["campaigns"], row["account_recall"]) == (2, 4, 19 / 40)
    assert (row["innocent_flagged"], row["innocent"]) == (12, 44)
    assert (row["worst_family"], row["worst_flagged"]) == ("ci_bots", [1, 4])


def test_the_bound_is_the_exact_one():
    assert scoreboard.upper(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert scoreboard.upper(3, 3) == 1.0
    assert scoreboard.upper(1, 100) > 0.01


def test_accounts_are_judged_by_their_owner(tmp_path: Path):
    rows = [("a", "c", "f"), ("a", "c", "f"), ("b", "c", "f"), ("d", None, "calm"), ("e", None, "calm")]
    names = ("account_id", "account_campaign", "family")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    pq.write_table(
        pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()}), tmp_path / "t"
    )
    told = scoreboard.judge({"a", "d"}, tmp_path / "t")
    assert told == {"campaigns": {"c": [1, 2]}, "families": {"calm": [1, 2]}}


@pytest.mark.parametrize("dropped", [(), ("client_ip", "payment_id")])
def test_the_view_of_a_log(corpora: dict[str, Corpus], tmp_path: Path, dropped: tuple[str, ...]):
    populations = (
        Population("chat_users", {"accounts": 30, "rate": 5.0}),
        Population("aggregator", {"accounts": 5, "rate": 20.0}),
    )
    made = simulate(Plan(populations, corpora["report"], dropped=dropped), tmp_path / "made", seed=1)
    (tmp_path / "work").mkdir()
    with DuckDB(tmp_path / "work", memory="1GB", threads=1) as engine:
        taken = pipeline.ingest(engine, [made.log], tmp_path / "work", settings=Settings(threads=1))
        log = build(engine, taken, pipeline.silent)
        view = baselines.look(engine, log, taken)
    assert log.declared.any()
    assert not np.isin(view.account, np.flatnonzero(log.declared)).any()
    assert not any(np.isin(party, log.party[log.declared]).any() for party, _ in view.shared.values())
    assert (
        len(
            {len(one) for one in (view.party, view.time, view.points, view.item, view.template, view.address)}
        )
        == 1
    )
    length = np.linalg.norm(view.points, axis=1)
    assert np.logical_or(length == 0, np.isclose(length, 1)).all()
    assert (view.address >= 0).all() != bool(dropped)
    assert ("payment" in view.shared) != bool(dropped)
