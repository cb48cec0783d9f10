"""The same input gives the same answer on DuckDB and on Spark: bit by bit, not nearly."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spiritsafe import pipeline, spread
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import InputChanged, InputError, MalformedRecord, UnknownFormat, UsageError
from spiritsafe.spread.build import builder
from spiritsafe.spread.taken import Spread

from .conftest import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.stored import Ingest
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
COLUMNS = (
    "acc", "time", "exact", "live", "template", "roles", "near", "topic", "combination", "party", "row_party",
)  # fmt: skip
ASKED: dict[str, Any] = {"format": None, "since": None, "until": None, "strict": False}
TABLES = ("accounts.parquet", "exchanges.parquet")


@dataclass(frozen=True)
class Scan:
    """What one scan left: outputs, stage A, stage B."""

    out: Path
    taken: Ingest
    log: Log


@pytest.fixture(scope="module")
def here(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """A scan on DuckDB."""
    work = tmp_path_factory.mktemp("here")
    with DuckDB(work, memory="500MB", threads=1) as engine:
        taken = pipeline.ingest(engine, [logs], work, settings=SETTINGS)
        result = pipeline.conclude(engine, taken, settings=SETTINGS)
    assert result.log is not None
    return Scan(work / "final", taken, result.log)


@pytest.fixture(scope="module")
def there(logs: Path, spark: Spark, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """A scan on Spark, whose views are still there."""
    work, run, shared = (tmp_path_factory.mktemp(name) for name in ("there", "run", "shared"))
    taken = spread.ingest(spark, [logs], work, shared, asked=ASKED, settings=SETTINGS)
    taken.make = builder(spark, run, "300MB")
    result = pipeline.conclude(spark, taken, settings=SETTINGS)
    assert result.log is not None
    return Scan(work / "final", taken, result.log)


def test_campaigns_accounts_evidence_and_every_other_output_are_equal(here: Scan, there: Scan):
    result = json.loads((here.out / "campaigns.json").read_text())
    assert [one["label"] for one in result["campaigns"]].count("campaign") == 1
    assert result["scanned"]["duplicates"] > 20
    assert result["scanned"]["rejected"] >= 3
    assert len(result["scanned"]["set_aside"]) == 1
    assert {path.name for path in here.out.iterdir()} == {path.name for path in there.out.iterdir()}
    for name in TEXTS:
        assert (here.out / name).read_bytes() == (there.out / name).read_bytes(), name
    for name in TABLES:
        assert pq.read_table(here.out / name).equals(pq.read_table(there.out / name)), name


def folders(scan: Scan) -> list[Path]:
    assert isinstance(scan.taken, Spread)
    return [part.folder for part in scan.taken.parts]


def test_sketches_are_bit_equal_row_by_row(here: Scan, there: Scan):
    one = pq.read_table(here.taken.work / "sketch.parquet").drop_columns(["row", "acc"])
    index = one.schema.get_field_index("source_file")
    one = one.set_column(index, "source_file", one["source_file"].cast(pa.string()))
    files = [path / "sketch.parquet" for path in folders(there)]
    many = pa.concat_tables([pq.read_table(path) for path in files if path.exists()])
    assert many.drop_columns(["part", "place"]).equals(one)
    mine, theirs = here.taken.projections(), there.taken.projections()
    for rows in (np.arange(here.taken.rows), np.array([3, 2_000, 1, here.taken.rows - 1])):
        assert (mine[rows] == theirs[rows]).all()


def test_what_stage_b_knows_of_each_exchange_is_equal(here: Scan, there: Scan):
    one, many = here.log, there.log
    assert here.taken.scanned == there.taken.scanned
    assert one.accounts == many.accounts
    assert one.role_names == many.role_names
    for name in COLUMNS:
        mine, theirs = getattr(one, name), getattr(many, name)
        assert mine.dtype == theirs.dtype, name
        assert (mine == theirs).all(), name
    assert one.template_key.tolist() == many.template_key.tolist()
    assert all((a == b).all() for a, b in zip(one.template_anchors, many.template_anchors, strict=True))
    assert (here.taken.column("skeleton", np.uint64) == there.taken.column("skeleton", np.uint64)).all()


def test_a_second_scan_reads_no_text_again(logs: Path, there: Scan, spark: Spark, tmp_path: Path):
    before = {path: (path / "part.json").stat().st_mtime_ns for path in folders(there)}
    shared = folders(there)[0].parents[1]
    again = spread.ingest(spark, [logs], tmp_path, shared, asked=ASKED, settings=SETTINGS)
    assert [part.folder for part in again.parts] == list(before)
    assert before == {path: (path / "part.json").stat().st_mtime_ns for path in before}
    assert [path.name for path in shared.iterdir()] == ["parts"], "nothing else is left in the checkpoint"


def test_a_template_with_most_of_all_exchanges_moves_one_row_a_part(there: Scan, spark: Spark):
    heavy = spark.table(
        "SELECT anchor, count(*) AS moved, sum(support) AS support FROM counted GROUP BY anchor ORDER BY support DESC LIMIT 1"
    ).to_pylist()[0]
    assert heavy["support"] > there.taken.rows / 10
    assert heavy["moved"] <= len(folders(there)), "counted where it is before it moves"


def test_an_account_with_a_tenth_of_all_exchanges_moves_none_of_them(there: Scan, spark: Spark):
    assert np.bincount(there.log.acc).max() > there.taken.rows / 10
    frame = spark.session.sql("SELECT acc, count(*), max(model) FROM sketch GROUP BY acc")
    plan = str(frame._jdf.queryExecution().executedPlan())
    assert plan.count("BroadcastHashJoin") == 2, "parts and accounts go to the exchanges"
    assert "SortMergeJoin" not in plan
    assert "partial_count" in plan, "added up where they are before they move"


def test_a_join_that_must_move_exchanges_is_cut_at_the_heavy_key(spark: Spark):
    session = spark.session
    told = {
        "spark.sql.autoBroadcastJoinThreshold": "-1",
        "spark.sql.adaptive.skewJoin.skewedPartitionThresholdInBytes": "50KB",
        "spark.sql.adaptive.skewJoin.skewedPartitionFactor": "2",
        "spark.sql.adaptive.advisoryPartitionSizeInBytes": "40KB",
        "spark.sql.shuffle.partitions": "8",
    }
    kept = {name: session.conf.get(name) for name in told}
    assert session.conf.get("spark.sql.adaptive.skewJoin.enabled") == "true"
    try:
        for name, value in told.items():
            session.conf.set(name, value)
        keys = np.where(np.arange(60_000) % 10 < 4, 0, np.arange(60_000))
        spark.register(
            "exchanges", pa.table({"account": keys, "load": np.random.default_rng(1).random(60_000)})
        )
        spark.register("people", pa.table({"account": np.arange(60_000), "mark": np.arange(60_000)}))
        frame = session.sql("SELECT e.load, p.mark FROM exchanges e JOIN people p ON e.account = p.account")
        assert frame.toArrow().num_rows == 60_000
        assert "skew=true" in str(frame._jdf.queryExecution().executedPlan())
    finally:
        for name, value in kept.items():
            session.conf.set(name, value)
        for name in ("exchanges", "people"):
            spark.unregister(name)


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
