"""Rows of text as flat bytes for the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

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
