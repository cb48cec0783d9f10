"""Each knob changes in the log what it says it changes."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spiritsafe.registry import extensions
from spiritsafe.simulate import Campaign, Corpus, Customers, Plan, Population, load_corpus, shipped, simulate
from spiritsafe.simulate._knobs import LIMITS
from spiritsafe.simulate._people import BLANKABLE

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400_000_000
ACCOUNTS, RATE = 60, 12.0


def run(plan: Plan, out: Path, seed: int = 4) -> pa.Table:
    """The log with the columns of the truth beside it."""
    made = simulate(plan, out, seed=seed)
    log, truth = pq.read_table(made.log), pq.read_table(made.truth)
    for name in ("campaign", "account_campaign", "family", "label"):
        log = log.append_column(name, truth[name])
    moments = log["time"].cast("int64").to_numpy() - plan.start
    return log.append_column("moment", pa.array(moments))


def campaign(corpus: Corpus, out: Path, days: float = 2.0, family: str = "A1", **knobs: Any) -> pa.Table:
    options = {"accounts": ACCOUNTS, "rate": RATE, "text": "template", **knobs}
    return run(Plan((Population(family, options, ("problems",), "one"),), corpus, days=days), out)


def own(log: pa.Table) -> pa.Table:
    return log.filter(pc.equal(log["campaign"], "one"))


def ids(log: pa.Table) -> set[str]:
    return set(log["account_id"].to_pylist())


def senders(log: pa.Table) -> list[str]:
    return own(log)["account_id"].to_pylist()


def share_of_common(log: pa.Table, column: str) -> float:
    """Share of accounts whose value of a column another account has too."""
    pairs = log.group_by(["account_id", column]).aggregate([])
    pairs = pairs.filter(pc.is_valid(pairs[column]))
    counts = {row["values"]: row["counts"] for row in pc.value_counts(pairs[column]).to_pylist()}
    common = pc.is_in(
        pairs[column], pa.array([value for value, count in counts.items() if count > 1], pa.string())
    )
    return len(pairs.filter(common)["account_id"].unique()) / len(log["account_id"].unique())


def test_every_knob_has_a_limit_and_every_limit_a_knob():
    names = {*Campaign.__dataclass_fields__, *Customers.__dataclass_fields__}
    assert names == set(LIMITS)


def test_every_default_is_within_its_limit():
    for kind in (Campaign(), Customers()):
        for name in kind.__dataclass_fields__:
            assert LIMITS[name].fault(getattr(kind, name)) is None, name
    for one in extensions("simulate").values():
        for name, value in getattr(one.module, "DEFAULTS", {}).items():
            assert LIMITS[name].fault(value) is None, (one.id, name)


def test_accounts_and_rate(corpus: Corpus, tmp_path: Path):
    log = campaign(corpus, tmp_path / "a", accounts=30, rate=4.0)
    assert log.num_rows == 30 * 4 * 2
    assert len(log["account_id"].unique()) == 30


@pytest.mark.parametrize("name", ["round_robin", "lru"])
def test_routing_by_least_recent_use_lets_everybody_have_a_turn(name: str, corpus: Corpus, tmp_path: Path):
    sent = senders(campaign(corpus, tmp_path / "a", routing=name))
    assert all(len(set(sent[at : at + ACCOUNTS])) == ACCOUNTS for at in range(0, len(sent), ACCOUNTS))


def test_routing_at_random_and_sticky(corpus: Corpus, tmp_path: Path):
    sent = senders(campaign(corpus, tmp_path / "a", routing="random"))
    assert 25 < len(set(sent[:ACCOUNTS])) < 50
    sent = senders(campaign(corpus, tmp_path / "b", routing="sticky"))
    assert np.mean([a == b for a, b in pairwise(sent)]) == pytest.approx(7 / 8, abs=0.02)


def test_routing_by_topic_keeps_an_item_on_one_account(corpus: Corpus, tmp_path: Path):
    pairs = {}
    for name in ("random", "topic_affine"):
        log = campaign(corpus, tmp_path / name, routing=name, overlap="iid", rate=60.0, accounts=20)
        pairs[name] = log.group_by(["account_id", "prompt"]).aggregate([]).num_rows / len(
            log["prompt"].unique()
        )
    assert pairs["topic_affine"] < 1.01  # a few texts are in the corpus twice
    assert pairs["random"] > 1.1


def test_topics_are_shared_by_as_many_accounts_as_asked(corpus: Corpus, tmp_path: Path):
    topical: dict[str, Any] = {"routing": "topic_affine", "overlap": "iid", "rate": 60.0, "accounts": 20}
    log = campaign(corpus, tmp_path / "four", topics=4, **topical)
    holders = log.group_by("prompt").aggregate([("account_id", "count_distinct")])[
        "account_id_count_distinct"
    ]
    assert 4 <= pc.max(holders).as_py() <= 6  # five accounts a topic; a few texts are in the corpus twice
    together = log.group_by(["account_id"]).aggregate([("prompt", "distinct")])["prompt_distinct"].to_pylist()
    assert len({frozenset(one) for one in together}) == 20
    alone = campaign(corpus, tmp_path / "none", topics=0, **topical)
    assert alone.equals(campaign(corpus, tmp_path / "twenty", topics=0, **topical))
    assert not alone.equals(log)


def test_overlap_says_how_often_an_item_comes_back(corpus: Corpus, tmp_path: Path):
    most = {}
    for name in ("shard", "iid", "zipf"):
        log = campaign(corpus, tmp_path / name, overlap=name)
        most[name] = max(row["counts"] for row in pc.value_counts(log["prompt"]).to_pylist())
    assert most["shard"] <= 2 < most["iid"] < 10 < most["zipf"]
    log = campaign(corpus, tmp_path / "p", overlap="partition", accounts=20, rate=100.0)
    holders = log.group_by(["prompt", "account_id"]).aggregate([])
    assert holders.num_rows < 1.02 * len(log["prompt"].unique()) < log.num_rows


def test_timing_is_even_in_batches_or_in_office_hours(corpus: Corpus, tmp_path: Path):
    spread = {}
    for name in ("jitter", "sync", "diurnal"):
        moment = campaign(corpus, tmp_path / name, timing=name, rate=40.0)["moment"].to_numpy()
        late = float(np.mean(moment % 600_000_000 > 120_000_000))
        hours = np.bincount((moment % DAY // 3_600_000_000).astype(int), minlength=24)
        spread[name] = (late, hours.std() / hours.mean())
    assert spread["jitter"][0] == pytest.approx(0.8, abs=0.03)
    assert spread["sync"][0] < 0.05
    assert spread["jitter"][1] < 0.1
    assert spread["diurnal"][1] > 0.5


@pytest.mark.parametrize(
    ("knob", "column"), [("payment", "payment_id"), ("device", "device_id"), ("mail", "email_domain")]
)
def test_infrastructure_is_shared_by_as_many_accounts_as_asked(
    knob: str, column: str, corpus: Corpus, tmp_path: Path
):
    def knobs(share: float) -> dict[str, Any]:
        return {knob: share}

    some, none = (
        campaign(corpus, tmp_path / f"{share}", accounts=300, rate=2.0, **knobs(share))
        for share in (0.6, 0.0)
    )
    if column == "email_domain":
        popular = pc.match_substring(none[column], ".example")
        assert not pc.any(popular).as_py()
        assert pc.mean(pc.cast(pc.match_substring(some[column], ".example"), "double")).as_py() > 0.5
    else:
        assert share_of_common(some, column) == pytest.approx(0.6, abs=0.12)
        assert share_of_common(none, column) < 0.15


def test_network_and_client_sharing(corpus: Corpus, tmp_path: Path):
    some, none = (campaign(corpus, tmp_path / f"n{share}", network=share) for share in (1.0, 0.0))
    assert len(some["client_ip"].unique()) <= ACCOUNTS / 6 + 2
    assert len(none["client_ip"].unique()) > ACCOUNTS
    some, none = (campaign(corpus, tmp_path / f"c{share}", client=share) for share in (1.0, 0.0))
    assert len(some["user_agent"].unique()) <= 3 < len(none["user_agent"].unique())


def test_sign_up_age_and_cohort(corpus: Corpus, tmp_path: Path):
    log = campaign(corpus, tmp_path / "a", age_days=100.0, cohort_days=5.0)
    start = Plan((), corpus).start
    age = (start - log["account_created"].cast("int64").to_numpy()) / DAY
    assert 99.9 < age.min() < age.max() < 105.1
    assert age.max() - age.min() > 4.0


def test_organizations_and_wording(corpus: Corpus, tmp_path: Path):
    log = campaign(corpus, tmp_path / "a", organizations=3, wording=1)
    assert len(log["organization_id"].unique()) == 3
    other = campaign(corpus, tmp_path / "b", wording=0)
    assert not set(log["prompt"].to_pylist()) & set(other["prompt"].to_pylist())


def test_cover_is_other_peoples_traffic_or_made_by_a_machine(corpus: Corpus, tmp_path: Path):
    known = set(pc.unique(corpus.pool(("ben_", "chat_", "plain", "")).prompts).to_pylist())
    real, made = (campaign(corpus, tmp_path / one, share=0.5, cover=one) for one in ("real", "made"))
    for log, least, most in ((real, 0.6, 1.0), (made, 0.0, 0.0)):
        rest = log.filter(pc.is_null(log["campaign"]))["prompt"].to_pylist()
        assert 0.4 < len(rest) / log.num_rows < 0.6
        assert least <= np.mean([text in known for text in rest]) <= most
    rest = made.filter(pc.is_null(made["campaign"]))["prompt"]
    assert len(rest.unique()) > 0.9 * len(rest)


def test_accounts_that_warm_up_chat_before_they_harvest(corpus: Corpus, tmp_path: Path):
    log = campaign(corpus, tmp_path / "a", warmup_days=1.0)
    assert own(log)["moment"].to_numpy().min() >= DAY
    before = log.filter(pc.less(log["moment"], DAY))
    assert before["campaign"].null_count == before.num_rows > ACCOUNTS * RATE * 0.15
    assert len(before["account_id"].unique()) > 0.8 * ACCOUNTS


def test_null_poisoning_blanks_a_share_of_the_accounts_columns(corpus: Corpus, tmp_path: Path):
    populations = (
        Population("A1", {"accounts": 100, "rate": 5.0, "nulls": 0.4, "share": 0.5}, ("problems",), "one"),
        Population("chat_users", {"accounts": 100}),
    )
    log = run(Plan(populations, corpus, days=2.0), tmp_path / "a")
    ring = log.filter(pc.equal(log["family"], "reasoning_harvest"))
    for column in BLANKABLE:
        blank = ring.filter(pc.is_null(ring[column]))
        whole = ring.group_by("account_id").aggregate([(column, "count"), ("exchange_id", "count")])
        never = pc.mean(pc.cast(pc.equal(whole[f"{column}_count"], 0), "double")).as_py()
        assert blank.num_rows > 0
        assert never > 0.25, column
        if column not in {"session_id", "payment_id"}:
            assert never == pytest.approx(0.4, abs=0.15), column
    rest = log.filter(pc.equal(log["family"], "chat_users"))
    assert rest["device_id"].null_count == rest["client_ip"].null_count == 0
    nobody = run(Plan((Population("chat_users", {"accounts": 50, "nulls": 1.0}),), corpus), tmp_path / "b")
    assert all(nobody[column].null_count == nobody.num_rows for column in BLANKABLE)


def test_a_framed_victim_shares_cards_devices_and_texts_and_did_nothing(corpus: Corpus, tmp_path: Path):
    victim = Population("byo_key_app", {"accounts": 40, "text": "template"}, ("own_notes",), "app")
    knobs = {"accounts": 80, "rate": 10.0, "text": "template", "payment": 0.0, "device": 0.0}
    framed = {**knobs, "frames": "app", "framing": 0.5}
    logs = {}
    for name, options in (("plain", knobs), ("framed", framed)):
        plan = Plan((Population("A1", options, ("problems",), "one"), victim), corpus, days=2.0)
        logs[name] = run(plan, tmp_path / name)
    for name, log in logs.items():
        ring = log.filter(pc.equal(log["account_campaign"], "one"))
        app = log.filter(pc.equal(log["family"], "byo_key_app"))
        assert app["account_campaign"].null_count == app["label"].null_count == app.num_rows
        for column in ("device_id", "payment_id", "prompt"):
            theirs = set(app[column].to_pylist()) - {None}
            copied = {
                account
                for account, value in zip(
                    ring["account_id"].to_pylist(), ring[column].to_pylist(), strict=True
                )
                if value in theirs
            }
            assert (len(copied) > 20) == (name == "framed"), (name, column)
    columns = ["exchange_id", "account_id", "prompt", "device_id"]
    apps = [log.filter(pc.equal(log["family"], "byo_key_app")).select(columns[1:]) for log in logs.values()]
    assert apps[0].equals(apps[1])


def test_lone_customers_do_a_campaigns_work_alone(corpus: Corpus, tmp_path: Path):
    knobs = {"accounts": 80, "rate": 20.0, "text": "template"}
    alike = {**knobs, "like": "A1", "likeness": 0.5}
    populations = (
        Population("key_rotation", alike, ("own_tickets",)),
        Population("A1", knobs, ("problems",), "one"),
    )
    log = run(Plan(populations, corpus, days=2.0), tmp_path / "a")
    lone = log.filter(pc.and_(pc.is_null(log["account_campaign"]), pc.match_substring(log["prompt"], "</")))
    own_work = log.filter(
        pc.and_(pc.is_null(log["account_campaign"]), pc.invert(pc.match_substring(log["prompt"], "</")))
    )
    senders = ids(lone)
    assert 36 <= len(senders) <= 40
    assert not senders & ids(own_work)
    assert (
        lone["label"].null_count
        == lone["campaign"].null_count
        == lone["relation"].null_count
        == lone.num_rows
    )
    for column in ("organization_id", "device_id"):
        owners = lone.group_by([column, "account_id"]).aggregate([]).num_rows
        assert owners == len(senders), column
        assert len(lone[column].unique()) >= len(senders) - 2, column  # a machine may have been sold on
    assert len(own_work["organization_id"].unique()) == 1
    counts = lone.group_by("account_id").aggregate([("prompt", "count")])["prompt_count"].to_numpy()
    assert counts.std() / counts.mean() > 0.2  # a load of their own, a clock of their own
    first = lone.filter(pc.equal(lone["account_id"], min(senders)))["moment"].to_numpy()
    gaps = np.diff(np.sort(first))
    assert gaps.std() / gaps.mean() < 0.3


def test_lone_customers_keep_to_a_topic_where_the_archetype_does(corpus: Corpus, tmp_path: Path):
    """A12 keeps each of its four accounts at a topic of its own, so those who do alone what it does have one, too."""
    apart = {}
    for like in ("A12", "A1"):
        knobs = {"accounts": 40, "rate": 300.0, "text": "ready", "like": like, "likeness": 1.0}
        log = run(Plan((Population("key_rotation", knobs, ("problems",)),), corpus), tmp_path / like)
        sent = log.group_by("account_id").aggregate([("prompt", "distinct")])["prompt_distinct"].to_pylist()
        asked = [{one for one in each if re.search("[0-9]", one)} for each in sent]
        overlap = np.array([len(a & b) / min(len(a), len(b)) for a, b in combinations(asked, 2)])
        apart[like] = np.mean(overlap < 0.1)
    assert apart["A12"] > 2 * apart["A1"]  # three of four pairs have different topics


def test_lone_customers_hand_in_only_artefacts_of_their_own(corpus: Corpus, tmp_path: Path):
    knobs = {"accounts": 60, "rate": 20.0, "like": "A13", "likeness": 1.0}
    log = run(Plan((Population("reseller", knobs),), corpus, days=2.0), tmp_path / "a")
    issued = dict(zip(log["reasoning_issued"].to_pylist(), log["account_id"].to_pylist(), strict=True))
    pairs = zip(log["reasoning_redeemed"].to_pylist(), log["account_id"].to_pylist(), strict=True)
    foreign = [issued[artefact] != account for artefact, account in pairs if artefact]
    assert len(foreign) > 100
    assert not any(foreign)


def test_the_pivot_waits_as_long_as_asked(corpus: Corpus, tmp_path: Path):
    for delay in (0.0, 12.0):
        log = campaign(
            corpus, tmp_path / f"{delay}", family="A16", release=0.25, delay_hours=delay, hours=6.0
        )
        turned = log.filter(pc.equal(log["model"], "teacher-large-2"))["moment"].to_numpy()
        first = turned.min() / DAY * 24
        assert 12.0 + delay <= first < 12.0 + delay + 4.0


def test_customers_rates_spread_and_bursts(corpus: Corpus, tmp_path: Path):
    def counts(**knobs: float) -> np.ndarray[Any, Any]:
        plan = Plan((Population("chat_users", {"accounts": 200, "rate": 20.0, **knobs}),), corpus, days=3.0)
        log = run(plan, tmp_path / str(sorted(knobs.items())))
        return log.group_by("account_id").aggregate([("prompt", "count")])["prompt_count"].to_numpy()

    even, spread, bursts = (
        counts(sigma=0.0, burst=0.0),
        counts(sigma=1.0, burst=0.0),
        counts(sigma=0.0, burst=2.0),
    )
    assert even.mean() == pytest.approx(60.0, rel=0.05)
    assert even.std() / even.mean() < 0.2
    assert spread.std() / spread.mean() > 0.5
    assert bursts.std() / bursts.mean() > 0.4


def test_the_shipped_corpus_is_small_and_names_its_sources():
    corpus = load_corpus()
    folder = shipped()
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_500_000
    notes = (folder / "SOURCES.md").read_text("utf-8")
    assert [name for name in corpus.sources if f"`{name}`" not in notes] == []
