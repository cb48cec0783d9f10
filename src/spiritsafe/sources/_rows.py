"""A Parquet file -> record batches that have every canonical column, as near to its type as the file has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from spiritsafe.errors import InputError
from spiritsafe.schema import COLUMNS, NAMES
from spiritsafe.sources import _buckets
from spiritsafe.sources._blocks import BLOCK
from spiritsafe.sources._sample import parquet

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.parquet as pq

    from spiritsafe.sources._blocks import Span

_NESTED = (pt.is_list, pt.is_large_list, pt.is_struct, pt.is_map)


def rows(path: str, size: int, span: Span | None = None) -> Iterator[tuple[int, pa.RecordBatch, int]]:
    """(number of the first row from 1, batch with canonical columns, repaired values) for each batch of a file.

    With ``span`` only those of its row groups.
    Raises InputError that names the file when it is damaged or a column can never be what it should.
    """
    file = parquet(path)
    schema = file.schema_arrow
    for column in COLUMNS:
        index = schema.get_field_index(column.name)
        if (
            index >= 0
            and column.kind != "strings"
            and any(nested(schema.field(index).type) for nested in _NESTED)
        ):
            raise InputError(
                f"column {column.name} is {schema.field(index).type}, not {column.kind}", where=path
            )
    known = [name for name in schema.names if name in NAMES]
    groups = range(*span) if span else range(file.metadata.num_row_groups)
    first = 1 + sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
    batches = file.iter_batches(_affordable(file, size), row_groups=list(groups), columns=known)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            _buckets.blame(path, error)
            raise InputError(
                "the Parquet file cannot be read: " + str(error).partition("\n")[0],
                where=f"{path}:{first}",
                hint="it is cut short or damaged: copy it again",
            ) from error
        if batch is None:
            return
        arrays, repaired = [], np.zeros(len(batch), bool)
        for name in NAMES:
            array, mended = _near(batch, name)
            arrays.append(array)
            repaired |= mended
        yield first, pa.record_batch(arrays, names=list(NAMES)), int(repaired.sum())
        first += len(batch)


def _affordable(file: pq.ParquetFile, size: int) -> int:
    """Rows a batch may have so that it holds about two blocks of text, by the widest row group's average."""
    groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    widest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=1)
    return max(1, min(size, int(2 * BLOCK / max(widest, 1))))


def unknown_columns(path: str) -> list[str]:
    """Columns of a file that are not canonical: they are ignored."""
    return [name for name in parquet(path).schema_arrow.names if name not in NAMES]


def _near(batch: pa.RecordBatch, name: str) -> tuple[pa.Array, np.ndarray | bool]:
    if batch.schema.get_field_index(name) < 0:
        return pa.nulls(len(batch), pa.string()), False
    array = batch.column(name)
    if pt.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pt.is_null(array.type):
        return pa.nulls(len(batch), pa.string()), False
    if pt.is_large_string(array.type) or pt.is_string_view(array.type):
        array = array.cast(pa.string())
    if pt.is_string(array.type) or pt.is_binary(array.type) or pt.is_large_binary(array.type):
        return _valid_text(array)
    if pt.is_timestamp(array.type):  # engines differ in which units they know together with a time zone
        array = array.cast(pa.timestamp("us", array.type.tz), safe=False)
    return array, False


def _valid_text(array: pa.Array) -> tuple[pa.Array, np.ndarray | bool]:
    """Text whose bytes are valid UTF-8, ill-formed ones replaced by U+FFFD, and which values were mended."""
    raw = array.cast(pa.binary())
    try:
        return raw.cast(pa.string()), False
    except pa.ArrowInvalid:
        pass
    values = raw.to_pylist()  # only a batch that holds broken text comes here
    mended = pa.array([value if value is None else value.decode("utf-8", "replace") for value in values])
    changed = pc.not_equal(mended.cast(pa.binary()), raw)
    changed = pc.fill_null(changed, pa.scalar(value=False))
    return mended.cast(pa.string()), changed.to_numpy(zero_copy_only=False)
