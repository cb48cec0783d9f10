"""Counts of keys in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import first
from spiritsafe.campaigns._radix import ordered, ranked

if TYPE_CHECKING:
    from pathlib import Path

Counts = Iterator[tuple[Any, Any]]
"""Keys and in how many exchanges they occur (int64), a batch at a time, each key once."""

_CHUNK, _BUCKETS = 4_000_000, 64
"""Pairs that are counted at once, and files for what was counted: a power of two."""


class Tally:
    """Counts keys (int64) in bounded memory: full buffers are counted and go to files, a file a range of keys."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._files: list[Any] = []
        self._held: list[Any] = []
        self._bounds: Any = None
        self._size = self._spilt = 0

    def add(self, keys: Any) -> None:
        self._held.append(keys.copy())
        self._size += keys.size
        if self._size > _CHUNK:
            self._spill()

    def counted(self) -> Counts:
        """All keys and their counts (int64), each key once: sorted, or a sorted bucket at a time where they are many."""
        if not self._files:
            yield self._count()
            return
        self._spill()
        for file in self._files:
            with file:
                file.seek(0)
                held = [np.load(file, allow_pickle=False) for _ in range(2 * self._spilt)]
            keys, counts = np.concatenate(held[::2]), np.concatenate(held[1::2])
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
        if not self._files:  # a bucket is a range of keys, as many in each as there are of these
            self._bounds = keys[:: -(-keys.size // _BUCKETS)][1:]
            self._files = [TemporaryFile(dir=self._folder) for _ in range(self._bounds.size + 1)]  # noqa: SIM115 - closed when read
        ends = np.searchsorted(keys, self._bounds)
        for file, *parts in zip(self._files, np.split(keys, ends), np.split(counts, ends), strict=True):
            for part in parts:
                np.save(file, part, allow_pickle=False)
        self._spilt += 1
