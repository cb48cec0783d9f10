"""Passes over all exchanges of a log that need room for a piece of it, not for the log: rows that are chosen, sorted, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from spiritsafe.campaigns._distinct import distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE = 1 << 20
"""Exchanges that are looked at at once."""


def pieces(size: int) -> Iterator[slice]:
    """Slices of at most ``PIECE`` that cover 0 … ``size``."""
    return (slice(at, min(at + PIECE, size)) for at in range(0, size, PIECE))


def row_type(size: int) -> Any:
    """The smallest type that numbers ``size`` exchanges."""
    return np.int32 if size <= np.iinfo(np.int32).max else np.int64


def where(size: int, kept: Callable[[slice], Any]) -> Any:
    """Sorted rows of 0 … ``size`` for which ``kept`` (boolean by row of a slice) is true, int32 where that suffices."""
    masks = [np.packbits(kept(part)) for part in pieces(size)]
    counts = [int(np.bitwise_count(mask).sum()) for mask in masks]
    out, at = np.empty(sum(counts), row_type(size)), 0
    for part, mask, count in zip(pieces(size), masks, counts, strict=True):
        out[at : at + count] = np.flatnonzero(np.unpackbits(mask, count=part.stop - part.start)) + part.start
        at += count
    return out


class Distinct:
    """The distinct values of whole numbers that come piece by piece: room for those, twice over.

    Runs that are in order are merged with one of their size, so that each value is moved a few times only.
    """

    def __init__(self) -> None:
        self._runs: list[Any] = []

    def add(self, values: Any) -> None:
        """Take in ``values`` (int64)."""
        self._runs.append(distinct(values))
        while len(self._runs) > 1 and self._runs[-2].size < 2 * self._runs[-1].size:
            self._merge()

    def values(self) -> Any:
        """All of them so far, sorted."""
        while len(self._runs) > 1:
            self._merge()
        return self._runs[0] if self._runs else np.zeros(0, np.int64)

    def _merge(self) -> None:
        one, other = self._runs.pop(), self._runs.pop()
        out = np.empty(one.size + other.size, np.int64)
        size = merge(one, other, out)
        # What is not filled would be held as well.
        self._runs.append(out[:size] if 8 * size > 7 * out.size else out[:size].copy())


def grouped(rows: Any, key: Callable[[Any], Any], groups: int, empty: Callable[..., Any]) -> tuple[Any, Any]:
    """Rows by group, each group's in the order of ``rows``: a counting sort, piece by piece.

    ``key(part)`` int by row of a piece: its group below ``groups``, negative for none. ``empty(size, type)`` gives the room.
    Returns where each group begins, int64 (groups + 1,), and the rows.
    """
    size = np.zeros(groups, np.int64)
    for part in pieces(rows.size):
        mine = key(rows[part])
        size += np.bincount(mine[mine >= 0], minlength=groups)
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum(size)])
    out, at = empty(int(start[-1]), rows.dtype), start[:-1].copy()
    for part in pieces(rows.size):
        place(rows[part], key(rows[part]), at, out)
    return start, out


def within(start: Any, groups: Any) -> Any:
    """Int64: the places of each of ``groups`` (int) one after the other, where ``start`` (int64) says that groups begin."""
    first = start[groups]
    many = start[groups + 1] - first
    return np.repeat(first - np.cumsum(many) + many, many) + np.arange(int(many.sum()))


@njit(cache=True, nogil=True)
def merge(one, other, out):  # type: ignore[no-untyped-def]
    """Write the distinct values of two arrays of such, each sorted, to ``out`` in order; return how many."""
    i, j, n = 0, 0, 0
    while i < one.size and j < other.size:
        a, b = one[i], other[j]
        out[n] = min(a, b)
        i += a <= b
        j += b <= a
        n += 1
    for k in range(i, one.size):
        out[n] = one[k]
        n += 1
    for k in range(j, other.size):
        out[n] = other[k]
        n += 1
    return n


@njit(cache=True, nogil=True)
def place(rows, groups, at, out):  # type: ignore[no-untyped-def]
    """Write each of ``rows`` whose group is not negative to ``out`` where ``at`` (int64 by group, moved on) says."""
    for i in range(rows.size):
        group = groups[i]
        if group >= 0:
            out[at[group]] = rows[i]
            at[group] += 1


@njit(cache=True, nogil=True)
def count_few(cells, keys):  # type: ignore[no-untyped-def]
    """Count ``keys`` in ``cells`` (uint8 by key) up to 255."""
    for key in keys:
        if cells[key] < 255:
            cells[key] += 1


@njit(cache=True, nogil=True)
def in_bucket(values, rows, shift, bucket, out):  # type: ignore[no-untyped-def]
    """Write those of ``rows`` whose value (uint64 by exchange) has the upper bits ``bucket``; return how many."""
    n = 0
    for row in rows:
        if values[row] >> shift == bucket:
            if n < out.size:
                out[n] = row
            n += 1
    return n


@njit(cache=True, nogil=True)
def held_by_two(code, party, scratch):  # type: ignore[no-untyped-def]
    """Boolean by exchange: its item (``code``, −1 for none) was sent by two or more of the parties given.

    ``scratch`` int32 by item, all −1 before and after.
    """
    held = np.zeros(code.size, np.bool_)
    for i in range(code.size):
        c = code[i]
        if c >= 0:
            if scratch[c] == -1:
                scratch[c] = party[i]
            elif scratch[c] != party[i]:
                scratch[c] = -2
    for i in range(code.size):
        held[i] = code[i] >= 0 and scratch[code[i]] == -2
    for c in code:
        if c >= 0:
            scratch[c] = -1
    return held
