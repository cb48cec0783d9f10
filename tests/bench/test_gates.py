"""The gates of the benchmark: passed on the shipped texts, and failed by a simulation that gives the game away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import compose
import gates
from spiritsafe.simulate import Plan, load_corpus, shipped, simulate
from spiritsafe.simulate._corpus import Corpus, Pool
from traits import measure

if TYPE_CHECKING:
    from pathlib import Path

SMALL = gates.Size(12, 26.0, 40.0, 8, 1, 3_000)


@pytest.fixture(scope="module")
def texts() -> Corpus:
    return load_corpus()


@pytest.mark.parametrize("archetype", ["A4", "A11"])
def test_no_single_feature_tells_a_campaigns_account_from_its_look_alikes(archetype: str, texts: Corpus):
    matched = gates.worlds(texts, archetype, compose.LIKENESS, seed=3, size=SMALL)
    gate = gates.separable(archetype, matched)
    assert gate.passed, gate.detail
    assert matched.campaign.sum() == SMALL.accounts * SMALL.worlds


def test_look_alikes_of_another_kind_fail_the_gate(texts: Corpus):
    plain = gates.worlds(texts, "A4", 0.0, seed=3, size=gates.Size(12, 26.0, 40.0, 2, 1, 3_000))
    gate = gates.separable("A4", plain)
    assert not gate.passed
    assert gate.value > 0.95


def test_shuffled_labels_give_chance_and_a_leak_does_not():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 30))
    family = np.array(["chat_users"] * 400, dtype=object)
    world = gates.World([str(at) for at in range(30)], values, family, np.arange(400) % 4 == 0)
    fair = gates.shuffled([world], seed=1)
    assert fair.passed, fair.detail
    for seed in range(20):
        assert gates.shuffled([world], seed=seed, rounds=50).value < 0.03


def test_an_attack_free_log_accuses_nobody(texts: Corpus):
    gate = gates.attack_free(texts, seed=2, size=SMALL)
    assert gate.passed, gate.detail


def test_the_shipped_texts_can_be_cut_in_halves_that_share_nothing(texts: Corpus):
    assert [gate.name for gate in gates.disjoint(texts) if not gate.passed] == []


def test_halves_with_an_ancestor_or_a_text_in_common_are_void(texts: Corpus, monkeypatch: pytest.MonkeyPatch):
    pool = texts.pools["emails", "doc_email"]

    def half(name: str, rows: slice) -> dict[tuple[str, str], Pool]:
        return {(name, "ben_mail"): pool.rows(np.arange(len(pool))[rows])}

    shared = Corpus({**half("arenahard_judging", slice(0, 600)), **half("webquestions", slice(500, 1_100))})
    failed = {gate.name for gate in gates.disjoint(shared) if not gate.passed}
    assert failed == {"halves: no text in both", "halves: no innocent text taken from the other"}
    monkeypatch.setitem(compose.ANCESTORS, "evol_code", "alpaca")
    kin = Corpus({**half("alpaca_answer", slice(0, 300)), **half("evol_code", slice(600, 900))})
    assert "halves: no ancestor in both" in {gate.name for gate in gates.disjoint(kin) if not gate.passed}


def test_no_source_of_one_half_has_an_ancestor_in_the_other():
    ours, theirs = (
        {compose.ANCESTORS.get(one, one) for one in half} for half in (compose.CALIBRATION, compose.REPORT)
    )
    assert not ours & theirs
    assert not set(compose.SET_ASIDE) & {*compose.CALIBRATION, *compose.REPORT}


def test_an_auc_is_right_whichever_way_round():
    rng = np.random.default_rng(0)
    mine, like = np.arange(300) < 100, np.arange(300) >= 100
    values = rng.normal(size=(300, 3))
    values[mine, 0] += 1.0
    values[mine, 1] -= 1.0
    found = gates.aucs(values, mine, like)
    pairs = (values[mine, 0][:, None] > values[like, 0][None, :]).mean()
    assert found[0] == pytest.approx(pairs)
    assert found[1] > 0.7 > found[2]


def test_traits_are_what_they_say(texts: Corpus, tmp_path: Path):
    plan = Plan(tuple(compose.beside("A1", accounts=20, rate=10.0, payment=1.0)), texts)
    seen = measure(simulate(plan, tmp_path / "log", seed=1).log)
    import pyarrow.parquet as pq  # noqa: PLC0415

    log = pq.read_table(tmp_path / "log" / "log.parquet")

    def column(name: str) -> dict[str, float]:
        return dict(zip(seen.accounts, seen.values[:, seen.names.index(name)].tolist(), strict=True))

    for account in seen.accounts[::17]:
        mine = log.filter(pa.compute.equal(log["account_id"], account))
        lengths = [len(text) for text in mine["prompt"].to_pylist()]
        assert column("exchanges")[account] == mine.num_rows
        assert column("prompt characters, mean")[account] == pytest.approx(np.mean(lengths))
        hours = {time.replace(minute=0, second=0, microsecond=0) for time in mine["time"].to_pylist()}
        assert column("hours active")[account] == len(hours)
        card: Any = mine["payment_id"][0].as_py()
        if card:
            holders = log.filter(pa.compute.equal(log["payment_id"], card))["account_id"].unique()
            assert column("payment_id, accounts with it")[account] == len(holders)


def test_the_command_says_void_and_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    bad = gates.Gate("A1: no single feature", False, 0.97, 0.8, "tags 0.97")
    monkeypatch.setattr(gates, "check", lambda *_, **__: [bad])
    assert gates.main(["--corpus", str(shipped()), "--quick"]) == 1
    said = capsys.readouterr()
    assert "VOID: 1 of 1 gates failed" in said.err
    assert "0.97" in said.out


def test_how_many_send_the_same_skeleton_is_told_and_decides_nothing():
    mine = np.arange(60) < 20
    values = np.stack([mine.astype(float), np.tile([0.0, 1.0], 30)], axis=1)
    family = np.where(mine, "A14", "viral_prompt").astype(object)
    told = gates.separable("A14", gates.World([gates.TOGETHER, "rate"], values, family, mine))
    assert told.passed
    assert told.value == 0.5
    assert f"{gates.TOGETHER}: 1.00, not counted" in told.detail
    other = gates.separable("A14", gates.World(["rate", gates.TOGETHER], values, family, mine))
    assert not other.passed
