"""Distinct values: `numpy.unique` spends more on its options than on sorting few, and hashes many in ten times the time."""

from __future__ import annotations

from typing import Any

import numpy as np

from spiritsafe.campaigns._radix import ordered, ranked

_OFTEN = 4
"""Numbers for each value that is looked for, up to which a list of all numbers is quicker than a search."""
_MANY = 256
"""Entries from which it pays to look whether the values lie close together."""


def distinct(values: Any) -> Any:
    """The distinct values of a one-dimensional array of whole numbers, sorted."""
    found = ordered(values)
    return found[first(found)]


def union(one: Any, other: Any) -> Any:
    """The distinct values of two arrays, sorted."""
    return distinct(np.concatenate([one, other]))


def dense(values: Any) -> tuple[Any, Any]:
    """The distinct values of a one-dimensional array of whole numbers, sorted, and the place of each entry among them (int64)."""
    if values.size >= _MANY:
        least, most = int(values.min()), int(values.max())
        if most - least < values.size:
            return _ticked(values, least, most)
    found, order = ranked(values)
    begins = first(found)
    place = np.empty(values.size, np.int64)
    place[order] = np.cumsum(begins) - 1
    return found[begins], place


def _ticked(values: Any, least: int, most: int) -> tuple[Any, Any]:
    """``dense`` by a list of all the numbers that there may be: no sorting."""
    at = (values - values.dtype.type(least)).astype(np.intp, copy=False)
    place = np.zeros(most - least + 1, np.int64)
    place[at] = 1
    found = np.flatnonzero(place)
    place[found] = np.arange(found.size)
    return found.astype(values.dtype) + values.dtype.type(least), place[at]


def places(values: Any, among: Any, universe: int) -> Any:
    """Int64: where each of ``values`` stands in ``among`` (distinct, sorted), -1 where it does not.

    Both are of 0 … ``universe``: a list of all these is made only where there are many ``values``.
    """
    if universe < _OFTEN * values.size:
        place = np.full(universe, -1, np.int64)
        place[among] = np.arange(among.size)
        return place[values]
    at = np.searchsorted(among, values)
    if among.size:
        at[at == among.size] = 0
        at[among[at] != values] = -1
    else:
        at[:] = -1
    return at


def kinds(values: Any) -> int:
    """How many distinct values a one-dimensional array of whole numbers has."""
    return int(np.count_nonzero(first(ordered(values))))


def first(values: Any) -> Any:
    """Boolean by place of a sorted array: the first of its value."""
    begins = np.empty(values.size, bool)
    begins[:1] = True
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return begins
