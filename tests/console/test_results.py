"""What the console reads: several result folders, the newest of each campaign, results that change or cannot be read."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from consoles import CAMPAIGN, result

from spiritsafe.console import results as room
from spiritsafe.console.pages.campaigns import PAGE, listed
from spiritsafe.console.results import Results

if TYPE_CHECKING:
    from pathlib import Path


def grown(whole: Any) -> Any:
    for entry in whole["campaigns"]:
        entry["exchanges"] += 1_000
    return {**whole, "campaigns": whole["campaigns"][:2]}


def both(folder: Path) -> Results:
    """Two weeks; the second tells two of three campaigns anew."""
    result(folder / "all" / "week-1")
    newer = result(folder / "all" / "week-2", grown)
    old = folder / "all" / "week-1" / "campaigns.json"
    os.utime(old, ns=(old.stat().st_atime_ns, newer.joinpath("campaigns.json").stat().st_mtime_ns - 10**9))
    return Results([folder / "all"], folder / "cache")


def test_of_a_campaign_in_several_runs_the_newest_counts(tmp_path: Path):
    found = both(tmp_path)
    assert [one.name for one in found.runs()] == ["week-2", "week-1"]
    rows = {one["campaign_id"]: one for one in found.queue().to_pylist()}
    assert sorted(one["run"] for one in rows.values()) == ["week-1", "week-2", "week-2"]
    assert found.queue("week-1").num_rows == 3
    assert found.queue("none").num_rows == 0
    newer, older = (found.campaign(run, CAMPAIGN) for run in ("week-2", "week-1"))
    assert newer is not None
    assert older is not None
    assert newer["exchanges"] == older["exchanges"] + 1_000
    assert found.campaign("week-2", "c-none") is None
    account = older["accounts"][0]["account_id"]
    assert [(one["run"], one["campaign_id"]) for one in found.of_account(account)] == [
        ("week-2", CAMPAIGN),
        ("week-1", CAMPAIGN),
    ]
    run = found.run("week-1")
    assert run is not None
    total, table = found.exchanges(run, {"account_id": account, "campaign_id": CAMPAIGN})
    assert (total, table.num_rows) == (3, 3)
    assert [one["exchanges"] for one in found.streams(run, account)] == [2, 2]
    assert found.members(run, CAMPAIGN)["membership"][0].as_py() == 1.0


def test_a_result_that_changes_is_read_again_and_a_broken_one_is_told(tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(room, "LOOK", 0.0)
    found = both(tmp_path)
    before = found.generation, found.queue().num_rows
    path = tmp_path / "all" / "week-2" / "campaigns.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "campaigns": []}))
    assert (found.queue().num_rows, found.generation > before[0]) == (3, True)
    assert {one["run"] for one in found.queue().to_pylist()} == {"week-1"}
    path.write_text("{ half")
    assert found.queue().num_rows == 3
    assert "not a scan's result" in found.troubles["week-2"]
    path.unlink()
    assert (len(found.runs()), found.troubles) == (1, {})


def test_the_queue_filters_sorts_and_pages(tmp_path: Path):
    queue = both(tmp_path).queue()
    states = {CAMPAIGN: ("looking", "ana")}

    def ids(**asked: str) -> list[str]:
        return [one["campaign_id"] for one in listed(queue, states, asked)["rows"]]

    everything = ids(state="all", label="all")
    assert len(everything) == 3
    assert ids(state="all", label="all", order="ascending") == everything[::-1]
    assert ids(state="looking") == [CAMPAIGN]
    assert CAMPAIGN not in ids(state="new", label="all")
    assert ids(state="all", q=CAMPAIGN[:6].upper()) == [CAMPAIGN]
    assert ids(state="all", q="(", sort="nothing") == []
    assert len(ids(state="all", label="reseller")) == 1
    assert ids(state="all", label="all", offset=str(PAGE)) == []
    assert ids(state="all", label="all", offset="x" * 20) == everything
    told = listed(queue, states, {"label": "all", "state": "dismissed"})
    assert (told["total"], told["counts"]) == (0, {"new": 2, "looking": 1, "confirmed": 0, "dismissed": 0})
    empty = listed(queue.slice(0, 0), {}, {})
    assert (empty["rows"], empty["total"]) == ([], 0)
