"""Arrow text columns as flat bytes for the kernel, without copying."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.features._span import LIMIT, Text


def plain(array: Any) -> Any:
    """A string-like Arrow array (view, dictionary, null, chunked) as one with offsets and bytes."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    is_plain = any(
        test(array.type)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )
    return array if is_plain else array.cast(pa.large_string())


def text(array: Any) -> Text:
    """View a string-like Arrow array, of any kind, sliced or not."""
    array = plain(array)
    n = len(array)
    _, bounds, values = array.buffers()
    kind = (
        np.int64 if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type) else np.int32
    )
    data = np.frombuffer(values, np.uint8) if values is not None and values.size else np.zeros(1, np.uint8)
    data.flags.writeable = False  # else numba compiles for both kinds
    if n == 0 or bounds is None:
        return Text(data, np.zeros(n, np.int64), np.zeros(n, np.int64))
    edges = np.frombuffer(bounds, kind, count=array.offset + n + 1)[array.offset :].astype(np.int64)
    starts = edges[:-1]
    ends = np.minimum(edges[1:], starts + LIMIT)
    if array.null_count:
        ends = np.where(pc.is_null(array).to_numpy(zero_copy_only=False), starts, ends)
    return Text(data, np.ascontiguousarray(starts), np.ascontiguousarray(ends))
