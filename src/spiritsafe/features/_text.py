"""Arrow text columns as flat bytes for the kernel, without copying."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LIMIT = 1 << 24
"""Bytes of a text that are read; what follows changes no fingerprint."""

_CHUNK_BYTES = 1 << 18
_CHUNK_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Text:
    """``data`` uint8; row r is ``data[starts[r]:ends[r]]`` (int64). Null rows are empty."""

    data: Any
    starts: Any
    ends: Any

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.starts.size)

    def part(self, first: int, last: int) -> Text:
        """Rows ``first`` to ``last``, same bytes."""
        return Text(self.data, self.starts[first:last], self.ends[first:last])

    def chunks(self) -> list[Text]:
        """Pieces small enough for the processor's cache; a longer row is a piece of its own."""
        sizes = np.cumsum(self.ends - self.starts)
        out: list[Text] = []
        first = 0
        while first < self.rows:
            before = int(sizes[first - 1]) if first else 0
            last = int(np.searchsorted(sizes, before + _CHUNK_BYTES, side="right"))
            last = min(max(last, first + 1), first + _CHUNK_ROWS, self.rows)
            out.append(self.part(first, last))
            first = last
        return out

    def shares(self, number: int) -> list[Text]:
        """About equal shares by bytes, in order, for threads; empty shares are left out."""
        sizes = np.cumsum(self.ends - self.starts + 64)
        total = int(sizes[-1]) if self.rows else 0
        cuts = [int(np.searchsorted(sizes, total * k // number, side="left")) for k in range(1, number)]
        edges = [0, *cuts, self.rows]
        return [self.part(a, b) for a, b in pairwise(edges) if b > a]


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
