"""Canonical exchange records as Parquet: the columns are the canonical columns, in any order and of any near type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spiritsafe.schema import NAMES

if TYPE_CHECKING:
    from spiritsafe.sources._sample import Sample

READS = "rows"

EXAMPLES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    (
        {"time": 1772366400000, "account_id": "a1", "prompt": "Hello", "turns": 1, "tools": ["search"]},
        {"time": 1772366400000000, "account_id": "a1", "prompt": "Hello", "turns": 1, "tools": ["search"]},
    ),
)


def recognises(sample: Sample) -> bool:
    """A Parquet file with the required columns; a sketch may stand in place of the prompt."""
    columns = set(sample.columns or ())
    return {"time", "account_id"} <= columns and bool(columns & {"prompt", "sketch"})


def canonical_parquet(relation: str) -> str:
    """The columns as they are; casts happen behind."""
    return f"SELECT file, line, {', '.join(NAMES)} FROM {relation}"
