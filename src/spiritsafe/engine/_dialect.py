"""DuckDB's SQL in Spark's words: SQLGlot's translation, and what it leaves as it is."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from spiritsafe.errors import UsageError

_BITS = ("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseLeftShift", "BitwiseRightShift")


@lru_cache(maxsize=512)
def spark(sql: str) -> str:
    """One statement in DuckDB's dialect as Spark understands it.

    An unsigned 64-bit integer is DECIMAL(20, 0) there, which sorts and compares the same but has no bits. Raises
    UsageError when SQLGlot is missing, or bits of such numbers are asked for.
    """
    try:
        import sqlglot  # noqa: PLC0415 - an extra
        from sqlglot import exp  # noqa: PLC0415
    except ImportError as error:
        raise UsageError("the engine spark needs sqlglot", hint="pip install 'spiritsafe[spark]'") from error
    tree: Any = sqlglot.parse_one(_named(sql), read="duckdb")
    for cast in list(tree.find_all(exp.Cast)):
        if cast.to.this == exp.DataType.Type.UBIGINT:
            if type(cast.parent).__name__ in _BITS:
                raise UsageError(
                    "bits of unsigned numbers have no SQL on Spark", hint="ask for them with a role signal"
                )
            cast.set("to", exp.DataType.build("DECIMAL(20, 0)"))
    # The translation forgets that a letter between the fields of a time is a field to Spark.
    for shown in list(tree.find_all(exp.TimeToStr)):
        form = shown.args.get("format")
        if form is not None:
            shown.set("format", exp.Literal.string(form.name.replace("T", "'T'")))
    return tree.sql(dialect="spark")


def _named(sql: str) -> str:
    """The column ``row`` in quotes: SQLGlot takes ``row < 2`` for the beginning of a type."""
    parts = re.split(r"('(?:[^']|'')*'|\"[^\"]*\")", sql)
    parts[::2] = [re.sub(r"\brow\b", '"row"', part) for part in parts[::2]]
    return "".join(parts)
