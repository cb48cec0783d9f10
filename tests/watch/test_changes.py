"""Which campaign of a step is which of the step before."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from spiritsafe.watch import changes as module

HOUR = 3_600_000_000


def follow(before: list[module.Case], campaigns: list[dict[str, Any]], now: str, since: str = "0") -> Any:
    return module.follow(before, campaigns, since=since, now=now)


def entry(identifier: str, accounts: str, label: str = "campaign") -> dict[str, Any]:
    members = [{"account_id": account, "membership": 1.0} for account in accounts]
    return {"campaign_id": identifier, "label": label, "accounts": members, "exchanges": len(accounts)}


def test_a_case_keeps_its_name_while_it_grows_and_is_told_when_accused():
    cases, changes = follow([], [entry("c-1", "abcd", "insufficient")], "1")
    assert [(one["case"], one["change"]) for one in changes] == [("c-1", ["new"])]
    cases, changes = follow(cases, [entry("c-2", "abcdef")], "2")
    assert (cases[0].case, cases[0].first_told, cases[0].first_accused) == ("c-1", "1", "2")
    assert changes[0]["change"] == ["accused", "grown"]
    assert changes[0]["previous"] == {"campaign_id": "c-1", "label": "insufficient", "accounts": 4}
    cases, changes = follow(cases, [entry("c-3", "abcdef")], "3")
    assert (cases[0].campaign_id, changes) == ("c-3", [])
    cases, changes = follow(cases, [], "4")
    assert [(one["case"], one["change"]) for one in changes] == [("c-1", ["ended"])]
    cases, changes = follow(cases, [], "5")
    assert ([case.ended for case in cases], changes) == (["4"], [])


def test_a_case_found_again_has_its_name_again_for_a_windows_length():
    cases, _ = follow([], [entry("c-1", "abcd")], "1")
    cases, _ = follow(cases, [], "2")
    again, changes = follow(cases, [entry("c-2", "abcde")], "3")
    assert [(one["case"], one["change"]) for one in changes] == [("c-1", ["again", "grown"])]
    assert (again[0].first_accused, again[0].ended) == ("1", None)
    cases, _ = follow(cases, [], "4", since="3")
    assert cases == []


def test_a_split_case_stays_with_its_larger_part_and_a_merged_one_with_its_larger_source():
    cases, _ = follow([], [entry("c-1", "abcdefgh")], "1")
    cases, changes = follow(cases, [entry("c-2", "abc"), entry("c-3", "defgh")], "2")
    assert [case.case for case in cases] == ["c-2", "c-1"]
    assert [one["change"] for one in changes] == [["new", "accused"], ["shrunk"]]
    cases, changes = follow(cases, [entry("c-4", "abcdefgh")], "3")
    assert [(case.case, case.ended) for case in cases] == [("c-1", None), ("c-2", "3")]
    assert [one["change"] for one in changes] == [["grown"], ["ended"]]


def test_strangers_are_no_case_together():
    cases, _ = follow([], [entry("c-1", "abcdef")], "1")
    cases, changes = follow(cases, [entry("c-2", "efxyzu")], "2")
    assert [one["change"] for one in changes] == [["new", "accused"], ["ended"]]


def test_a_growing_campaign_is_one_case_over_real_steps(parts: list[pa.Table], moments: Any, field: Any):
    for until in (36, 48):
        # Each step by a watch of its own: what is known of cases lies in the results.
        with field.watch() as watch:
            for number in range(until - 36 and 36, until, 4):
                field.write(pa.concat_tables(parts[number : number + 4]), f"{number:02}.parquet")
            now = int(moments[: sum(map(len, parts[:until]))].max()) + 1
            field.take(watch, now=now)
            watch.campaigns(now=now)
    told = json.loads((field.out / "watch.json").read_text("utf-8"))
    (case,) = [one for one in told["cases"] if one["label"] == "campaign"]
    changes = [json.loads(line) for line in (field.out / "changes.jsonl").read_text("utf-8").splitlines()]
    mine = [one for one in changes if one["case"] == case["case"]]
    assert case["case"] == mine[0]["campaign_id"] != case["campaign_id"]
    assert [one["change"] for one in mine if "accused" in one["change"]] == [["new", "accused"]]
    assert case["first_accused"] == mine[0]["time"] < told["time"]
