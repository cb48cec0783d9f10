"""Orders hit, accounts are replaced, traffic migrates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spiritsafe.errors import UsageError
from spiritsafe.simulate import Corpus, Order, Plan, Population, read_orders, simulate

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOON = 12 * HOUR


def run(corpus: Corpus, out: Path, *orders: Order, **knobs: Any) -> pa.Table:
    """A campaign of 60 accounts among 60 people, against orders whose times count from the start."""
    options = {"accounts": 60, "rate": 20.0, "text": "template", **knobs}
    populations = (
        Population("A1", options, ("problems",), "one"),
        Population("chat_users", {"accounts": 60}, (), "people"),
    )
    plan = Plan(populations, corpus, days=2.0)
    moved = [
        Order(
            order.response,
            order.start + plan.start,
            None if order.expires is None else order.expires + plan.start,
            order.campaign,
            order.account_id,
            order.per_day,
        )
        for order in orders
    ]
    made = simulate(Plan(populations, corpus, days=2.0, orders=tuple(moved)), out, seed=5)
    log, truth = pq.read_table(made.log), pq.read_table(made.truth)
    assert log["exchange_id"].equals(truth["exchange_id"])
    for name in ("campaign", "account_campaign", "family", "replaces"):
        log = log.append_column(name, truth[name])
    return log.append_column("moment", pa.array(log["time"].cast("int64").to_numpy() - plan.start))


def ring(log: pa.Table) -> pa.Table:
    return log.filter(pc.equal(log["account_campaign"], "one"))


def ids(log: pa.Table) -> set[str]:
    return set(log["account_id"].to_pylist())


def test_a_suspended_campaign_is_refused_and_then_goes_on_from_fresh_siblings(corpus: Corpus, tmp_path: Path):
    calm = ring(run(corpus, tmp_path / "a"))
    log = ring(run(corpus, tmp_path / "b", Order("suspend", NOON, campaign="one"), replace_hours=2.0))
    old = ids(calm)
    after = log.filter(pc.greater_equal(log["moment"], NOON))
    by_old = after.filter(pc.is_in(after["account_id"], pa.array(sorted(old))))
    assert set(by_old["status"].to_pylist()) == {403}
    assert by_old["moment"].to_numpy().max() < NOON + 10 * HOUR
    assert by_old.num_rows < 60 * 5
    fresh = after.filter(pc.invert(pc.is_in(after["account_id"], pa.array(sorted(old)))))
    assert len(ids(fresh)) == 60
    assert set(fresh["replaces"].to_pylist()) == old
    assert by_old["replaces"].null_count == by_old.num_rows
    assert fresh["moment"].to_numpy().min() > NOON + HOUR / 2
    assert (
        pc.min(pc.subtract(fresh["time"].cast("int64"), fresh["account_created"].cast("int64"))).as_py() > 0
    )
    start = log["time"].cast("int64")[0].as_py() - log["moment"][0].as_py()
    assert fresh["account_created"].cast("int64").to_numpy().min() > start + NOON
    assert set(fresh["organization_id"].to_pylist()).isdisjoint(log["organization_id"].to_pylist()[:200])
    # Every item that was planned is asked for in the end, by one account or another.
    answered = log.filter(pc.not_equal(log["status"], 403))
    assert set(answered["prompt"].to_pylist()) == set(calm["prompt"].to_pylist())


def test_siblings_keep_what_the_operator_shares_and_nothing_else(corpus: Corpus, tmp_path: Path):
    log = ring(run(corpus, tmp_path / "a", Order("suspend", NOON, campaign="one"), payment=0.7, device=0.0))
    old = ids(log.filter(pc.less(log["moment"], NOON)))
    first = log.filter(pc.is_in(log["account_id"], pa.array(sorted(old))))
    later = log.filter(pc.invert(pc.is_in(log["account_id"], pa.array(sorted(old)))))
    cards = set(later["payment_id"].to_pylist()) & set(first["payment_id"].to_pylist()) - {None}
    assert len(cards) >= 2
    assert not set(later["device_id"].to_pylist()) & set(first["device_id"].to_pylist())


def test_what_one_account_is_refused_another_sends_within_a_minute(corpus: Corpus, tmp_path: Path):
    calm = run(corpus, tmp_path / "a")
    some = sorted(ids(ring(calm)))[:6]
    log = ring(run(corpus, tmp_path / "b", *(Order("suspend", NOON, account_id=one) for one in some)))
    rows = log.select(["prompt", "account_id", "moment", "status"]).to_pylist()
    refused = [row for row in rows if row["status"] == 403]
    assert {row["account_id"] for row in refused} == set(some)
    for row in refused:
        again = [
            one for one in rows if one["prompt"] == row["prompt"] and 0 < one["moment"] - row["moment"] < 6e7
        ]
        assert again
        assert all(one["account_id"] not in some for one in again)


def test_a_refusal_hits_the_harvest_only_and_ends_when_it_expires(corpus: Corpus, tmp_path: Path):
    order = Order("refuse", NOON, NOON + 6 * HOUR, campaign="one")
    log = ring(run(corpus, tmp_path / "a", order, share=0.5, replace_hours=1_000.0))
    during = pc.and_(pc.greater_equal(log["moment"], NOON), pc.less(log["moment"], NOON + 6 * HOUR))
    harvest = pc.is_valid(log["campaign"])
    assert set(log.filter(pc.and_(during, harvest))["status"].to_pylist()) == {403}
    assert 403 not in log.filter(pc.and_(during, pc.invert(harvest)))["status"].to_pylist()
    assert 403 not in log.filter(pc.invert(during))["status"].to_pylist()
    assert log.filter(pc.and_(pc.greater(log["moment"], NOON + 6 * HOUR), harvest)).num_rows > 300


def test_a_budget_answers_429_above_it(corpus: Corpus, tmp_path: Path):
    order = Order("budget", 0, campaign="one", per_day=8)
    log = ring(run(corpus, tmp_path / "a", order, replace_hours=1_000.0))
    day = pa.array(log["moment"].to_numpy() // DAY)
    log = log.append_column("day", day)
    passed = log.filter(pc.invert(pc.is_in(log["status"], pa.array([429]))))
    counts = (
        passed.group_by(["account_id", "day"]).aggregate([("prompt", "count")])["prompt_count"].to_numpy()
    )
    assert counts.max() <= 8
    assert 429 in log["status"].to_pylist()


def test_an_innocent_who_is_suspended_tries_a_few_times_and_waits(corpus: Corpus, tmp_path: Path):
    calm = run(corpus, tmp_path / "a")
    people = calm.filter(pc.equal(calm["family"], "chat_users"))
    busy = max(pc.value_counts(people["account_id"]).to_pylist(), key=lambda row: row["counts"])["values"]
    log = run(corpus, tmp_path / "b", Order("suspend", 0, DAY, account_id=busy))
    mine = log.filter(pc.equal(log["account_id"], busy))
    first = mine.filter(pc.less(mine["moment"], DAY))
    assert first.num_rows <= 3
    assert set(first["status"].to_pylist()) <= {403}
    later = people.filter(
        pc.and_(pc.equal(people["account_id"], busy), pc.greater_equal(people["moment"], DAY))
    )
    assert mine.num_rows - first.num_rows == later.num_rows
    others = pc.not_equal(log["account_id"], busy)
    before = calm.filter(pc.not_equal(calm["account_id"], busy))
    assert log.filter(others)["prompt"].equals(before["prompt"])


def test_a_second_order_hits_the_siblings_of_the_first(corpus: Corpus, tmp_path: Path):
    orders = (Order("suspend", NOON, campaign="one"), Order("suspend", DAY, campaign="one"))
    log = ring(run(corpus, tmp_path / "a", *orders))
    assert len(ids(log)) > 170
    last = log.filter(pc.greater(log["moment"], DAY + 8 * HOUR))
    middle = log.filter(pc.and_(pc.greater(log["moment"], NOON + 8 * HOUR), pc.less(log["moment"], DAY)))
    assert ids(last).isdisjoint(ids(middle))


def test_churn_replaces_a_share_of_the_accounts_each_day(corpus: Corpus, tmp_path: Path):
    log = ring(run(corpus, tmp_path / "a", churn=0.25))
    refused = log.filter(pc.equal(log["status"], 403))
    assert 12 <= len(ids(refused)) <= 45
    assert 0.8 <= (len(ids(log)) - 60) / len(ids(refused)) <= 1.3
    for account in ids(refused):
        mine = log.filter(pc.equal(log["account_id"], account))
        status = mine["status"].to_numpy()
        assert (np.diff((status == 403).astype(int)) >= 0).all()


def test_nobody_elses_identifiers_change_when_accounts_are_replaced(corpus: Corpus, tmp_path: Path):
    calm = run(corpus, tmp_path / "a")
    log = run(corpus, tmp_path / "b", Order("suspend", NOON, campaign="one"))
    columns = ["account_id", "organization_id", "device_id", "prompt", "time"]
    one, other = (
        table.filter(pc.equal(table["family"], "chat_users")).select(columns) for table in (calm, log)
    )
    assert one.equals(other)


def test_an_order_for_nobody_is_refused_and_leaves_nothing(corpus: Corpus, tmp_path: Path):
    with pytest.raises(UsageError, match="meets nobody: 'acct_0'"):
        run(corpus, tmp_path / "a", Order("suspend", 0, account_id="acct_0"))
    assert list(tmp_path.iterdir()) == []


def test_an_order_file_says_the_same_as_a_plan(corpus: Corpus, tmp_path: Path):
    path = tmp_path / "orders.json"
    entry = {
        "campaign": "one",
        "response": "budget",
        "start": "2026-09-07T12:00:00Z",
        "expires": "2026-09-08",
        "per_day": 5,
    }
    path.write_text(json.dumps([entry], indent=1))
    (order,) = read_orders(path)
    start = Plan((), corpus).start
    assert (order.start, order.expires) == (start + NOON, start + DAY)
    assert (order.response, order.campaign, order.per_day, order.where) == ("budget", "one", 5.0, f"{path}:2")


def test_an_order_beside_the_plans_days_is_refused_and_a_wording_that_is_not_there(
    corpus: Corpus, tmp_path: Path
):
    late = Order("suspend", NOON + 10_000 * 86_400_000_000, campaign="one")
    with pytest.raises(UsageError, match="not in force on the plan's days"):
        run(corpus, tmp_path / "a", late)
    with pytest.raises(UsageError, match="wordings, counted from 0"):
        run(corpus, tmp_path / "b", text="template", wording=900)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
