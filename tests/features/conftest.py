"""Canonical batches around prompts, as the sources make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from spiritsafe import schema

if TYPE_CHECKING:
    from collections.abc import Callable

_ARROW = {
    "time": pa.int64(),
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "strings": pa.list_(pa.string()),
}


def _canonical(prompts: Any, systems: Any = None, responses: Any = None) -> pa.RecordBatch:
    """A batch with these texts (lists or Arrow arrays); all other columns are null."""
    rows = len(prompts)
    columns: dict[str, Any] = {c.name: pa.nulls(rows, _ARROW[c.kind]) for c in schema.COLUMNS}
    for name, texts in (("prompt", prompts), ("system", systems), ("response", responses)):
        if texts is not None:
            columns[name] = pa.array(texts, pa.string()) if isinstance(texts, list) else texts
    columns["source_file"] = pa.array(["log.jsonl"] * rows, pa.string())
    columns["source_line"] = pa.array(range(rows), pa.int64())
    return pa.RecordBatch.from_pydict(columns)


@pytest.fixture(scope="session")
def canonical() -> Callable[..., pa.RecordBatch]:
    return _canonical
