"""Columns of a simulation put aside: as small as their values, and on disk once they are large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LARGE = 1 << 20
_SIZES = (np.int8, np.int16, np.int32)


class Shelf:
    """Puts arrays into ``folder``, from where the system reads them page by page; small ones stay in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def put(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same values; whole numbers in the least width that holds them, one number for all in the room of one."""
        if not len(values):
            return values
        if values.dtype.kind == "i" and values.dtype.itemsize > 1:
            low, high = int(values.min()), int(values.max())
            if low == high:
                return np.broadcast_to(values.dtype.type(low), len(values))
            fits = [kind for kind in _SIZES if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max]
            values = values.astype(fits[0]) if fits else values
        if values.nbytes < LARGE or 0 in values.strides:
            return values
        self._count += 1
        path = self._folder / f"{self._count}.column"
        values.tofile(path)
        return np.asarray(np.memmap(path, dtype=values.dtype, mode="r", shape=values.shape))
