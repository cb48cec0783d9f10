"""Files, folders, globs, compression; and what happens when they are damaged, change, or are not logs."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from spiritsafe import schema
from spiritsafe.errors import InputChanged, InputError, MalformedRecord, StorageError, UnknownFormat
from spiritsafe.sources import _lines, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.engine.duckdb import DuckDB


def record(**changes: Any) -> dict[str, Any]:
    return {"time": "2026-03-01T12:00:00Z", "account_id": "a1", "prompt": "Hello", **changes}


def text(*records: dict[str, Any]) -> bytes:
    return "".join(json.dumps(item) + "\n" for item in records).encode()


def parquet(path: Path, **columns: Any) -> Path:
    whole = {"time": [1772366400000], "account_id": ["a1"], "prompt": ["Hello"], **columns}
    pq.write_table(pa.table(whole), path)
    return path


def test_batches_have_exactly_the_canonical_columns(log: Callable[..., Path], engine: DuckDB, tmp_path: Path):
    reading = read([log("a.jsonl", *[record()] * 5)], engine=engine, rejects=tmp_path / "r", batch_rows=2)
    batches = list(reading)
    assert sum(batch.num_rows for batch in batches) == 5
    assert max(batch.num_rows for batch in batches) == 2
    assert batches[0].schema.names == [*schema.NAMES, "source_file", "source_line"]
    assert [str(batches[0].schema.field(name).type) for name in ("time", "account_created", "tools", "turns")] == [
        "int64", "int64", "list<item: string>", "int64",
    ]  # fmt: skip
    assert reading.present == {"time", "exchange_id", "account_id", "prompt"}
    assert not (tmp_path / "r").exists()


def test_compression_is_told_from_content(take: Callable[..., Any], tmp_path: Path):
    plain = text(*[record(prompt=f"p{number}") for number in range(200)])
    (tmp_path / "a.log").write_bytes(gzip.compress(plain) + gzip.compress(plain))
    (tmp_path / "b.log").write_bytes(zstandard.compress(plain) + zstandard.compress(plain))
    (tmp_path / "c.gz").write_bytes(b"\xef\xbb\xbf" + plain)
    result = take(tmp_path)
    assert [row["prompt"] for row in result.rows] == [f"p{number}" for number in range(200)] * 5
    assert [row["source_line"] for row in result.rows[200:400]] == list(range(201, 401))
    assert set(result.scanned["formats"].values()) == {"canonical_jsonl"}


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_compression_names_the_file(
    pack: Callable[[bytes], bytes], damage: str, take: Callable[..., Any], tmp_path: Path
):
    packed = pack(os.urandom(300_000).hex().encode() + b"\n" + text(record()))
    half = len(packed) // 2
    (tmp_path / "x.log").write_bytes(
        packed[:half] if damage == "cut" else packed[:half] + b"\xff\x00" * 8 + packed[half + 16 :]
    )
    with pytest.raises(InputError) as caught:
        take(tmp_path / "x.log", format="canonical_jsonl")
    assert caught.value.where == str(tmp_path / "x.log")
    if damage == "cut":
        assert "end early" in caught.value.message


@pytest.mark.parametrize("cut", [6, 0.5, 0.99])
def test_a_cut_parquet_file_names_the_file(cut: float, take: Callable[..., Any], tmp_path: Path):
    path = parquet(tmp_path / "x.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut if cut > 1 else len(whole) * cut)])
    with pytest.raises(InputError, match="cannot be read") as caught:
        take(path)
    assert caught.value.where == str(path)


def test_folders_are_walked_in_order_and_notes_are_made(
    take: Callable[..., Any], log: Callable[..., Path], tmp_path: Path
):
    for name in ("d/b.jsonl", "d/a/c.jsonl", "d/.hidden", "d/_SUCCESS", "d/_tmp/x.jsonl", "d/empty.jsonl"):
        log(name, *([] if "empty" in name else [record(prompt=name)]))
    log("d/readme.txt", "just words")
    result = take(tmp_path / "d")
    assert [row["prompt"] for row in result.rows] == ["d/a/c.jsonl", "d/b.jsonl"]
    assert sorted(os.path.relpath(path, tmp_path) for path in result.scanned["skipped"]) == [
        "d/.hidden", "d/_SUCCESS", "d/_tmp",
    ]  # fmt: skip
    assert list(result.scanned["set_aside"]) == [str(tmp_path / "d/readme.txt")]
    assert result.scanned["formats"][str(tmp_path / "d/empty.jsonl")] == "empty"
    with pytest.raises(UnknownFormat, match="no log format"):
        take(tmp_path / "d", strict=True)
    assert len(take(tmp_path / "d/.hidden", tmp_path / "d/*.jsonl", tmp_path / "d/b.jsonl").rows) == 2


def test_what_is_not_there_or_no_log_is_said_at_once(
    take: Callable[..., Any], log: Callable[..., Path], tmp_path: Path
):
    (tmp_path / "void").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for wrong, message in (
        ("none", "no such"),
        ("*.none", "no file matches"),
        ("void", "holds no log"),
        ("pipe", "ordinary"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            take(tmp_path / wrong)
        assert wrong in str(caught.value.where)
    with pytest.raises(UnknownFormat, match="foo"):
        take(log("a.jsonl", {"foo": 1}))
    with pytest.raises(UnknownFormat, match="no format is called"):
        take(log("a.jsonl", record()), format="nonsense")


def test_zero_rows_are_a_result(take: Callable[..., Any], log: Callable[..., Path], tmp_path: Path):
    pq.write_table(pq.read_table(parquet(tmp_path / "p")).slice(0, 0), tmp_path / "zero.parquet")
    for path in (log("zero.jsonl"), tmp_path / "zero.parquet"):
        result = take(path)
        assert (result.rows, result.scanned["records"], result.present) == ([], 0, set())


@pytest.mark.parametrize("change", ["grows", "vanishes", "is replaced"])
def test_a_file_that_changes_while_read_is_named(
    change: str, log: Callable[..., Path], engine: DuckDB, tmp_path: Path
):
    first = log("d/a.jsonl", *[record()] * 10)
    second = log("d/b.jsonl", record())
    reading = read([tmp_path / "d"], engine=engine, rejects=tmp_path / "r", batch_rows=2)
    if change == "grows":
        with first.open("a") as file:
            file.write(json.dumps(record()) + "\n")
    elif change == "vanishes":
        second.unlink()
    else:
        second.write_bytes(text(record(prompt="other")))
    with pytest.raises(InputChanged) as caught:
        list(reading)
    assert caught.value.where == str(first if change == "grows" else second)


def test_strict_stops_at_the_first_bad_record(take: Callable[..., Any], log: Callable[..., Path]):
    path = log("a.jsonl", record(), record(prompt=None), "x")
    with pytest.raises(MalformedRecord, match="prompt is missing") as caught:
        take(path, strict=True)
    assert caught.value.where == f"{path}:2"


def test_rejects_that_cannot_be_written_are_an_error(
    log: Callable[..., Path], engine: DuckDB, tmp_path: Path
):
    path = log("a.jsonl", record(), "x")
    with pytest.raises(StorageError, match="set aside"):
        list(read([path], engine=engine, rejects=tmp_path / "none" / "r.jsonl"))


def test_since_and_until_are_counted(take: Callable[..., Any], log: Callable[..., Path]):
    path = log(
        "a.jsonl",
        *[record(time=1772366400000 + step) for step in range(5)],
        record(time="9999-01-01T00:00:00Z"),
    )
    result = take(path, since=1772366400001000, until=1772366400003000)
    assert [row["time"] for row in result.rows] == [1772366400001000, 1772366400002000]
    assert (result.scanned["records"], result.scanned["accepted"], result.scanned["outside"]) == (6, 2, 4)
    assert take(path).rows[-1]["time"] == 253370764800000000


def test_long_records_pass_and_endless_ones_are_set_aside(
    take: Callable[..., Any], log: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    path = log("a.jsonl", record(prompt="x" * 2_000_000), record(prompt="y" * 30_000_000), record())
    assert [len(row["prompt"]) for row in take(path).rows] == [2_000_000, 30_000_000, 5]
    monkeypatch.setattr(_lines, "LONGEST", 20 << 20)
    result = take(path)
    assert [len(row["prompt"]) for row in result.rows] == [2_000_000, 5]
    assert [(item["line"], item["reason"]) for item in result.rejects] == [
        (2, "the record is longer than 20 MB")
    ]
    assert result.rows[1]["source_line"] == 3


def test_a_json_array_over_several_lines_is_read(take: Callable[..., Any], tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([record(), record(prompt=None), record(prompt="x\ty")], indent=2))
    result = take(path)
    assert [(row["prompt"], row["source_line"]) for row in result.rows] == [("Hello", 1), ("x\ty", 3)]
    assert [item["line"] for item in result.rejects] == [2]


def test_parquet_types_come_near(take: Callable[..., Any], tmp_path: Path):
    seconds = pa.array([1772366400], pa.timestamp("s"))
    for time in (seconds, seconds.cast(pa.timestamp("ns", "Europe/Paris")), ["2026-03-01T13:00:00+01:00"],
                 [1772366400000], [1772366400000.0]):  # fmt: skip
        path = parquet(
            tmp_path / "a.parquet", time=time, account_id=pa.array(["a1"]).dictionary_encode(), n=pa.array([2], pa.int8()),
            prompt=pa.array(["Hello"], pa.large_string()), plan=pa.nulls(1), tools=[["x", None]], other=[1],
            temperature=["0.5"], status=[200.0],
        )  # fmt: skip
        result = take(path)
        row = {key: value for key, value in result.rows[0].items() if not key.startswith("source_")}
        assert len(row.pop("exchange_id")) == 33
        assert row == {
            "time": 1772366400000000, "account_id": "a1", "prompt": "Hello", "n": 2, "tools": ["x", None],
            "temperature": 0.5, "status": 200,
        }  # fmt: skip
        assert result.scanned["unknown_columns"] == {"other": 1}


def test_parquet_rows_are_rejected_by_number_and_text_is_mended(take: Callable[..., Any], tmp_path: Path):
    broken = pa.array([b"a", b"\xff\xfe", None, b"d"], pa.binary())
    path = parquet(
        tmp_path / "a.parquet", time=[1772366400000] * 4, account_id=["a", "b", "c", None], prompt=broken
    )
    result = take(path)
    assert [row["prompt"] for row in result.rows] == ["a", "\ufffd\ufffd"]
    assert [(item["line"], item["reason"]) for item in result.rejects] == [
        (3, "prompt is missing"),
        (4, "account_id is missing"),
    ]
    assert result.scanned["repaired"] == 1
    with pytest.raises(InputError, match="column prompt"):
        take(parquet(tmp_path / "b.parquet", prompt=[["x"]]))


def test_the_same_rows_come_whatever_the_threads_and_batches(
    log: Callable[..., Path], engine: DuckDB, tmp_path: Path
):
    for number in range(6):
        log(
            f"d/{number}.jsonl",
            *[record(prompt=f"{number}-{line}") if line % 7 else "bad" for line in range(50)],
        )
    seen = []
    for size in (7, 65_536):
        reading = read([tmp_path / "d"], engine=engine, rejects=tmp_path / "r.jsonl", batch_rows=size)
        table = pa.Table.from_batches(list(reading))
        seen.append(
            (table.cast(table.schema).to_pylist(), (tmp_path / "r.jsonl").read_text(), reading.scanned)
        )
    assert seen[0] == seen[1]


def test_progress_reaches_the_end(log: Callable[..., Path], engine: DuckDB, tmp_path: Path):
    paths = [log("a.jsonl", *[record()] * 10), parquet(tmp_path / "b.parquet"), log("c.jsonl", record())]
    told: list[tuple[str, int, int]] = []
    list(read(paths, engine=engine, rejects=tmp_path / "r", progress=lambda *step: told.append(step)))
    total = sum(path.stat().st_size for path in paths)
    assert told[-1] == (str(paths[-1]), total, total)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
