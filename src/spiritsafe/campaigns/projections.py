"""Projections in files: read where and when they are asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import distinct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

POINTS = 64
"""Bytes of a projection."""
_MAPPED = 256
"""Files that are mapped at once: each is an open one, and a process may have some thousand."""


class Projections:
    """int8 (rows, 64) of files that follow each other: pairs of a path and its rows. Take slices of it, or rows (int)."""

    def __init__(self, files: Sequence[tuple[Path, int]]) -> None:
        self._files = [one for one in files if one[1]]
        ends = np.cumsum([0, *(rows for _, rows in self._files)])
        self._begins = ends[:-1]
        self._mapped = lru_cache(maxsize=_MAPPED)(self._map)
        self.shape = (int(ends[-1]), POINTS)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the files itself."""
        return Projections, (self._files,)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, slice):
            return self._slice(*rows.indices(self.shape[0])[:2])
        rows = np.asarray(rows, np.int64)
        out = np.empty((rows.size, POINTS), np.int8)
        of = np.searchsorted(self._begins, rows, side="right") - 1
        for index in distinct(of).tolist():
            mine = of == index
            out[mine] = self._mapped(index)[rows[mine] - self._begins[index]]
        return out

    def _map(self, index: int) -> Any:
        path, size = self._files[index]
        return np.memmap(path, np.int8, "r", shape=(size, POINTS))

    def _slice(self, start: int, stop: int) -> Any:
        """Rows that follow each other, read: a pass over all of them maps none."""
        parts = [np.empty((0, POINTS), np.int8)]
        for (path, size), begin in zip(self._files, self._begins.tolist(), strict=True):
            first, last = max(start, begin), min(stop, begin + size)
            if first < last:
                read = np.fromfile(path, np.int8, (last - first) * POINTS, offset=(first - begin) * POINTS)
                parts.append(read.reshape(-1, POINTS))
        return np.concatenate(parts)
