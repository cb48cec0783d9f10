"""Counts of keys in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._buckets import Buckets
from spiritsafe.campaigns._distinct import first
from spiritsafe.campaigns._radix import ordered, ranked

if TYPE_CHECKING:
    from pathlib import Path

Counts = Iterator[tuple[Any, Any]]
"""Keys and in how many exchanges they occur (int64), a batch at a time, each key once."""

_CHUNK, _BUCKETS = 4_000_000, 64
"""Pairs that are counted at once, and buckets for what was counted."""


class Tally:
    """Counts keys (int64) in bounded memory: full buffers are counted and go to buckets, a range of keys each."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._held: list[Any] = []
        self._spilt: Buckets | None = None
        self._bounds: Any = None
        self._size = 0

    def add(self, keys: Any) -> None:
        self._held.append(keys.copy())
        self._size += keys.size
        if self._size > _CHUNK:
            self._spill()

    def counted(self) -> Counts:
        """All keys and their counts (int64), each key once: sorted, or a sorted bucket at a time where they are many."""
        if not self._spilt:
            yield self._count()
            return
        self._spill()
        with self._spilt as spilt:
            for bucket in range(self._bounds.size + 1):
                keys, counts = spilt.take(bucket)
                if keys.size:
                    keys, order = ranked(keys)
                    begin = np.flatnonzero(first(keys))
                    yield keys[begin], np.add.reduceat(counts[order], begin)

    def whole(self) -> tuple[Any, Any]:
        """The same in one piece."""
        keys, counts = (np.concatenate(part) for part in zip(*self.counted(), strict=True))
        return keys, counts

    def _count(self) -> tuple[Any, Any]:
        held, self._held, self._size = self._held, [], 0
        keys = ordered(np.concatenate([np.zeros(0, np.int64), *held]))
        begin = np.flatnonzero(first(keys))
        return keys[begin], np.diff(np.append(begin, keys.size))

    def _spill(self) -> None:
        keys, counts = self._count()
        if not self._spilt:  # a bucket is a range of keys, as many in each as there are of these
            self._bounds = keys[:: -(-keys.size // _BUCKETS)][1:]
            self._spilt = Buckets([np.int64, np.int64], self._folder)
        ends = np.concatenate([[0], np.searchsorted(keys, self._bounds), [keys.size]])
        self._spilt.add(ends, keys, counts)
