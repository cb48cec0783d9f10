"""Columns of a simulation put aside: as small as their values, and at the end of one file once they are large.

The file has no name, so that whatever ends the process also frees its space. It is read by place and length rather than
mapped: pages of a mapping would count as this process's memory, and each mapping would hold a file open.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

LARGE = 1 << 16
ROOM = 32 << 20
"""Bytes of small columns that stay in memory altogether."""
_SIZES = (np.int8, np.int16, np.int32)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that was put aside: in memory, or ``size`` values from ``place`` on in the file ``handle``."""

    size: int
    kind: np.dtype[Any]
    kept: NDArray[Any] | None
    handle: int = -1
    place: int = 0

    def __len__(self) -> int:
        return self.size

    def read(self, begin: int = 0, end: int | None = None) -> NDArray[Any]:
        """Rows ``begin`` to ``end`` (default: all), not to be changed."""
        end = self.size if end is None else end
        if self.kept is not None:
            return self.kept[begin:end]
        found = np.empty(end - begin, self.kind)
        rest, place = found.view(np.uint8).data, self.place + begin * self.kind.itemsize
        while len(rest):
            got = os.preadv(self.handle, [rest], place)
            if not got:
                raise OSError(5, "the spill file is shorter than what was written to it")
            rest, place = rest[got:], place + got
        return found


class Shelf:
    """Puts arrays into a file without a name in ``folder``; small ones stay in memory."""

    def __init__(self, folder: Path, room: int = ROOM) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._room = room
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def put(self, values: NDArray[Any]) -> Column:
        """The same values; whole numbers in the least width that holds them, one number for all in the room of one."""
        values = _narrow(values)
        size, kind = len(values), values.dtype
        if not values.nbytes or 0 in values.strides:
            return Column(size, kind, values)
        if values.nbytes < LARGE and values.nbytes <= self._room:
            self._room -= values.nbytes
            return Column(size, kind, values)
        place = self.bytes
        self._file.write(np.ascontiguousarray(values).view(np.uint8).data)
        self._file.flush()
        self.bytes += values.nbytes
        return Column(size, kind, None, self._file.fileno(), place)


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    if not len(values) or values.dtype.kind != "i" or values.dtype.itemsize == 1:
        return values
    low, high = int(values.min()), int(values.max())
    if low == high:
        return np.broadcast_to(values.dtype.type(low), len(values))
    fits = [kind for kind in _SIZES if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max]
    return values.astype(fits[0]) if fits else values
