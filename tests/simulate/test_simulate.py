"""Determinism, rates, knobs and refusals of a simulation."""

from __future__ import annotations

import gzip
import importlib
import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spiritsafe.errors import InputError, UsageError
from spiritsafe.simulate import INFRASTRUCTURE, Corpus, Plan, Population, load_corpus, simulate
from spiritsafe.simulate._text import compose, segments
from spiritsafe.simulate._wordings import templates

if TYPE_CHECKING:
    from collections.abc import Mapping

DEMO = Path(__file__).parents[2] / "demo"
POPULATIONS = (
    Population("chat_users", {"accounts": 60}),
    Population("A1", {"accounts": 50, "rate": 8.0, "text": "template"}, ("problems",), "one"),
    Population("reseller", {"accounts": 20}),
)


def made(plan: Plan, out: Path, seed: int = 1) -> tuple[pa.Table, pa.Table]:
    truth = simulate(plan, out, seed=seed)
    return pq.read_table(truth.log), pq.read_table(truth.truth)


def campaign(
    corpus: Corpus, out: Path, options: Mapping[str, Any], days: float = 2.0
) -> tuple[pa.Table, pa.Table]:
    settings = {"accounts": 50, "rate": 10.0, "text": "template", **options}
    return made(Plan((Population("A1", settings, ("problems",), "one"),), corpus, days=days), out)


def per_account(table: pa.Table) -> np.ndarray[Any, Any]:
    return table.group_by("account_id").aggregate([("exchange_id", "count")])["exchange_id_count"].to_numpy()


@pytest.mark.parametrize("kind", ["parquet", "jsonl.gz"])
@pytest.mark.parametrize("mode", ["rich", "naive"])
def test_the_same_plan_and_seed_give_the_same_bytes(corpus: Corpus, tmp_path: Path, kind: Any, mode: Any):
    plan = Plan(POPULATIONS, corpus, days=1.0, mode=mode, format=kind)
    first, second = (simulate(plan, tmp_path / name, seed=5) for name in "ab")
    assert first.log.read_bytes() == second.log.read_bytes()
    assert first.truth.read_bytes() == second.truth.read_bytes()
    other = simulate(plan, tmp_path / "c", seed=6)
    assert other.log.read_bytes() != first.log.read_bytes()


def test_json_lines_and_parquet_say_the_same(corpus: Corpus, tmp_path: Path):
    table, _ = made(Plan(POPULATIONS, corpus), tmp_path / "a")
    lines = simulate(Plan(POPULATIONS, corpus, format="jsonl.gz"), tmp_path / "b", seed=1)
    with gzip.open(lines.log, "rt", encoding="utf-8", newline="\n") as text:
        records = [json.loads(line) for line in text]
    for name in ("prompt", "account_id", "asn", "temperature", "status", "session_id"):
        assert [record.get(name) for record in records] == table[name].to_pylist()
    assert all(value is not None for record in records for value in record.values())


def test_dropped_columns_are_gone_and_the_rest_is_unchanged(corpus: Corpus, tmp_path: Path):
    whole, _ = made(Plan(POPULATIONS, corpus), tmp_path / "a")
    bare, _ = made(Plan(POPULATIONS, corpus, dropped=INFRASTRUCTURE), tmp_path / "b")
    assert set(whole.schema.names) - set(bare.schema.names) == set(INFRASTRUCTURE)
    assert bare.equals(whole.select(bare.schema.names))


def test_a_campaign_keeps_its_rate_and_deals_its_work_evenly(corpus: Corpus, tmp_path: Path):
    _, truth = campaign(corpus, tmp_path / "a", {})
    assert truth.num_rows == 50 * 10 * 2
    assert per_account(truth).tolist() == [20] * 50


def test_camouflage_spreads_the_load_without_changing_the_total(corpus: Corpus, tmp_path: Path):
    _, truth = campaign(corpus, tmp_path / "a", {"sigma": 1.0})
    counts = per_account(truth)
    assert counts.sum() == 1_000
    assert counts.std() / counts.mean() > 0.5


def test_shards_do_not_overlap_and_best_of_k_repeats_k_times(corpus: Corpus, tmp_path: Path):
    log, _ = campaign(corpus, tmp_path / "a", {"overlap": "shard", "accounts": 20})
    assert max(row["counts"] for row in pc.value_counts(log["prompt"]).to_pylist()) <= 2
    log, _ = campaign(corpus, tmp_path / "b", {"overlap": "best_of_k", "repeats": 4, "accounts": 20})
    times = [row["counts"] for row in pc.value_counts(log["prompt"]).to_pylist()]
    assert np.median(times) == 4


def test_dilution_leaves_the_rate_and_fills_it_with_other_peoples_traffic(corpus: Corpus, tmp_path: Path):
    _, truth = campaign(corpus, tmp_path / "a", {"share": 0.25, "rate": 40.0})
    own = truth.num_rows - truth["campaign"].null_count
    assert own == 50 * 10 * 2
    assert 0.2 < own / truth.num_rows < 0.3


def test_refusals_come_back_on_another_account_seconds_later(corpus: Corpus, tmp_path: Path):
    log, _ = campaign(corpus, tmp_path / "a", {"refused": 0.2, "overlap": "shard", "accounts": 20})
    rows = {
        (r["prompt"]): r
        for r in log.select(["prompt", "account_id", "time", "status"]).to_pylist()
        if r["status"] == 200
    }
    refused = [
        r for r in log.select(["prompt", "account_id", "time", "status"]).to_pylist() if r["status"] == 429
    ]
    again = [(r, rows[r["prompt"]]) for r in refused if r["prompt"] in rows]
    assert len(again) > 40
    assert sum(first["account_id"] != second["account_id"] for first, second in again) > 0.9 * len(again)


def test_artefacts_are_redeemed_by_their_account_except_in_the_archetype(corpus: Corpus, tmp_path: Path):
    for name, crossed in (("chat_users", False), ("A13", True)):
        plan = Plan((Population(name, {"accounts": 150, "rate": 20.0}),), corpus, days=2.0)
        log, _ = made(plan, tmp_path / name)
        issued = dict(zip(log["reasoning_issued"].to_pylist(), log["account_id"].to_pylist(), strict=True))
        pairs = zip(log["reasoning_redeemed"].to_pylist(), log["account_id"].to_pylist(), strict=True)
        foreign = [issued[artefact] != account for artefact, account in pairs if artefact]
        assert len(foreign) > 50
        assert all(foreign) if crossed else not any(foreign)


def test_relations_are_declared_and_campaign_organizations_are_strangers(corpus: Corpus, tmp_path: Path):
    _, rotation = made(Plan((Population("key_rotation", {"accounts": 30}),), corpus), tmp_path / "a")
    assert rotation["campaign"].null_count == rotation.num_rows
    log, _ = made(Plan((Population("key_rotation", {"accounts": 30}),), corpus), tmp_path / "b")
    assert len(log["organization_id"].unique()) == 1
    log, _ = campaign(corpus, tmp_path / "c", {})
    assert len(log["organization_id"].unique()) == 50
    log, _ = made(Plan((Population("aggregator", {"accounts": 5}),), corpus), tmp_path / "d")
    assert log["relation"].unique().to_pylist() == ["aggregator"]


def test_paraphrase_changes_who_chooses_the_words():
    rng = np.random.default_rng(0)
    account = np.arange(400) % 40
    fill = {name: (pa.array(["?"]), np.zeros(400, np.int64)) for name in ("item", "answer", "other")}
    distinct = {}
    for level in ("none", "slots", "account", "call"):
        recipe = compose(rng, "rubric_grading", account, fill, paraphrase=level)
        distinct[level] = len(recipe.render(np.arange(400)).unique())
    assert distinct["none"] == 1
    assert distinct["none"] < distinct["slots"] <= 14
    assert distinct["account"] <= 40 < distinct["call"]


def test_every_template_parses_and_has_its_slots():
    names = [name for name in load_names() if name not in {"agent_fleet", "made_cover"}]
    for name in names:
        texts, slots = templates(name)
        for text in texts:
            flat = [segment for segment in segments(text) if isinstance(segment, str)]
            assert "item" in flat
            assert set(flat) <= {"item", "item2", "item3", "answer", "other", *slots}
            assert "[[" not in "".join(option for segment in segments(text) for option in segment)


def load_names() -> list[str]:
    path = DEMO.parent / "src" / "spiritsafe" / "simulate" / "_templates.toml"
    return list(tomllib.loads(path.read_text("utf-8")))


@pytest.mark.parametrize(
    ("population", "hint"),
    [
        (Population("reasoning_harvst"), "reasoning_harvest"),
        (Population("A1", {"acounts": 5}), "accounts"),
        (Population("chat_users", {"rate": -1.0}), None),
        (Population("A1", {"share": 1.5}), None),
        (Population("A1", {}, ("nowhere",)), "problems"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_the_nearest_name(
    population: Population, hint: str | None, corpus: Corpus, tmp_path: Path
):
    with pytest.raises(UsageError) as refusal:
        simulate(Plan((population,), corpus), tmp_path / "out", seed=0)
    assert hint is None or hint in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_an_output_folder_is_never_overwritten(corpus: Corpus, tmp_path: Path):
    with pytest.raises(UsageError):
        simulate(Plan(POPULATIONS, corpus), tmp_path, seed=0)


def test_a_broken_corpus_is_named_with_file_and_line(tmp_path: Path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "data.jsonl").write_text('{"kind": "ben_x", "prompt": "a"}\n{"kind": }\n')
    with pytest.raises(InputError, match=r"data\.jsonl:2"):
        load_corpus(tmp_path)
    with pytest.raises(InputError):
        load_corpus(tmp_path / "nothing")


def test_the_committed_demo_comes_from_its_plan(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(DEMO))
    plan: Any = importlib.import_module("plan")
    everybody = Plan((*plan.INNOCENT, *plan.CAMPAIGNS), corpus, days=plan.DAYS, format="jsonl.gz")
    again = simulate(everybody, tmp_path / "demo", seed=plan.SEED)
    assert pq.read_table(again.truth).equals(pq.read_table(DEMO / "truth.parquet"))
    committed = b"".join(gzip.decompress(path.read_bytes()) for path in sorted((DEMO / "logs").glob("*.gz")))
    assert gzip.decompress(again.log.read_bytes()) == committed


def test_the_committed_demo_is_what_its_plan_makes():
    truth = pq.read_table(DEMO / "truth.parquet")
    ids: set[str] = set()
    for path in sorted((DEMO / "logs").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
            ids.update(json.loads(line)["exchange_id"] for line in lines)
    assert ids == set(truth["exchange_id"].to_pylist())
    members = truth.group_by(["account_id", "account_campaign"]).aggregate([])
    sizes = {
        row["values"]: row["counts"]
        for row in pc.value_counts(members["account_campaign"].drop_null()).to_pylist()
    }
    assert sizes == {
        "harvest-of-reasoning": 340,
        "bootstrap-of-instructions": 110,
        "reconstruction-behind-a-reseller": 80,
    }
    innocent = pc.filter(truth["family"], pc.is_null(truth["account_campaign"]))
    assert len(innocent.unique()) >= 12
