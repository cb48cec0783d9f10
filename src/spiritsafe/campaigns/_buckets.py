"""Numbers in buckets: what is looked at one bucket at a time needs room for one, and the rest lies in a file."""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ROOM = 1 << 26
"""Bytes that are held until they go to the file."""


class Buckets:
    """Columns of ``kinds`` that come a batch at a time, each batch in the order of its buckets.

    ``folder``: where the file is, which has no name and goes with this; the usual one for such files if None.
    """

    def __init__(self, kinds: Sequence[Any], folder: Path | None = None) -> None:
        self._kinds = [np.dtype(one) for one in kinds]
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed below
        self._held: list[tuple[Any, Any]] = []
        self._there: list[tuple[Any, list[int]]] = []
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, ends: Any, *columns: Any) -> None:
        """Take in a batch: bucket b is ``[ends[b]:ends[b + 1]]`` of each of the ``columns``, which must not change then."""
        self._held.append((ends, columns))
        self._size += sum(one.nbytes for one in columns)
        if self._size > _ROOM:
            self._spill()

    def take(self, bucket: int) -> list[Any]:
        """The columns of one bucket, batch after batch."""
        found: list[list[Any]] = [[np.zeros(0, kind)] for kind in self._kinds]
        for ends, begins in self._there:
            for part, kind, begin in zip(found, self._kinds, begins, strict=True):
                self._file.seek(begin + int(ends[bucket]) * kind.itemsize)
                part.append(np.fromfile(self._file, kind, int(ends[bucket + 1] - ends[bucket])))
        for ends, columns in self._held:
            for part, column in zip(found, columns, strict=True):
                part.append(column[ends[bucket] : ends[bucket + 1]])
        return [np.concatenate(part) for part in found]

    def _spill(self) -> None:
        for ends, columns in self._held:
            begins: list[int] = []
            for column, kind in zip(columns, self._kinds, strict=True):
                begins.append(self._file.seek(0, 2))
                self._file.write(np.ascontiguousarray(column, kind).data)
            self._there.append((ends, begins))
        self._held, self._size = [], 0
