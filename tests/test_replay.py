"""A dry run sees each exchange of a log once, with who asked and what an indicator can match, and leaves nothing."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spiritsafe import pipeline
from spiritsafe.errors import InputError
from spiritsafe.model import Caller, Order
from spiritsafe.orders.book import Book
from spiritsafe.settings import Settings

DAY = str(Path(__file__).parent.parent / "demo" / "logs" / "2026-09-07.jsonl.gz")
NOW = 1_790_000_000_000_000


def test_a_replay_gives_callers_and_fingerprints_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    batches = list(pipeline.replay([DAY], settings=Settings(batch_rows=1_024)))
    assert len(batches) > 1
    log = pa.Table.from_batches(batches)
    assert {one.name for one in fields(Caller)} <= set(log.column_names)
    assert not {"prompt", "system", "response"} & set(log.column_names)
    assert list((tmp_path / "scratch").iterdir()) == []
    record = pipeline.scan([DAY], tmp_path / "out", settings=Settings())
    assert log.num_rows == record["scanned"]["accepted"]
    # The requests that a list of accounts would touch are those that the scan saw of them.
    accused = {one["account_id"] for one in record["campaigns"][0]["accounts"]}
    order = Order("o", "c", "budget", "accounts", frozenset(accused), "r", "e", NOW, NOW + 1)
    book = Book([order])
    count = pc.value_counts(log.column("account_id").combine_chunks().cast(pa.string()))
    touched = sum(
        one["counts"].as_py() for one in count if book.applying((), Caller(one["values"].as_py()), NOW)
    )
    told = pq.read_table(tmp_path / "out" / "exchanges.parquet").column("account_id").to_pylist()
    assert touched == sum(name in accused for name in told) + record["scanned"]["duplicates"] > 0


def test_a_replay_that_is_left_early_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    replay = pipeline.replay([DAY], settings=Settings(batch_rows=1_000))
    assert next(iter(replay)).num_rows > 0
    del replay
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_log_is_named(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("no log\n")
    with pytest.raises(InputError, match=r"a\.jsonl"):
        list(pipeline.replay([str(tmp_path / "a.jsonl")], settings=Settings()))
