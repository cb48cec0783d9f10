"""Delta and Iceberg tables as inputs: their newest state and nothing else, or a plain refusal."""

from __future__ import annotations

import json
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from spiritsafe.errors import InputError, UsageError
from spiritsafe.sources import expand

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLD = pa.table({"time": [1_788_825_600_000], "account_id": ["a"], "prompt": ["old"], "day": ["2026-09-07"]})
NEW = pa.table(
    {
        "time": [1_788_825_600_000, 1_788_912_000_000, 1_788_912_000_001],
        "account_id": ["a", "b", "c"],
        "prompt": ["x", "y", "z"],
        "day": ["2026-09-07", "2026-09-08", "2026-09-08"],
    }
)


def prompts(result: Any) -> list[str]:
    return sorted(row["prompt"] for row in result.rows)


def iceberg(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the catalog's database is not ours
        from pyiceberg.catalog.memory import InMemoryCatalog  # noqa: PLC0415

        catalog = InMemoryCatalog("tests", warehouse=folder.as_uri())
        catalog.create_namespace("logs")
        return catalog.create_table("logs.exchanges", schema=NEW.schema)


def test_a_delta_table_gives_its_newest_state(tmp_path: Path, take: Callable[..., Any]):
    folder = tmp_path / "it's a table"
    write_deltalake(folder, OLD, partition_by=["day"])
    write_deltalake(folder, NEW, partition_by=["day"], mode="overwrite")
    assert len(list(folder.rglob("*.parquet"))) == 3, "the old state's file is still there"
    found = take(folder)
    assert prompts(found) == ["x", "y", "z"]
    assert set(found.scanned["formats"].values()) == {"canonical_parquet"}


def test_an_iceberg_table_gives_its_newest_state(tmp_path: Path, take: Callable[..., Any]):
    table = iceberg(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.append(OLD)
        table.overwrite(NEW)
    folder = tmp_path / "logs" / "exchanges"
    assert len(list(folder.rglob("*.parquet"))) == 2
    assert prompts(take(folder)) == ["x", "y", "z"]


def test_a_partition_that_takes_a_canonical_column_out_of_the_files_is_refused(tmp_path: Path):
    write_deltalake(tmp_path / "table", NEW, partition_by=["account_id"])
    with pytest.raises(InputError, match="partitioned by account_id"):
        expand([tmp_path / "table"])


def test_a_damaged_log_is_named(tmp_path: Path):
    write_deltalake(tmp_path / "table", NEW)
    log = tmp_path / "table" / "_delta_log" / "00000000000000000000.json"
    log.write_text(json.dumps({"add": 5}) + "\n{broken", "utf-8")
    with pytest.raises(InputError, match="Delta table cannot be read") as told:
        expand([tmp_path / "table"])
    assert told.value.where == str(tmp_path / "table")


@pytest.mark.parametrize(("log", "package"), [("_delta_log", "deltalake"), ("metadata", "pyiceberg")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str, package: str):
    (tmp_path / log).mkdir()
    (tmp_path / log / "v1.metadata.json").write_text("{}", "utf-8")
    for name in [known for known in sys.modules if known.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs the package {package}") as told:
        expand([tmp_path])
    assert "lakehouse" in str(told.value.hint)
