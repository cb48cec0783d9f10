"""What the tests of sources share: one engine a session, and a way to read and lay out what came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.sources import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass
class Result:
    """What one reading gave: rows (nulls left out), the account of it, and the records set aside."""

    rows: list[dict[str, Any]]
    scanned: dict[str, Any]
    present: set[str]
    rejects: list[dict[str, Any]]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDB]:
    with DuckDB(tmp_path_factory.mktemp("work"), memory="1GB", threads=2) as opened:
        yield opened


@pytest.fixture(scope="session")
def take(engine: DuckDB, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Result]:
    folder = tmp_path_factory.mktemp("rejects")

    def reader(*inputs: str | Path, **options: Any) -> Result:
        aside = folder / "rejected.jsonl"
        aside.unlink(missing_ok=True)
        reading = read(inputs, engine=engine, rejects=aside, **options)
        rows = [
            {key: value for key, value in row.items() if value is not None}
            for batch in reading
            for row in batch.to_pylist()
        ]
        lines = aside.read_text().splitlines() if aside.exists() else []
        return Result(rows, reading.scanned, reading.present, [json.loads(line) for line in lines])

    return reader


@pytest.fixture
def log(tmp_path: Path) -> Callable[..., Path]:
    def writer(name: str, *records: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(item) + "\n" for item in records), encoding="utf-8")
        return path

    return writer
