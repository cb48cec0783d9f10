"""The same input gives the same answer on DuckDB and on Spark: bit by bit, not nearly."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spiritsafe import pipeline, spread
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import InputChanged, InputError, MalformedRecord, UnknownFormat, UsageError

from .conftest import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from spiritsafe.engine.spark import Spark

pytestmark = pytest.mark.usefixtures("spark")

TEXTS = (
    "campaigns.json",
    "indicators.json",
    "candidates.json",
    "identifiers.jsonl",
    "report.html",
    "rejected.jsonl",
)
TABLES = ("accounts.parquet", "exchanges.parquet")


@pytest.fixture(scope="module")
def there(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The results of a scan on Spark, and its checkpoint."""
    folder = tmp_path_factory.mktemp("there")
    cluster = spread.Cluster(checkpoint=folder / "checkpoint")
    spread.scan([logs], folder / "out", cluster=cluster, settings=SETTINGS)
    return folder / "out", folder / "checkpoint"


def test_campaigns_accounts_evidence_and_every_other_output_are_equal(here: Path, there: tuple[Path, Path]):
    result = json.loads((here / "campaigns.json").read_text())
    assert [one["label"] for one in result["campaigns"]].count("campaign") == 1
    assert result["scanned"]["duplicates"] > 20
    assert result["scanned"]["rejected"] >= 3
    assert len(result["scanned"]["set_aside"]) == 1
    assert {path.name for path in here.iterdir()} == {path.name for path in there[0].iterdir()}
    for name in TEXTS:
        assert (here / name).read_bytes() == (there[0] / name).read_bytes(), name
    for name in TABLES:
        assert pq.read_table(here / name).equals(pq.read_table(there[0] / name)), name


def test_sketches_are_bit_equal_row_by_row(logs: Path, there: tuple[Path, Path], tmp_path: Path):
    with DuckDB(tmp_path, memory="500MB", threads=1) as engine:
        pipeline.ingest(engine, [logs], tmp_path, settings=SETTINGS)
    one = pq.read_table(tmp_path / "sketch.parquet").drop_columns(["row", "acc"])
    one = one.set_column(
        one.schema.get_field_index("source_file"), "source_file", one["source_file"].cast(pa.string())
    )
    parts: dict[str, Path] = {}
    for folder in (there[1] / "parts").iterdir():
        told = json.loads((folder / "part.json").read_text())
        if told["rows"]:
            parts[next(iter(told["scanned"]["formats"]))] = folder
    ordered = [parts[path] for path in sorted(parts)]
    many = pa.concat_tables([pq.read_table(path / "sketch.parquet") for path in ordered])
    assert many.drop_columns(["part", "place"]).equals(one)
    points = b"".join((path / "projection.bin").read_bytes() for path in ordered)
    assert points == (tmp_path / "projection.bin").read_bytes()


ASKED = {"format": None, "since": None, "until": None, "strict": False}


def test_a_second_scan_reads_no_text_again(
    logs: Path, there: tuple[Path, Path], spark: Spark, tmp_path: Path
):
    before = {path: path.stat().st_mtime_ns for path in (there[1] / "parts").glob("*/part.json")}
    assert [path.name for path in there[1].iterdir()] == ["parts"], "nothing else is left in the checkpoint"
    taken = spread.ingest(spark, [logs], tmp_path, there[1], asked=ASKED, settings=SETTINGS)
    after = {path: path.stat().st_mtime_ns for path in (there[1] / "parts").glob("*/part.json")}
    assert before == after
    assert {part.folder for part in taken.parts} == {path.parent for path in before}
    assert taken.rows == pq.read_table(there[0] / "exchanges.parquet").num_rows + 42


def small(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        line = {
            "time": 1_788_825_600_000 + number,
            "account_id": f"a{number % 7}",
            "prompt": f"What is {number}?",
        }
        (folder / f"{number:03}.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    return folder


def test_a_damaged_file_among_many_is_named_counted_and_set_aside(spark: Spark, tmp_path: Path):
    folder = small(tmp_path / "logs", 12)
    bad = [folder / "007.jsonl", folder / "009.parquet"]
    bad[0].write_bytes(
        gzip.compress(b'{"time": 1788825600000, "account_id": "a", "prompt": "x"}\n' * 9_999)[:-99]
    )
    bad[1].write_bytes(b"PAR1 is not enough")
    taken = spread.ingest(spark, [folder], tmp_path, tmp_path / "shared", asked=ASKED, settings=SETTINGS)
    assert sorted(taken.scanned["set_aside"]) == sorted(map(str, bad))
    assert "end early" in taken.scanned["set_aside"][str(bad[0])]
    assert (taken.scanned["files"], taken.scanned["accepted"], taken.rows) == (13, 11, 11)
    assert [int(part.before) for part in taken.parts] == list(range(11))
    with pytest.raises(InputError, match="end early"):
        spread.scan([bad[0]], tmp_path / "none", cluster=spread.Cluster(), settings=SETTINGS)
    assert not (tmp_path / "none").exists()


def refusals() -> list[Any]:
    def broken(folder: Path) -> dict[str, Any]:
        (folder / "000.jsonl").write_text(
            '{"time": 1788825600000, "account_id": 5, "prompt": "x"}\n', "utf-8"
        )
        return {"strict": True}

    def foreign(folder: Path) -> dict[str, Any]:
        assert folder.is_dir()
        return {"format": "canonical_parquet"}

    def unknown(folder: Path) -> dict[str, Any]:
        for path in folder.iterdir():
            path.write_text("nothing\n", "utf-8")
        return {}

    return [
        pytest.param(broken, MalformedRecord, "not a string", id="broken"),
        pytest.param(foreign, UnknownFormat, "is not canonical_parquet", id="foreign"),
        pytest.param(unknown, UnknownFormat, "no file is a log", id="unknown"),
    ]


@pytest.mark.parametrize(("spoil", "kind", "words"), refusals())
def test_what_stops_a_scan_here_stops_it_there(tmp_path: Path, spoil: Any, kind: type[Exception], words: str):
    folder = small(tmp_path / "logs", 2)
    options = spoil(folder)
    told: list[str] = []
    for number, scan in enumerate((pipeline.scan, spread.on("spark", "local[2]", [], None))):
        with pytest.raises(kind, match=words) as stopped:
            scan([folder], tmp_path / str(number), settings=SETTINGS, **options)
        told.append(str(stopped.value))
    assert told[0] == told[1]


def test_a_file_that_changed_since_it_was_listed_is_no_part(tmp_path: Path):
    from spiritsafe.spread import parts  # noqa: PLC0415

    path = small(tmp_path / "logs", 1) / "000.jsonl"
    item = {
        "path": str(path), "size": 1, "modified": 0, "format": None, "since": None, "until": None, "strict": False,
        "batch_rows": 100, "memory": "100MB", "folder": str(tmp_path / "parts" / "00"), "number": 0,
    }  # fmt: skip
    told = json.loads(next(parts.make(item)).column("told")[0].as_py())
    assert isinstance(parts.raised(told), InputChanged)
    assert list((tmp_path / "parts").iterdir()) == []


def test_no_exchange_at_all_gives_empty_results(tmp_path: Path):
    folder = small(tmp_path / "logs", 2)
    scan = spread.on("spark", "local[2]", [], tmp_path / "checkpoint")
    result = scan([folder], tmp_path / "out", settings=SETTINGS, until=0)
    assert (result["scanned"]["outside"], result["campaigns"]) == (2, [])
    assert pq.read_table(tmp_path / "out" / "exchanges.parquet").num_rows == 0


def test_options_that_fit_no_engine_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="no engine"):
        spread.on("flink", "", [], None)
    with pytest.raises(UsageError, match="no setting"):
        spread.on("spark", "local[2]", ["spark.ui.enabled"], None)
    with pytest.raises(UsageError, match="need --engine spark"):
        spread.on("duckdb", "local[2]", [], tmp_path)
