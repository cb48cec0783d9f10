"""Text of many exchanges in one copy: every string that a simulation draws from, end to end, and a gather."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.simulate._ids import strings
from spiritsafe.simulate._text import taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from spiritsafe.simulate._shelf import Column
    from spiritsafe.simulate._text import Recipe

    Ints = NDArray[np.int64]

FEW = 64
PIECE = 24 << 20
"""Bytes of text that are rendered at a time."""


@dataclass(frozen=True)
class Entries:
    """One part of the text of some rows: entry ``base + index`` of the stock, or nothing where the index is negative."""

    base: int
    index: Column

    def cut(self, begin: int, end: int) -> Cut:
        """Those of the rows ``begin`` to ``end``."""
        return Cut(self.base, self.index.read(begin, end))


@dataclass(frozen=True)
class Cut:
    """Entries of a stretch of rows."""

    base: int
    index: NDArray[Any]

    def fill(self, out: NDArray[np.int32]) -> None:
        """Write the entries' numbers, -1 for nothing."""
        out[:] = self.index
        out += np.int32(self.base)
        out[self.index < 0] = -1


class Strings:
    """The stock of strings. A row's text is a list of entries: neighbours in memory need no joining.

    Arrays are entered once: large ones are known by what they are, small ones by what they hold, since templates make
    their own for each part of a population.
    """

    def __init__(self) -> None:
        self._arrays: list[Any] = []
        self._bases: dict[int | tuple[str | None, ...], int] = {}
        self._next = 0

    def enter(self, recipe: Recipe, rows: Ints, put: Callable[[NDArray[Any]], Column]) -> list[Entries]:
        """The parts of some rows of a recipe: each an index, put aside by ``put``, and where its strings begin here."""
        return [Entries(self._base(array), put(taken(index, rows))) for array, index in recipe.parts]

    def close(self) -> None:
        """No more recipes come; text can be asked for."""
        arrays = [array.cast(pa.large_string()) for array in self._arrays]
        self.stock = pa.concat_arrays(arrays) if arrays else pa.array([], pa.large_string())
        self._arrays = []
        self.chars = np.asarray(pc.fill_null(pc.utf8_length(self.stock), 0)).astype(np.int32)
        self.bytes = np.asarray(pc.fill_null(pc.binary_length(self.stock), 0)).astype(np.int32)

    def _base(self, array: Any) -> int:
        key = tuple(array.to_pylist()) if len(array) <= FEW else id(array)
        if key not in self._bases:
            self._bases[key] = self._next
            self._arrays.append(array)  # kept, so that the id stays its own
            self._next += len(array)
        return self._bases[key]


class Page:
    """The text of some rows: entries of the stock, row after row, and where each row ends in them."""

    def __init__(self, stock: Strings, columns: list[list[Cut]], sizes: list[int], order: Ints) -> None:
        width = max((len(parts) for parts in columns), default=0)
        grid = np.full((len(order), max(1, width)), -1, dtype=np.int32)
        begin = 0
        for parts, size in zip(columns, sizes, strict=True):
            for number, part in enumerate(parts):
                part.fill(grid[begin : begin + size, number])
            begin += size
        grid = grid[order]
        used = grid >= 0
        self._stock, self.flat = stock, grid[used]
        self.ends = np.concatenate([[0], np.cumsum(used.sum(axis=1))])

    def sums(self, of: NDArray[np.int32]) -> Ints:
        """The total of a column of the stock (characters, bytes) over each row's entries."""
        total = np.concatenate([[0], np.cumsum(of[self.flat], dtype=np.int64)])
        return np.diff(total[self.ends])

    def text(self, begin: int, end: int, stock: Any = None) -> Any:
        """The text of rows ``begin`` to ``end`` as a string array; null where a row has none."""
        ends = self.ends[begin : end + 1]
        taken = (self._stock.stock if stock is None else stock).take(pa.array(self.flat[ends[0] : ends[-1]]))
        offsets = np.frombuffer(taken.buffers()[1], np.int64)[ends - ends[0]].astype(np.int32)
        return strings(offsets, taken.buffers()[2] or pa.py_buffer(b""), valid=np.diff(offsets) > 0)


def pieces(sizes: Ints, rows: int) -> Iterator[tuple[int, int]]:
    """Cuts of rows of the given sizes in bytes: at most ``rows`` rows and about ``PIECE`` bytes each."""
    total = np.cumsum(sizes)
    begin = 0
    while begin < len(sizes):
        done = total[begin - 1] if begin else 0
        end = int(np.searchsorted(total, done + PIECE, side="right"))
        end = min(max(end, begin + 1), begin + rows, len(sizes))
        yield begin, end
        begin = end
