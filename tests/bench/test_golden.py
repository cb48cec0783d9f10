"""The golden benchmark: costs, bounds, what the table reads from the cells, void runs, runs that go on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from golden import __main__ as golden
from golden import attack, charts, cost, crowd, menu, page, rows, sections, store, trials
from golden.trials import Trial
from scoreboard import lower, upper
from spiritsafe.simulate import shipped

if TYPE_CHECKING:
    from pathlib import Path


def cell(
    campaigns: dict[str, tuple[int, int, str]] | None = None,
    families: dict[str, list[int]] | None = None,
    entries: list[tuple[str, int, int]] | None = None,
    rows: tuple[int, int, int] = (0, 0, 0),
    detector: str = "spiritsafe",
) -> dict[str, Any]:
    """A cell: campaigns as (accused, accounts, label), entries as (label, accounts, innocent)."""
    harvest, flagged, both = rows
    return {
        "detector": detector,
        "point": "as shipped" if detector == "spiritsafe" else "1% of calibration",
        "seconds": 1.0,
        "exchanges": 100,
        "accounts": 10,
        "campaigns": {
            name: {
                "label": label,
                "accounts": n,
                "accused": hit if label == "campaign" else 0,
                "grouped": hit,
                "best": hit,
                "best_size": hit + 1,
                "best_guilty": hit,
            }
            for name, (hit, n, label) in (campaigns or {}).items()
        },
        "families": families or {"ci_bots": [0, 5, 0, 4]},
        "entries": [
            {"label": label, "accounts": n, "innocent": wrong, "families": {}}
            for label, n, wrong in entries or []
        ],
        "rows": {
            "harvest": harvest,
            "flagged": flagged,
            "both": both,
            "cover": 10,
            "cover_flagged": 1,
            "customers": 8,
            "customers_flagged": 1,
        },
    }


def trial(*populations: tuple[str, dict[str, Any]], seed: int = 1, **facts: Any) -> Trial:
    return Trial(populations, 100, seed, facts=facts)


# Bounds


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (1, 300)])
def test_bounds_are_exact(hits: int, n: int):
    def tail(p: float, ks: range) -> float:
        return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in ks)

    if hits < n:
        assert tail(upper(hits, n), range(hits + 1)) == pytest.approx(0.05)
    if hits:
        assert tail(lower(hits, n), range(hits, n + 1)) == pytest.approx(0.05)
    assert (lower(0, n), upper(n, n)) == (0.0, 1.0)


def test_a_zero_has_a_bound_and_meets_a_target_only_with_it():
    some = rows.rate(sections.rate(0, 300), "most")
    assert some.bound == pytest.approx(1 - 0.05 ** (1 / 300))
    row = rows.Row("q", "", "", "", {"r": some}, ((("r", "most", 0.01),), (("r", "most", 1e-4),)))
    assert (row.meets(0), row.meets(1)) == ("yes", "point only")
    assert rows.Row("q", "", "", "", {}, ((("r", "most", 1.0),), ())).meets(0) == "not measured"


# What evasion costs


def test_costs_have_closed_forms():
    plain = cost.QUERY + cost.ACCOUNT / (cost.RATE * cost.DAYS)
    assert cost.cost({}) == pytest.approx(1.0)
    for share in (0.5, 0.1):
        expected = (plain / share + cost.STAFF * plain) / (plain * (1 + cost.STAFF))
        assert cost.cost({"share": share}) == pytest.approx(expected)
    assert cost.cost({"pace": 0.5}) == pytest.approx(
        (cost.QUERY + cost.ACCOUNT / (cost.RATE * cost.DAYS * 2) + 2 * cost.STAFF * plain)
        / (plain * (1 + cost.STAFF))
    )
    dollars = cost.ACCOUNT + cost.OWN["payment"]
    assert cost.cost({"payment": 0.0}) == pytest.approx(
        (cost.QUERY + dollars / (cost.RATE * cost.DAYS) + cost.STAFF * plain) / (plain * (1 + cost.STAFF))
    )
    assert cost.cost({"paraphrase": "call"}) == pytest.approx(
        1 + 0.15 * cost.QUERY / (plain * (1 + cost.STAFF))
    )


def test_attacks_are_seeded_within_the_budget_and_as_large_as_the_harvest_asks():
    found = cost.search(5, 30, 1.0, 3.0)
    assert found == cost.search(5, 30, 1.0, 3.0)
    assert found != cost.search(6, 30, 1.0, 3.0)
    assert len(found) == 30
    assert all(1.0 < one.cost <= 3.0 and one.accounts >= cost.LEAST_ACCOUNTS for one in found)
    for one in found:
        distinct = one.accounts * one.knobs["rate"] * one.knobs["share"] / cost.WASTE[one.knobs["overlap"]]
        assert distinct == pytest.approx(cost.HARVEST * one.knobs["pace"], rel=0.02)


def test_every_evasion_is_one_that_the_simulator_has(tmp_path: Path):
    from spiritsafe.simulate._knobs import resolve  # noqa: PLC0415 - only here

    for one in [made for _, made in cost.single()] + cost.search(1, 50, 1.0, 24.0):
        resolve("A1", one.options(), 1.0)


def test_the_multiplier_is_the_cheapest_attack_that_halves_recall():
    told = attack.points([
        (trial(("A1", {}), seed=n, cost=price, archetype="A1", accounts=100, knobs={}), cell({"c": (hit, 100, "campaign")}))
        for n, (price, hit) in enumerate([(4.0, 49), (2.0, 50), (8.0, 0), (1.2, 100)])
    ])  # fmt: skip
    assert [one["cost"] for one in told] == [1.2, 2.0, 4.0, 8.0]
    one = attack.multiplier(told)
    assert (one["least"], one["mean"], one["tried"]) == (4.0, 3.0, 8.0)
    assert attack.multiplier(told[:2])["least"] is None


# The table says what the cells say


def test_detection_counts_campaigns_and_pools_by_accounts():
    some = [
        (trial(("A1", {})), cell({"a": (10, 10, "campaign"), "b": (4, 10, "campaign")}, rows=(100, 80, 60))),
        (trial(("A11", {})), cell({"c": (9, 10, "pool")}, rows=(100, 0, 0))),
    ]
    told = sections.detection(some)
    assert (told["found"]["hits"], told["found"]["n"]) == (2, 3)
    assert told["recall_mean"] == pytest.approx((1.0 + 0.4 + 0.9) / 3)
    assert told["recall_worst"] == 0.4
    assert told["purity_worst"] == pytest.approx(0.9)
    assert (told["exchange_precision"], told["exchange_recall"]) == (0.75, 0.3)
    assert told["customers_flagged"]["rate"] == 2 / 16


def test_the_worst_family_comes_first_by_organizations():
    at_size = [
        (trial(("reseller", {})), cell(families={"reseller": [40, 50, 1, 10], "ci_bots": [0, 2, 0, 2]})),
        (trial(("ci_bots", {})), cell(families={"ci_bots": [2, 50, 2, 10]})),
    ]
    told = sections.lookalikes(
        at_size, [(trial(), cell(families={"ci_bots": [0, 90, 0, 90], "hackathon": [0, 9, 0, 9]}))]
    )
    assert [one["family"] for one in told] == ["ci_bots", "reseller", "hackathon"]
    assert told[0]["sized"]["organizations"]["hits"] == 2
    assert told[0]["sized"]["organizations"]["n"] == 10
    assert told[0]["beside"]["organizations"]["n"] == 90
    assert told[2]["sized"] is None
    worst = sections.worst(told, at_size)
    assert worst
    assert (worst["family"], worst["organizations"]["hits"]) == ("ci_bots", 2)
    calm = [
        (
            trial(),
            cell(families={"ci_bots": [0, 90, 0, 90], "hackathon": [0, 9, 0, 9], "chat_users": [0, 1, 0, 1]}),
        )
    ]
    zero = sections.worst(sections.lookalikes([], calm), calm)
    assert zero
    assert (zero["family"], zero["organizations"]["n"]) == ("hackathon", 9)


def test_an_entry_is_false_when_half_of_it_is_innocent():
    some = [
        (trial(), cell(entries=[("campaign", 10, 5), ("pool", 9, 9)])),
        (trial(("A1", {})), cell({"c": (10, 10, "campaign")}, entries=[("campaign", 10, 4), ("campaign", 4, 4)])),
        (trial(seed=2), cell()),
    ]  # fmt: skip
    told = sections.discoveries(some)
    assert told["fdr"] == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    assert (told["false"], told["entries"], told["tainted"]) == (2, 3, 1)
    assert told["logs_with_false"]["hits"] == 2
    assert (told["attack_free_with_any"]["hits"], told["attack_free_with_any"]["n"]) == (1, 2)


def test_a_curve_shows_the_best_baseline_at_each_point():
    some = [
        (trial(("A1", {}), seed=n, x=x), cell({"c": (hit, 10, "campaign")}, detector=who))
        for n, (x, who, hit) in enumerate(
            [
                (1.0, "spiritsafe", 10),
                (0.5, "spiritsafe", 6),
                (1.0, "seat", 1),
                (1.0, "prada", 3),
                (0.5, "seat", 2),
            ]
        )
    ]
    told = sections.curve(some)
    assert [(one["x"], one["recall_mean"], one["best_baseline"]) for one in told] == [
        (0.5, 0.6, "seat"),
        (1.0, 1.0, "prada"),
    ]


# Runs


TINY = replace(
    menu.QUICK, name="tiny", background=400, curve_archetypes=(), archetype_seeds=0, pools=0, cheap=0, dear=0, fdr=2, floors=(),
    fdr_background=400,
)  # fmt: skip


def test_a_run_without_its_cells_is_void_and_says_so_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    result = tmp_path / "golden.json"
    given = ["--show", "--cells", str(tmp_path / "none"), "--docs", str(tmp_path), "--result", str(result)]
    assert golden.main(given) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| **VOID: every trial is there")
    written = (tmp_path / "benchmark.md").read_text("utf-8")
    assert "**VOID: every trial is there" in written
    assert written.count("not measured") >= 10
    assert {one["name"] for one in json.loads(result.read_text("utf-8"))["gates"] if not one["passed"]} > {
        "every trial is there",
        "the worst family is reported",
    }


def test_one_failing_gate_is_enough_and_none_is_valid():
    def one(*, passed: bool) -> dict[str, Any]:
        return {"name": "g", "passed": passed, "value": 0.9, "bound": 0.8, "detail": "volume separates A3"}

    assert page.status({"gates": [one(passed=True), one(passed=True)]}).startswith("valid")
    assert page.status({"gates": [one(passed=True), one(passed=False)]}) == "VOID: g (volume separates A3)"


def test_a_corpus_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert golden.main(["--corpus", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


@pytest.mark.long
def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path):
    cells = tmp_path / "cells.jsonl"
    some = menu.menu(TINY, 7)["static"]
    done: list[int] = []

    def complete() -> dict[str, Any]:
        done.clear()
        return store.complete(
            cells,
            some,
            str(shipped()),
            "v",
            dict.fromkeys(trials_limits(), 1e9),
            workers=1,
            tell=lambda at, _n, one, _r: done.append(at) if one else None,
        )

    told = complete()
    assert len(done) == 2
    assert not [one for one in told.values() if "error" in one]
    assert complete() == told
    assert done == []
    # A stop in the middle of a line costs that trial only.
    text = cells.read_text("utf-8")
    cells.write_text(text[: text.index("\n") + 40], "utf-8")
    again = complete()
    assert done == [2]
    assert set(again) == set(told)
    ours = {key: one["cells"][0]["families"] for key, one in told.items()}
    assert {key: one["cells"][0]["families"] for key, one in again.items()} == ours
    seen = sections.seen(again, some, "v")
    assert sections.detectors(seen)[0] == sections.OURS
    assert {who for who, _ in sections.detectors(seen)} == {"spiritsafe", *trials_limits()}
    assert sections.seen(again, some, "another version") == []


def trials_limits() -> list[str]:
    import baselines  # noqa: PLC0415 - heavy, and needed once

    return list(baselines.found())


def test_the_version_changes_with_the_corpus(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "data.jsonl").write_text('{"prompt": "x"}\n')
    first = trials.version(tmp_path)
    assert first == trials.version(tmp_path)
    (tmp_path / "a" / "data.jsonl").write_text('{"prompt": "y"}\n')
    assert first != trials.version(tmp_path)


def test_a_log_that_two_sections_use_is_made_once():
    told = menu.menu(menu.FULL, 1)
    keys = {name: {one.key("v") for one in some} for name, some in told.items()}
    assert keys["share"] & keys["archetype"]
    assert keys["accounts"] & keys["archetype"]


# Pictures


def test_a_chart_has_its_axes_its_legend_and_its_points():
    made = charts.draw(
        charts.Chart("n", "A title", "accounts", "recall of accounts", [charts.Line("ours", [(10, 0.0), (500, 1.0)])])
    )  # fmt: skip
    assert made.count("<circle") == 2
    for text in (
        "A title",
        "accounts (log scale)",
        "vertical: recall of accounts",
        "ours",
        "100 %",
        "prefers-color-scheme",
    ):
        assert text in made  # fmt: skip
    assert "nothing was measured" in charts.draw(charts.Chart("n", "t", "x", "y", [charts.Line("ours", [])]))


def test_a_large_background_is_told_with_a_bound_and_is_not_claimed_where_it_did_not_run():
    one = {
        "times": 1000,
        "exchanges": 12_654_321,
        "accounts": 1_000_500,
        "seed": 6,
        "campaigns": {"campaign-A1": {"accused": 499, "accounts": 500}},
        "innocent_accused": 0,
        "innocent": 1_000_000,
        "scan": {"seconds": 900.0, "peak_gb": 5.04},
    }
    told = crowd.sentence(one)
    assert "A1 499 of 500 accounts" in told
    assert f"0 of 1,000,000 (≤ {rows.percent(upper(0, 1_000_000))})" in told
    assert "15 minutes and 5.0 GB" in told
    assert "not measured" in crowd.sentence({})
