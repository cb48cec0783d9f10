"""The embedded engine: what goes in comes out, threads have their own sessions, disk trouble has a name."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDB]:
    with DuckDB(tmp_path, memory="200MB", threads=2) as opened:
        yield opened


def test_tables_values_types_and_batches(engine: DuckDB):
    engine.register("t", pa.table({"a": [1, 2, 3], "s": ["x", "y\0z", None]}))
    assert engine.table("SELECT s FROM t ORDER BY a")["s"].to_pylist() == ["x", "y\0z", None]
    assert engine.scalar("SELECT count(*) FROM t WHERE a > $least", {"least": 1}) == 2
    assert engine.scalar("SELECT a FROM t WHERE a > 9") is None
    assert engine.types("SELECT a, s FROM t") == {"a": "BIGINT", "s": "VARCHAR"}
    engine.execute("CREATE TABLE kept AS SELECT * FROM t")
    engine.unregister("t")
    assert engine.scalar("SELECT sum(a) FROM kept") == 6
    sizes = [batch.num_rows for batch in engine.batches("SELECT * FROM range(100000)", 30_000)]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 30_000


def test_cursors_work_beside_each_other(engine: DuckDB):
    engine.execute("CREATE TABLE shared AS SELECT 10 AS a")

    def work(value: int) -> int:
        cursor = engine.cursor()
        cursor.register("mine", pa.table({"b": [value]}))
        total = cursor.scalar("SELECT a + b FROM shared, mine")
        cursor.close()
        return total

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(20))) == [10 + value for value in range(20)]


def test_more_than_memory_spills_and_is_cleaned_up(engine: DuckDB, tmp_path: Path):
    query = "SELECT count(*) FROM (SELECT md5(range::VARCHAR) AS h, repeat('x', 60) || range AS t FROM range(1500000) ORDER BY h)"
    assert engine.scalar(query) == 1_500_000
    engine.execute(
        "CREATE TABLE big AS SELECT md5(range::VARCHAR) || md5((range + 1)::VARCHAR) AS h FROM range(6000000)"
    )
    assert engine.scalar("SELECT count(*) FROM big") == 6_000_000
    assert list((tmp_path / "spill").iterdir())
    engine.close()
    assert not list(tmp_path.glob("spill/*"))


def test_trouble_with_disk_and_settings_has_a_name(engine: DuckDB, tmp_path: Path):
    with pytest.raises(StorageError, match="cannot read or write"):
        engine.execute(f"COPY (SELECT 1) TO '{tmp_path}/none/x.parquet'")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="work folder"):
        DuckDB(tmp_path / "file" / "below", memory="1GB", threads=1)
    with pytest.raises(UsageError, match="does not start"):
        DuckDB(tmp_path, memory="lots", threads=1)
    engine.execute("SET max_temp_directory_size = '1MB'")
    with pytest.raises(StorageError, match="ran out of"):
        engine.execute(
            "CREATE TABLE big AS SELECT md5(range::VARCHAR) || md5((range + 1)::VARCHAR) AS h FROM range(9000000)"
        )


def test_every_session_keeps_utc_and_draws_no_bar(tmp_path: Path):
    # Each session has these for itself. DuckDB draws into the output of a query that takes two seconds, `--json` or not.
    program = (
        "import sys; from pathlib import Path; from spiritsafe.engine.duckdb import DuckDB\n"
        "with DuckDB(Path(sys.argv[1]), memory='200MB', threads=1) as engine:\n"
        "    for one in (engine, engine.cursor()):\n"
        "        for name in ('TimeZone', 'enable_progress_bar'):\n"
        "            print(one.scalar(f\"SELECT current_setting('{name}')\"))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "Asia/Tokyo"},
    )
    assert done.stdout == "UTC\nFalse\n" * 2
