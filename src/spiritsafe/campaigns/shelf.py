"""Room for arrays by exchange: files of the work folder that are mapped, so that pages hold them and not memory."""

from __future__ import annotations

import ctypes
import errno
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from mmap import mmap
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from pathlib import Path

_LARGE = 1 << 20
"""Bytes from which an array is worth a file: a process may map some 65,000."""
_BOX = 1 << 18, 1 << 24
"""Bytes of the first file for small arrays, and of the largest: each is twice as large as the one before."""
_NO_WAY = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
"""What a system says that cannot take room for a file at once."""


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
        if self.folder is None or values.nbytes < _LARGE or _in_file(values):
            return values
        held = self.empty(values.size, values.dtype)
        held[:] = values
        return held


class Box:
    """Room for very many small arrays, one after the other in few files of ``folder``; where there is none they stay in memory.

    To other processes they go as copies.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: Any = b""
        self._at, self._size = 0, _BOX[0]

    def keep(self, values: Any) -> Any:
        """``values`` (one-dimensional), in a file. They are not to be changed."""
        if self._folder is None or not values.size or _in_file(values):
            return values
        if self._at + values.nbytes > len(self._file):
            self._folder.mkdir(exist_ok=True)
            with TemporaryFile(dir=self._folder) as file:
                _reserve(file.fileno(), max(self._size, values.nbytes))
                self._file, self._at = mmap(file.fileno(), 0), 0
            self._size = min(2 * self._size, _BOX[1])
        held = np.frombuffer(self._file, values.dtype, values.size, self._at)
        held[:] = values
        self._at += values.nbytes + -values.nbytes % 8
        return held


def give_back() -> None:
    """Give memory that is free, but held for later use, back to the system: by the C library, where it can, and by Arrow."""
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _in_file(values: Any) -> bool:
    while isinstance(values, np.ndarray):
        if isinstance(values, np.memmap):
            return True
        values = values.base
    # Over what came from another process stands a memoryview, too.
    return isinstance(values, memoryview) and isinstance(values.obj, mmap)


def mapped(path: Path, size: int, kind: Any) -> Any:
    """A new file at ``path`` as an array of ``kind`` (size,). Raises OSError where there is no room for it."""
    if not size:
        return np.empty(0, kind)
    with path.open("wb") as file:
        _reserve(file.fileno(), size * np.dtype(kind).itemsize)
    # As a plain array: operations on it then make plain ones.
    return np.asarray(np.memmap(path, kind, "r+", shape=(size,)))


def _reserve(file: int, size: int) -> None:
    """Take the room of a new file at once: on a full disk, writing to a mapped page would end the process without a word."""
    try:
        os.posix_fallocate(file, 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_WAY:
            raise
        zeros = bytes(min(size, _LARGE))
        for at in range(0, size, len(zeros)):
            os.pwrite(file, zeros[: size - at], at)
