"""The main job end to end, on the committed demo log, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from spiritsafe import pipeline
from spiritsafe.errors import InputError, UsageError
from spiritsafe.settings import Settings

DEMO = Path(__file__).parents[1] / "demo"
DAY = DEMO / "logs" / "2026-09-07.jsonl.gz"
"""A quarter of the demo, with two campaigns and two resellers: enough where a scan is compared with itself."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, pipeline.scan([DEMO / "logs"], out, settings=Settings())


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("day") / "out"
    result = pipeline.scan([DAY], out, settings=Settings())
    assert {one["label"] for one in result["campaigns"]} == {"campaign", "reseller"}
    return out


def test_the_demo_finds_exactly_the_campaigns_and_accuses_nobody_else(
    demo: tuple[Path, dict[str, Any]],
) -> None:
    out, result = demo
    truth = pq.read_table(DEMO / "truth.parquet").to_pylist()
    planted: dict[str, set[str]] = {}
    for row in truth:
        if row["account_campaign"] is not None:
            planted.setdefault(row["account_campaign"], set()).add(row["account_id"])
    found = [
        {account["account_id"] for account in entry["accounts"]}
        for entry in result["campaigns"]
        if entry["label"] == "campaign"
    ]
    assert len(found) == len(planted) == 3
    for accounts in planted.values():
        best = max(found, key=lambda one, accounts=accounts: len(one & accounts))
        assert len(best & accounts) >= 0.95 * len(accounts)
        assert len(best - accounts) <= 0.005 * len(best)
    accused = pq.read_table(out / "accounts.parquet").filter(pc.field("label") == "campaign")
    assert set(accused.column("account_id").to_pylist()) <= set().union(*planted.values())


def test_exchanges_of_the_resellers_customers_stay_out_of_the_campaign(
    demo: tuple[Path, dict[str, Any]],
) -> None:
    out, _ = demo
    told = {
        row["exchange_id"]: row["campaign_id"] for row in pq.read_table(out / "exchanges.parquet").to_pylist()
    }
    truth = pq.read_table(DEMO / "truth.parquet").to_pylist()
    assert set(told) == {row["exchange_id"] for row in truth}
    wrong = sum(told[row["exchange_id"]] is not None for row in truth if row["campaign"] is None)
    right = sum(told[row["exchange_id"]] is not None for row in truth if row["campaign"] is not None)
    assert wrong <= 0.005 * right
    assert right >= 0.9 * sum(row["campaign"] is not None for row in truth)


def test_the_same_input_and_seed_give_the_same_bytes(day: Path, tmp_path: Path) -> None:
    pipeline.scan([DAY], tmp_path / "again", settings=Settings(threads=1, batch_rows=1250))
    for name in ("campaigns.json", "indicators.json", "report.html"):
        assert (tmp_path / "again" / name).read_bytes() == (day / name).read_bytes(), name


def _blas() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_small_matrices_are_not_spread_over_threads(tmp_path: Path) -> None:
    seen: dict[str, set[int]] = {}
    with threadpool_limits(2, user_api="blas"):
        before = _blas()
        pipeline.scan(
            [DAY],
            tmp_path / "out",
            settings=Settings(),
            progress=lambda stage, *_: seen.update({stage: _blas()}),
        )
        assert _blas() == before, "what else the process does has its threads again"
    assert seen["looking for groups"] == seen["testing groups"] == {1}
    assert before == {2} or os.cpu_count() == 1


def test_outputs_show_no_prompt_that_only_one_account_sent(demo: tuple[Path, dict[str, Any]]) -> None:
    out, result = demo
    assert result["campaigns"]
    assert "specimens" not in (out / "campaigns.json").read_text("utf-8")
    for entry in json.loads((out / "indicators.json").read_text("utf-8"))["indicators"]:
        common = {"indicator_id", "campaign_id", "kind", "least", "elsewhere", "valid_from"}
        kind = entry["kind"]
        own = {
            "template": {"anchors", "exchanges"},
            "skeleton": {"values", "exchanges"},  # of several members each: nobody's own words
        }.get(kind, {"values", "parties"})
        assert set(entry) == common | own
        long = 16 if kind == "skeleton" else 64
        assert all(len(value) == long for value in entry.get("values", ()))


def test_no_exchange_and_one_exchange_have_a_defined_outcome(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    one = tmp_path / "one.jsonl"
    one.write_text('{"time": "2026-01-01T00:00:00Z", "account_id": "a", "prompt": "hello"}\nnot json\n')
    result = pipeline.scan([one], tmp_path / "out", settings=Settings())
    assert result["campaigns"] == []
    assert result["scanned"]["rejected"] == 1
    reject = json.loads((tmp_path / "out" / "rejected.jsonl").read_text())
    assert reject["line"] == 2
    assert pq.read_table(tmp_path / "out" / "accounts.parquet").num_rows == 1


def test_a_folder_that_is_no_result_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="not an earlier result"):
        pipeline.scan([DEMO / "logs"], tmp_path, settings=Settings())
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises((InputError, UsageError), match="nowhere"):
        pipeline.scan([tmp_path / "nowhere.jsonl"], tmp_path / "out", settings=Settings())
    assert not (tmp_path / "out").exists()


def test_killed_and_run_again(tmp_path: Path, day: Path) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-c",
        "from spiritsafe.cli import main; main()",
        "scan",
        str(DAY),
        "--out",
        str(out),
        "--json",
    ]
    victim = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.partial-*/sketch.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert not out.exists()
    done = subprocess.run([*command, "--exit-code"], capture_output=True, check=False)
    assert done.returncode == 3
    assert (out / "campaigns.json").read_bytes() == (day / "campaigns.json").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
