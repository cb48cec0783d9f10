"""Canonical exchange records as JSON Lines: one object a line, keys are the canonical columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spiritsafe.schema import NAMES, REQUIRED
from spiritsafe.sources._bodies import broken

if TYPE_CHECKING:
    from spiritsafe.sources._sample import Sample

_STRUCTURE = json.dumps(dict.fromkeys(NAMES, "VARCHAR"))
_COLUMNS = ", ".join(f"s.{name}" for name in NAMES)

EXAMPLES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    (
        {
            "time": "2026-03-01T12:00:00Z",
            "account_id": "a1",
            "prompt": "Hello",
            "turns": 1,
            "tools": ["search"],
        },
        {"time": 1772366400000000, "account_id": "a1", "prompt": "Hello", "turns": 1, "tools": ["search"]},
    ),
    (
        {
            "time": 1772366400000,
            "account_id": "a1",
            "prompt": "Bonjour \u00e9\u0000",
            "temperature": 0.5,
            "x": 1,
        },
        {"time": 1772366400000000, "account_id": "a1", "prompt": "Bonjour \u00e9\u0000", "temperature": 0.5},
    ),
)


def recognises(sample: Sample) -> bool:
    """Some record has two of the three required keys, and no request object as pairs of other formats have."""
    if sample.columns is not None:
        return False
    return any(
        sum(name in record for name in REQUIRED) > 1 and not {"request", "body", "schemaType"} & set(record)
        for record in sample.records
    )


def canonical_jsonl(relation: str) -> str:
    """One JSON parse a record. A required column must be a JSON string (time also a number); others are cast."""
    return f"""SELECT file, line, {_COLUMNS},
  CASE {broken("s")}
       WHEN {_odd("account_id")} THEN 'account_id is not a string'
       WHEN {_odd("prompt")} THEN 'prompt is not a string' END AS reason
FROM (SELECT file, line, raw, TRY(from_json(raw, '{_STRUCTURE}')) AS s FROM {relation})"""


def ignored(relation: str) -> str:
    """Keys that are no canonical column, as ``name``, one row for each record that has it."""
    known = ", ".join(f"'{name}'" for name in NAMES)
    return f"""SELECT name FROM (SELECT unnest(TRY(json_keys(raw))) AS name FROM {relation})
WHERE name NOT IN ({known})"""


def _odd(name: str) -> str:
    # Only text that could be another JSON type written out is looked at again.
    return f"(regexp_matches(s.{name}, '^[\\[{{tf0-9-]') AND json_type(raw, '$.{name}') <> 'VARCHAR')"
