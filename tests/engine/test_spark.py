"""Spark behind the interface of the engines: DuckDB's SQL, Arrow both ways, work that is spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from spiritsafe.engine import _dialect
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from spiritsafe.engine.spark import Spark


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
