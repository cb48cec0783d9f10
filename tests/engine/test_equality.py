"""The same input gives the same answer on DuckDB and on Spark: bit by bit, not nearly.

First Spark behind the interface of the engines, then whole scans. All of it is in one file, because files are spread
over processes, and a Spark takes a long time to start and to become warm.
"""

from __future__ import annotations

import gzip
import json
import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spiritsafe import pipeline, spread, state
from spiritsafe.engine import _dialect
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import (
    InputChanged,
    InputError,
    MalformedRecord,
    StorageError,
    UnknownFormat,
    UsageError,
)  # fmt: skip
from spiritsafe.spread import reading
from spiritsafe.spread.build import builder
from spiritsafe.spread.taken import Spread
from spiritsafe.state.folder import Folder
from spiritsafe.state.join import joined
from spiritsafe.state.scan import planned
from spiritsafe.watch.follow import Rhythm, Watch

from .conftest import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

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
ASKED: dict[str, Any] = {"format": None, "since": None, "until": None, "strict": False, "history": False}
END = 1_800_000_000_000_000
"""A time after the whole log."""
TABLES = ("accounts.parquet", "exchanges.parquet")

LARGE = np.array([2**63 + 5, 2**63 - 1, 0, 2**64 - 1, 7], np.uint64)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return pa.table(
        {
            "row": np.arange(5),
            "hash": LARGE,
            "name": pa.array(["é", None, "B", "a", "Ä"]),
            "kind": pa.array(["x", "y", None, "x", "y"]).dictionary_encode(),
            "moment": pa.array([0, 1_788_825_600_000_000, -1, None, 1], pa.int64()),
        }
    )


QUERIES = (
    "SELECT * FROM things ORDER BY hash",
    "SELECT name, row FROM things ORDER BY name, row",
    "SELECT kind, count(*) AS n, max(hash) AS most, max(name) AS last FROM things GROUP BY kind ORDER BY kind",
    (
        "SELECT row, strftime(make_timestamp((moment // 3600000000) * 3600000000), '%Y-%m-%dT%H') AS hour FROM things "
        "WHERE moment >= 0 ORDER BY row"
    ),
    "SELECT a.row, b.row AS other FROM things a JOIN things b ON a.kind IS NOT DISTINCT FROM b.kind ORDER BY 1, 2",
    (
        "SELECT row, lead(row) OVER next AS later, row_number() OVER (ORDER BY name DESC) AS turn FROM things "
        "WINDOW next AS (PARTITION BY kind ORDER BY moment, row) ORDER BY row"
    ),
    "SELECT row FROM things WHERE hash > CAST(9223372036854775807 AS UBIGINT) ORDER BY row",
    "SELECT lower(name) AS low, coalesce(sum(row), 0)::BIGINT AS total FROM things GROUP BY name ORDER BY low",
)


@pytest.mark.parametrize("sql", QUERIES)
def test_a_query_gives_what_duckdb_gives(sql: str, table: pa.Table, spark: Spark, tmp_path: Path):
    with DuckDB(tmp_path, memory="100MB", threads=1) as here:
        given: list[list[dict[str, Any]]] = []
        for engine in (here, spark):
            engine.register("things", table)
            given.append(engine.table(sql).to_pylist())
    assert given[0] == given[1]
    assert given[0]


def test_unsigned_numbers_come_back_as_they_were_also_through_files(table: pa.Table, spark: Spark):
    spark.register("things", table)
    assert spark.table("SELECT hash FROM things ORDER BY row")["hash"].to_numpy().tolist() == LARGE.tolist()
    told = list(spark.batches("SELECT row, hash FROM things", rows=2))
    assert max(batch.num_rows for batch in told) <= 2
    both = {row["row"]: row["hash"] for batch in told for row in batch.to_pylist()}
    assert [both[row] for row in range(5)] == LARGE.tolist()
    many = pa.table({"row": np.arange(200_000), "hash": np.arange(200_000, dtype=np.uint64)})
    spark.register("many", many)
    assert spark.scalar("SELECT count(*) FROM many WHERE hash = row") == 200_000
    spark.unregister("many")


def test_types_and_an_empty_answer(table: pa.Table, spark: Spark):
    spark.register("things", table)
    assert list(spark.types("SELECT row, name FROM things")) == ["row", "name"]
    assert spark.scalar("SELECT row FROM things WHERE row > 9") is None
    spark.execute("CREATE VIEW few AS SELECT row FROM things WHERE row < 2")
    assert spark.scalar("SELECT count(*) FROM few") == 2


def test_bits_of_unsigned_numbers_are_refused_in_plain_words():
    with pytest.raises(UsageError, match="role signal"):
        _dialect.spark("SELECT (marks & CAST(9 AS UBIGINT)) <> 0 FROM sketch")


def work(item: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    if item.get("fail"):
        raise ValueError(f"no such thing as {item['n']}")
    for _ in range(item["n"]):
        yield pa.record_batch({"n": pa.array([item["n"]] * 3, pa.int64())})


def test_work_is_spread_and_what_it_yields_is_a_table(spark: Spark):
    schema = pa.schema([("n", pa.int64())])
    spark.spread("made", [{"n": n} for n in range(5)], work, schema)
    told = spark.table("SELECT n, count(*) AS times FROM made GROUP BY n ORDER BY n").to_pylist()
    assert told == [{"n": n, "times": 3 * n} for n in range(1, 5)]
    spark.spread("made", [{"n": 1}, {"n": 2, "fail": True}], work, schema)
    with pytest.raises(StorageError, match="no such thing as 2"):
        spark.table("SELECT * FROM made")


def test_wrong_sql_stays_sparks_own_error(spark: Spark):
    with pytest.raises(Exception, match="nowhere") as told:
        spark.table("SELECT * FROM nowhere")
    assert not isinstance(told.value, StorageError)


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


@pytest.fixture(scope="module", autouse=True)
def cut() -> Iterator[None]:
    """Files of more than 100 kB are large: each is several tasks, and several parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spiritsafe.sources._cuts.PIECE", 100_000)
        yield


@pytest.fixture(scope="module")
def shared(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state in which a watch left every second segment."""
    folder = tmp_path_factory.mktemp("kept")
    with watching(logs, folder / "out", folder / "state") as watch:
        watch.look()
        found = watch.look()
        assert watch.take(found[::2], now=1) == len(found[::2])
    return folder / "state"


@pytest.fixture(scope="module")
def there(logs: Path, shared: Path, spark: Spark, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """A scan on Spark that goes on from what the watch left; its views are still there."""
    work, run = (tmp_path_factory.mktemp(name) for name in ("there", "run"))
    before = stamps(shared)
    assert len(before) > 8
    with Folder(shared) as kept:
        taken = spread.ingest(spark, [logs], work, kept, run, asked=ASKED, settings=SETTINGS)
    assert {path: made for path, made in stamps(shared).items() if path in before} == before
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


def watching(logs: Path, out: Path, state: Path) -> Watch:
    def tell(_event: str, /, **_facts: Any) -> None:
        pass

    return Watch(logs, out, state, settings=SETTINGS, rhythm=Rhythm(window=2 * END), tell=tell)


def stamps(state: Path) -> dict[Path, int]:
    """When each part was made."""
    return {path.parent: path.stat().st_mtime_ns for path in (state / "parts").glob("*/part.json")}


def folders(scan: Scan) -> list[Path]:
    assert isinstance(scan.taken, Spread)
    return [part.folder for part in scan.taken.parts]


def test_sketches_are_bit_equal_row_by_row(here: Scan, there: Scan):
    one = pq.read_table(here.taken.work / "sketch.parquet").drop_columns(["row", "acc", "source_file"])
    files = [path / "sketch.parquet" for path in folders(there)]
    many = pa.concat_tables([pq.read_table(path) for path in files if path.exists()])
    assert many.drop_columns(["part", "place"]).equals(one)
    mine, theirs = here.taken.projections(), there.taken.projections()
    for rows in (np.arange(here.taken.rows), np.array([3, 2_000, 1, here.taken.rows - 1])):
        assert (mine[rows] == theirs[rows]).all()
        # Groups of a large log are tested in other processes.
        assert (pickle.loads(pickle.dumps(theirs))[rows] == theirs[rows]).all()  # noqa: S301


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
    assert one.variants, "there are some to compare"
    assert all((a == b).all() for a, b in zip(one.variants, many.variants, strict=True))
    assert (here.taken.column("skeleton", np.uint64) == there.taken.column("skeleton", np.uint64)).all()


def test_large_files_were_several_tasks(there: Scan, shared: Path):
    assert there.taken.rows
    with Folder(shared) as kept:
        pieces = Counter(Path(one.path).name for one in kept.all() if one.piece[1] > 1)
    assert min(pieces["a.parquet"], pieces["heavy.jsonl"]) > 1


@pytest.fixture(scope="module")
def after(logs: Path, there: Scan, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a watch (``out``) and a scan here (``scan``) tell that go on from what Spark left: some parts are in packs then."""
    folder, before = tmp_path_factory.mktemp("after"), stamps(shared)
    assert set(folders(there)) <= set(before)

    def never(item: dict[str, Any], *_: Any, **__: Any) -> None:
        if item["path"].endswith("notes.txt"):
            raise InputError(there.taken.scanned["set_aside"][item["path"]])
        raise AssertionError("text is read twice")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spiritsafe.state.parts.make", never)
        patch.setattr("spiritsafe.state.pack.SMALL", 600)
        patch.setattr("spiritsafe.state.pack.FULL", 500)
        with watching(logs, folder / "out", shared) as watch:
            watch.look()
            assert watch.take(watch.look(), now=END) == 0, "all is there"
            watch.campaigns(now=END)
            taken = watch.partitions.segments
            assert watch.growth.counted() == {name for name, one in taken.items() if one.rows}
        assert list((shared / "parts").glob("pack-*"))
        assert len(stamps(shared)) < len(before)
        state.scan([logs], folder / "scan", checkpoint=shared, settings=SETTINGS, until=END)
    return folder


def test_a_watch_and_a_scan_here_go_on_from_what_spark_left(here: Scan, after: Path):
    for out in ("out", "scan"):
        for name in (*TEXTS[:4], "rejected.jsonl"):
            assert (here.out / name).read_bytes() == (after / out / name).read_bytes(), (out, name)
        for name in TABLES:
            assert pq.read_table(here.out / name).equals(pq.read_table(after / out / name)), (out, name)


def test_a_window_is_cut_from_parts_and_packs_as_from_a_log(
    logs: Path, there: Scan, shared: Path, spark: Spark, after: Path, tmp_path: Path
):
    """Some parts are in packs. One of those is damaged: it is told, and made anew."""
    assert (after / "scan").exists()
    since, until = (int(np.quantile(there.log.time, share)) for share in (0.3, 0.6))
    pack = next((shared / "parts").glob("pack-*"))
    data = bytearray((pack / "sketch.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (pack / "sketch.parquet").write_bytes(data)
    asked = {**ASKED, "since": since, "until": until}
    found: list[Ingest] = []
    for name in ("spark", "batch", "scan"):
        work = tmp_path / name
        work.mkdir()
        with Folder(shared) as kept, DuckDB(work, memory="500MB", threads=1) as engine:
            if name == "spark":
                found.append(spread.ingest(spark, [logs], work, kept, work, asked=asked, settings=SETTINGS))
                assert kept.damaged
                assert not pack.exists()
            elif name == "batch":
                found.append(
                    pipeline.ingest(engine, [logs], work, settings=SETTINGS, since=since, until=until)
                )
            else:
                told = {
                    "format": None,
                    "since": None,
                    "until": None,
                    "batch_rows": 99,
                    "memory": "",
                    "taken": 0,
                }
                entries, skipped = planned(kept, [logs], told, history=False, check=True)
                for entry in entries:  # what is no log is no part
                    entry.error = (
                        InputError(found[0].scanned["set_aside"][entry.shown]) if entry.missing else None
                    )
                    entry.found = [] if entry.missing else entry.found
                found.append(joined(engine, entries, work, since=since, until=until, skipped=skipped))
    one, two, three = found
    assert 0 < one.rows < there.taken.rows
    assert one.scanned == two.scanned == three.scanned
    assert one.present == two.present == three.present
    columns = ["exchange_id", "source_line", "anchors"]
    rows = [pa.Table.from_batches(each.batches(columns)).combine_chunks() for each in found]
    assert rows[0].equals(rows[1])
    assert rows[1].equals(rows[2])
    some = np.array([0, 5, one.rows // 2, one.rows - 1])
    with DuckDB(tmp_path, memory="500MB", threads=1) as engine:
        texts = [each.kept(engine)(some) for each in found]
        assert texts[0] == texts[1] == texts[2]
        assert (one.projections()[some] == two.projections()[some]).all()
        assert (one.projections()[some] == three.projections()[some]).all()


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
    with Folder(tmp_path / "shared") as kept:
        taken = spread.ingest(spark, [folder], tmp_path, kept, tmp_path, asked=ASKED, settings=SETTINGS)
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
    path = small(tmp_path / "logs", 1) / "000.jsonl"
    item = {
        "path": str(path), "size": 1, "modified": 0, "format": None, "since": None, "until": None, "span": None, "first": 1,
        "piece": [0, 1], "name": "00" * 16, "taken": 0, "there": False, "batch_rows": 100, "memory": "100MB",
        "folder": str(tmp_path / "parts" / ("00" * 16)), "number": 0,
    }  # fmt: skip
    told = json.loads(next(reading.make(item)).column("told")[0].as_py())
    assert isinstance(reading.raised(told), InputChanged)
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
    with pytest.raises(UsageError, match="needs --engine spark"):
        spread.on("duckdb", "local[2]", ["spark.ui.enabled=true"], tmp_path)
    with pytest.raises(UsageError, match="--history needs --checkpoint"):
        spread.on("duckdb", "local[2]", [], None, history=True)
