"""Distinct values of small arrays, many thousand times over: `numpy.unique` spends more on its options than on sorting."""

from __future__ import annotations

from typing import Any

import numpy as np


def distinct(values: Any) -> Any:
    """The distinct values of a one-dimensional array of whole numbers, sorted."""
    ordered = np.sort(values)
    return ordered[first(ordered)]


def dense(values: Any) -> tuple[Any, Any]:
    """The distinct values of a one-dimensional array of whole numbers, sorted, and the place of each entry among them (int64)."""
    order = np.argsort(values)
    ordered = values[order]
    begins = first(ordered)
    place = np.empty(values.size, np.int64)
    place[order] = np.cumsum(begins) - 1
    return ordered[begins], place


def kinds(values: Any) -> int:
    """How many distinct values a one-dimensional array of whole numbers has."""
    return int(np.count_nonzero(first(np.sort(values))))


def first(ordered: Any) -> Any:
    """Boolean by place of a sorted array: the first of its value."""
    begins = np.empty(ordered.size, bool)
    begins[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return begins
