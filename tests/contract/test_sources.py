"""Promises that every source keeps, whichever the registry finds."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spiritsafe import schema
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.registry import extensions
from spiritsafe.sources import read

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = extensions("sources")


def rows(path: Path, tmp_path: Path, **options: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    with DuckDB(tmp_path, memory="1GB", threads=1) as engine:
        reading = read([path], engine=engine, rejects=tmp_path / "rejected.jsonl", **options)
        found = [row for batch in reading for row in batch.to_pylist()]
        return found, reading.scanned


@pytest.mark.parametrize("name", SOURCES)
def test_examples_are_told_from_content_and_read(name: str, tmp_path: Path):
    examples = SOURCES[name].module.EXAMPLES
    assert examples
    for example in [*[[one] for one in examples], examples]:
        path = tmp_path / "log"
        if getattr(SOURCES[name].module, "READS", "lines") == "rows":
            pq.write_table(pa.Table.from_pylist([record for record, _ in example]), path)
        else:
            path.write_text("".join(json.dumps(record) + "\n" for record, _ in example), "utf-8")
        found, scanned = rows(path, tmp_path)
        assert scanned["formats"] == {str(path): name}
        assert len(found) == len(example)
        for number, (row, (_, expected)) in enumerate(zip(found, example, strict=True), 1):
            assert (row.pop("source_file"), row.pop("source_line")) == (str(path), number)
            got = {key: value for key, value in row.items() if value is not None}
            assert got == {"exchange_id": got["exchange_id"], **expected}


@pytest.mark.parametrize("name", SOURCES)
def test_a_broken_line_among_the_examples_is_set_aside(name: str, tmp_path: Path):
    if getattr(SOURCES[name].module, "READS", "lines") == "rows":
        return
    records = [record for record, _ in SOURCES[name].module.EXAMPLES]
    lines = [json.dumps(records[0]), "{broken", "[]", *map(json.dumps, records[1:])]
    path = tmp_path / "log"
    path.write_text("\n".join(lines), "utf-8")
    found, scanned = rows(path, tmp_path)
    assert (len(found), scanned["rejected"]) == (len(records), 2)
    aside = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert [(item["line"], item["reason"]) for item in aside] == [
        (2, "not valid JSON"),
        (3, "not a JSON object"),
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_columns_are_canonical(name: str):
    for _, expected in SOURCES[name].module.EXAMPLES:
        assert set(expected) <= set(schema.NAMES)
        assert set(schema.REQUIRED) <= set(expected)


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, item in inner for deeper in _nodes(item, (*path, key)))]


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The value with another at that path; what is beside the path is shared, not copied."""
    if not path:
        return new
    whole = copy.copy(value)
    whole[path[0]] = _changed(value[path[0]], path[1:], new)
    return whole


@pytest.mark.parametrize("name", SOURCES)
def test_any_value_in_any_place_is_taken_or_set_aside(name: str, tmp_path: Path):
    if getattr(SOURCES[name].module, "READS", "lines") == "rows":
        return
    odd = [
        None,
        5,
        -1.5e300,
        True,
        "",
        "text",
        "[",
        '{"a": 1}',
        '["x"]',
        [],
        [None],
        [5, "x"],
        {},
        {"a": [1]},
        [[{}]],
    ]
    records = [
        _changed(record, path, value)
        for record, _ in SOURCES[name].module.EXAMPLES
        for path in _nodes(record)
        if path
        for value in odd
    ]
    path = tmp_path / "log"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    found, scanned = rows(path, tmp_path, format=name)
    assert len(found) == scanned["accepted"] == scanned["records"] - scanned["rejected"]
    lines = scanned["records"] + scanned["other"]
    assert lines >= len(records) if name == "otlp_json" else lines == len(records)
