"""A source's SELECT -> the canonical columns, cast in one place, with a reason for each record set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.errors import ExtensionError
from spiritsafe.schema import COLUMNS, NAMES, SKETCH_SHAPE, SQL_TYPE, Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.engine.duckdb import DuckDB
    from spiritsafe.registry import Extension

#: Arrow types of the canonical columns, by kind. Time is microseconds since the epoch, UTC.
ARROW: dict[str, pa.DataType] = {
    "time": pa.int64(),
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "strings": pa.list_(pa.string()),
}

SCHEMA = pa.schema(
    [pa.field(column.name, ARROW[column.kind]) for column in COLUMNS]
    + [pa.field("source_file", pa.dictionary(pa.int32(), pa.string())), pa.field("source_line", pa.int64())]
)

#: What goes into the id of an exchange that has none: all that says who asked what, when, and what came back.
_IDENTITY = tuple(
    name for name in NAMES if name not in {"exchange_id", "relation", "plan", "account_created"}
)

# Numbers outside these bounds are seconds or microseconds, not the contract's milliseconds (1973 to 5138).
_MILLISECONDS = "abs({0}) BETWEEN 1e11 AND 1e14"


#: The reason a source gives for what is whole but no model call (another span, an embedding): counted, not rejected.
OTHER = "not an exchange"


@dataclass(frozen=True, slots=True)
class Projected:
    """What a unit's SELECT gave, sorted out.

    ``accepted``: ``file``, ``line`` and the canonical columns; ``rejected``: ``file``, ``line``, ``reason``; both in
    the order of file and line. ``other``: how many rows were no exchange; ``unread``: optional values that could not
    be cast, by column.
    """

    accepted: pa.Table
    rejected: pa.Table
    other: int
    unread: dict[str, int]


def project(
    source: Extension, relation: str, engine: DuckDB, known: dict[str, str] | None = None
) -> Projected:
    """Run a source over ``relation``. Raises ExtensionError when it gives columns it should not.

    ``known`` keeps the SQL by relation type between calls: binding it anew costs as much as some thousand records.
    """
    sql = _canonical(source, relation, engine, {} if known is None else known)
    rows = engine.table(sql).combine_chunks()
    rows = _in_order(rows)
    told = ["file", "line", "reason"]
    if rows["reason"].null_count == len(rows):
        return Projected(
            rows.drop_columns(["reason", "unread"]), rows.select(told).slice(0, 0), 0, _unread(rows)
        )
    rejected = rows.filter(pc.not_equal(rows["reason"], OTHER)).select(told)
    accepted = rows.filter(pc.is_null(rows["reason"]))
    other = len(rows) - len(accepted) - len(rejected)
    return Projected(accepted.drop_columns(["reason", "unread"]), rejected, other, _unread(accepted))


def _canonical(source: Extension, relation: str, engine: DuckDB, known: dict[str, str]) -> str:
    key = f"{source.id} {engine.types(f'FROM {relation}')}"
    if key in known:
        return known[key]
    select = str(source.function(relation))
    types = engine.types(select)
    unknown = set(types) - set(NAMES) - {"file", "line", "reason"}
    if unknown or "file" not in types or "line" not in types:
        raise ExtensionError(
            f"source {source.id} gives columns {', '.join(sorted(unknown)) or 'without file and line'}",
            hint="a source gives file, line, reason and canonical columns",
        )
    known[key] = _sql(select, types)
    return known[key]


def _unread(rows: pa.Table) -> dict[str, int]:
    masks = rows["unread"].to_numpy()
    if not masks.any():
        return {}
    counts = {name: int((masks >> bit & 1).sum()) for bit, name in enumerate(NAMES)}
    return {name: count for name, count in counts.items() if count}


def _in_order(rows: pa.Table) -> pa.Table:
    if not len(rows):
        return rows
    place = rows["file"].to_numpy().astype(np.int64) << 40 | rows["line"].to_numpy()
    return rows if (np.diff(place) >= 0).all() else rows.take(pa.array(np.argsort(place, kind="stable")))


def _sql(select: str, given: Mapping[str, str]) -> str:
    cast = {column.name: _cast(column, given) for column in COLUMNS}
    reason = "reason" if "reason" in given else "NULL"
    unread = [
        f"CASE WHEN {name} IS NOT NULL AND {cast[name]} IS NULL THEN {1 << bit} ELSE 0 END"
        for bit, (name, column) in enumerate(zip(NAMES, COLUMNS, strict=True))
        if name in given and not column.required and column.kind != "string"
    ]
    # What a sketch is, is the kernel's affair; that a string has its shape, a source must see.
    whole = SKETCH_SHAPE.format("sketch")
    shown = "left(CAST(asked_time AS VARCHAR), 40)"
    identity = "{" + ", ".join(f"'{name}': {name}" for name in _IDENTITY) + "}"
    outputs = [
        name
        if name != "exchange_id"
        else f"CASE WHEN coalesce(exchange_id, '') <> '' THEN exchange_id WHEN reason IS NULL "
        f"THEN 'x' || md5(CAST(to_json({identity}) AS VARCHAR)) END AS exchange_id"
        for name in NAMES
    ]
    inner = ",\n    ".join(f"{expression} AS {name}" for name, expression in cast.items())
    return f"""WITH source AS ({select}),
typed AS (
  SELECT file, line, {reason} AS given_reason, {"time" if "time" in given else "NULL"} AS asked_time,
    {inner},
    {" + ".join(unread) or "0"} AS unread
  FROM source
),
judged AS (
  SELECT *, CASE
    WHEN given_reason IS NOT NULL THEN CAST(given_reason AS VARCHAR)
    WHEN asked_time IS NULL THEN 'time is missing'
    WHEN time IS NULL THEN 'time is neither RFC 3339 nor epoch milliseconds: ' || {shown}
    WHEN account_id IS NULL THEN 'account_id is missing'
    WHEN account_id = '' THEN 'account_id is empty'
    WHEN prompt IS NULL AND sketch IS NULL THEN 'prompt is missing'
    WHEN prompt IS NULL AND NOT {whole} THEN 'sketch is damaged or of another version, and there is no prompt'
  END AS reason
  FROM typed
)
SELECT CAST(file AS INTEGER) AS file, CAST(line AS BIGINT) AS line, reason, CAST(unread AS BIGINT) AS unread,
  {", ".join(outputs)}
FROM judged"""


def _cast(column: Column, given: Mapping[str, str]) -> str:
    name, wanted = column.name, SQL_TYPE[column.kind]
    have = given.get(name)
    if have is None or have == '"NULL"':
        return f"CAST(NULL AS {wanted})"
    if column.kind == "time":
        return _time(name, have)
    if have == wanted:
        return f"CASE WHEN isfinite({name}) THEN {name} END" if column.kind == "number" else name
    if column.kind == "strings":
        listed = have.endswith("[]")
        return f"TRY_CAST({name} AS VARCHAR[])" if listed else f"""TRY(from_json({name}, '["VARCHAR"]'))"""
    cast = f"TRY_CAST({name} AS {wanted})"
    return f"CASE WHEN isfinite({cast}) THEN {cast} END" if column.kind == "number" else cast


def _time(name: str, have: str) -> str:
    if have.startswith("TIMESTAMP") or have == "DATE":
        zoned = have == "TIMESTAMP WITH TIME ZONE"
        return f"epoch_us({name})" if zoned else f"epoch_us(TRY_CAST({name} AS TIMESTAMP))"
    if have in {"VARCHAR", "JSON"}:
        number = f"TRY_CAST({name} AS DOUBLE)"
        return (
            f"CASE WHEN {name}[5] = '-' THEN epoch_us(TRY_CAST(upper({name}) AS TIMESTAMP WITH TIME ZONE)) "
            f"WHEN {_MILLISECONDS.format(number)} THEN CAST(round({number} * 1000) AS BIGINT) END"
        )
    number = f"TRY_CAST({name} AS DOUBLE)"
    return f"CASE WHEN {_MILLISECONDS.format(number)} THEN CAST(round({number} * 1000) AS BIGINT) END"
