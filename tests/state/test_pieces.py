"""Large files in pieces: every line once, with its number; damaged ones among many taken back."""

from __future__ import annotations

import gzip
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from spiritsafe import pipeline, sources
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import InputError
from spiritsafe.settings import Settings
from spiritsafe.sources import _cuts, _lines


def listed(path: Path) -> sources.LogFile:
    facts = path.stat()
    return sources.LogFile(str(path), facts.st_size, facts.st_mtime_ns, named=True)


@pytest.mark.parametrize("seed", range(4))
def test_every_line_is_in_one_piece_with_its_number(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    lengths = rng.choice([0, 1, 3, 40, 700], size=60)
    body = b"\xef\xbb\xbf" * (seed % 2) + b"".join(
        os.urandom(n).hex().encode()[:n] + b"\n" for n in lengths.tolist()
    )
    body += b"no end" * (seed // 2)
    path = tmp_path / "x"
    path.write_bytes(body)
    whole = [line for one in _lines.lines(str(path), 7) for line in one.raw.to_pylist()]
    edges = sorted({0, len(body), *rng.integers(0, len(body), 12).tolist()})
    found: list[bytes] = []
    for begin, end in pairwise(edges):
        first = len(found) + 1
        for size in (1 << 20, 5):
            blocks = [bytes(one) for one, _ in sources._blocks.blocks(str(path), size, (begin, end))]  # pyright: ignore[reportAttributeAccessIssue]
            assert sum(one.count(b"\n") for one in blocks) == sources.ends(str(path), (begin, end))
        for one in _lines.lines(str(path), 7, (begin, end), first):
            assert one.first == len(found) + 1
            found += one.raw.to_pylist()
    assert found == whole


def test_only_what_can_be_cut_is_cut_and_always_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_cuts, "PIECE", 2_000)
    row: dict[str, Any] = {"time": 1_788_825_600_000, "account_id": "a", "prompt": "x" * 90}
    lines = (json.dumps(row) + "\n").encode() * 40
    plain, packed, document = tmp_path / "a.jsonl", tmp_path / "b.gz", tmp_path / "c.json"
    plain.write_bytes(lines)
    packed.write_bytes(gzip.compress(os.urandom(3_000).hex().encode() + b"\n" + lines))
    document.write_text(json.dumps([row] * 40, indent=1))
    spans = sources.cuts(listed(plain))
    assert spans == [(0, 2_000), (2_000, 4_000), (4_000, len(lines))]
    assert [sources.cuts(listed(path), "canonical_jsonl") for path in (packed, document)] == [[None], [None]]
    (tmp_path / "no.log").write_bytes(b"words\n" * 900)
    assert sources.cuts(listed(tmp_path / "no.log")) == [None]
    import pyarrow as pa  # noqa: PLC0415

    table = pa.table(
        {"time": [1] * 99, "account_id": ["a"] * 99, "prompt": [os.urandom(30).hex() for _ in range(99)]}
    )
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=9, compression="none", use_dictionary=False)
    groups = sources.cuts(listed(tmp_path / "d.parquet"))
    assert len(groups) > 2
    assert [a for one in groups if one for a in range(*one)] == list(range(11))


def line(number: int, account: str) -> bytes:
    row = {"time": 1_788_825_600_000 + number, "account_id": account, "prompt": f"What is {number}?"}
    return (json.dumps(row) + "\n").encode()


def test_a_damaged_file_is_taken_back_wherever_it_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of one of four files the beginning is read, and counted, before its damage shows; of another nothing."""
    monkeypatch.setattr("spiritsafe.sources._batches.BLOCK", 1 << 14)
    monkeypatch.setattr("spiritsafe.sources._blocks.blocks.__defaults__", (1 << 14, None))
    monkeypatch.setattr("spiritsafe.sources._sample._HEAD", 1 << 10)
    logs = tmp_path / "logs"
    logs.mkdir()
    noise = [line(number, os.urandom(300).hex()) for number in range(200)]
    (logs / "a.jsonl").write_bytes(line(1, "first") + b"broken\n")
    (logs / "b.jsonl.gz").write_bytes(gzip.compress(b"[]\n" + b"".join(noise))[:-9])
    (logs / "c.jsonl").write_bytes(line(2, "first") + b"broken, too\n" + line(3, "third"))
    (logs / "d.parquet").write_bytes(b"PAR1 is not enough")
    told: list[Any] = []
    for bad in (("b.jsonl.gz", "d.parquet"), ()):
        work = tmp_path / f"work-{len(told)}"
        work.mkdir()
        for name in () if bad else ("b.jsonl.gz", "d.parquet"):
            (logs / name).unlink()
        with DuckDB(work, memory="200MB", threads=2) as engine:
            taken = pipeline.ingest(engine, [logs], work, settings=Settings(batch_rows=50))
            told.append(
                (taken, pq.read_table(work / "sketch.parquet"), (work / "rejected.jsonl").read_text())
            )
            assert [Path(path).name for path in taken.scanned["set_aside"]] == list(bad)
    (with_bad, sketch, rejected), (without, wanted, expected) = told
    assert sketch.drop_columns(["source_file"]).equals(wanted.drop_columns(["source_file"]))
    assert (rejected, with_bad.accounts, with_bad.rows) == (expected, without.accounts, 3)
    assert {**with_bad.scanned, "files": 2, "set_aside": {}} == without.scanned
    assert with_bad.projections()[:].tolist() == without.projections()[:].tolist()


def test_strict_and_a_single_file_stop_at_damage(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(line(1, "first"))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(line(2, "a") * 99)[:-9])
    for inputs, strict in (([tmp_path], True), ([tmp_path / "b.jsonl.gz"], False)):
        with pytest.raises(InputError, match="end early") as stopped:
            pipeline.scan(inputs, tmp_path / "out", settings=Settings(), strict=strict)
        assert (stopped.value.where, stopped.value.exit_code) == (str(tmp_path / "b.jsonl.gz"), 2)
        assert "copy it again" in (stopped.value.hint or "")
    assert not (tmp_path / "out").exists()
