"""Record batches as JSON Lines without nulls, a column at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe import schema
from spiritsafe.simulate._ids import stamps

ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


def escaped(texts: Any) -> Any:
    """Text as it stands between the quotes of JSON; other control characters become blanks."""
    for old, new in ESCAPES:
        texts = pc.replace_substring(texts, old, new)
    return pc.replace_substring_regex(texts, r"[\x00-\x1f]", " ")


def lines(batch: Any, kept: list[str]) -> Any:
    """The batch as bytes, one object a line; ``prompt`` and ``system`` are escaped already."""
    fields = [_field(name, batch.column(name)) for name in kept]
    filled = [field for field in fields if field.null_count < len(field)]
    inside = pc.binary_join_element_wise(*filled, ",", null_handling="skip")
    made = pc.binary_join_element_wise("{", inside, "}\n", "")
    return b"" if not len(made) else made.buffers()[2]


def _field(name: str, column: Any) -> Any:
    head = f'"{name}":'
    if column.null_count == len(column):
        return column
    if isinstance(column, pa.DictionaryArray):
        return _quoted(head, escaped(column.dictionary)).take(column.indices)
    kind = schema.BY_NAME[name].kind
    if kind == "time":
        text = stamps(np.asarray(column.cast(pa.int64()).fill_null(0)))
        return _quoted(
            head,
            pc.if_else(pc.is_null(column), pa.scalar(None, pa.string()), text) if column.null_count else text,
        )
    if kind == "strings":
        words = _quoted("", escaped(column.values))
        inner = pa.ListArray.from_arrays(column.offsets, words, mask=pc.is_null(column))
        return pc.binary_join_element_wise(f"{head}[", pc.binary_join(inner, ","), "]", "")
    if kind == "string":
        return _quoted(head, column)
    return pc.binary_join_element_wise(head, column.cast(pa.string()), "")


def _quoted(head: str, texts: Any) -> Any:
    return pc.binary_join_element_wise(f'{head}"', texts, '"', "")
