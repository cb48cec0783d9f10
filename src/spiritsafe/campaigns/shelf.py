"""Room for arrays by exchange: files of the work folder that are mapped, so that pages hold them and not memory."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

_LARGE = 1 << 20
"""Bytes from which an array is worth a file: a process may map some 65,000."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Arrays in ``folder``, or in memory where there is none. What is kept goes to other processes by its name."""

    folder: Path | None = None

    def empty(self, size: int, kind: Any) -> Any:
        """A new array of ``kind`` (size,); what it holds is not defined."""
        if self.folder is None or size * np.dtype(kind).itemsize < _LARGE:
            return np.empty(size, kind)
        self.folder.mkdir(exist_ok=True)
        return mapped(self.folder / f"{uuid.uuid4().hex}.bin", size, kind)

    def keep(self, values: Any) -> Any:
        """``values`` (one-dimensional), in a file if they are many. They are not to be changed."""
        if self.folder is None or values.nbytes < _LARGE or isinstance(values.base, np.memmap):
            return values
        held = self.empty(values.size, values.dtype)
        held[:] = values
        return held


def mapped(path: Path, size: int, kind: Any) -> Any:
    """A new file at ``path`` as an array of ``kind`` (size,)."""
    # As a plain array: operations on it then make plain ones.
    return np.asarray(np.memmap(path, kind, "w+", shape=(size,))) if size else np.empty(0, kind)
