"""Streams of own text: what an account sends without a template, told apart by micro-clusters of projections.

A template needs a shared run of words. Text that is worded anew on every call has none, but it uses the same words, so
its projections lie close together. A registry of micro-clusters, one for the whole log, gives the same kind of text the
same name in every account: spherical k-means (Dhillon & Modha 2001) on a sample, seeded by k-means++ (Arthur &
Vassilvitskii 2007), then one pass over all rows.

All sums are exact: projections are integers of length 127, so an inner product stays below 2^24 and float32 holds each
partial sum without rounding. Results are the same bits whatever the threads, the blocks and the order of addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from spiritsafe.campaigns._passes import count_few, pieces

LENGTH = 127
"""Length of a projection (``features._print.project``) and of a centroid."""
LEAST_COSINE = 0.6
"""Least cosine to the centroid. One pair in 20 of unrelated texts reaches 0.28. On composed logs with paraphrased campaigns
0.5 let 0.2 to 1.2 % of wrong exchanges into the campaigns, 0.6 at most 0.1 %, for a few percent less of their own."""
LEAST_ROWS = 3
"""Exchanges that an account needs in a micro-cluster before they are a stream of their own."""
MOST = 128
_EACH = 100
"""Rows without a template for each micro-cluster, up to ``MOST``."""
_SAMPLE = 50_000
_ROUNDS = 6
_SAME = 0.75
"""Cosine of two centroids that makes them halves of one kind: different kinds reach 0.7 to 0.76."""
_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Registry:
    """``centroids`` float32 (n, 64) of whole numbers, length 127; ``key`` uint64 (n,): their signs, a name."""

    centroids: Any
    key: Any


def registry(projections: Any, own: Any) -> Registry:
    """The micro-clusters of a log: ``projections`` int8 (rows, 64); ``own`` int64: rows without a template."""
    count = min(MOST, own.size // _EACH)
    if not count:
        return Registry(np.zeros((0, projections.shape[1]), np.float32), np.zeros(0, np.uint64))
    points = np.asarray(projections[own[:: -(-own.size // _SAMPLE)]], np.float32)
    # The seed is fixed: it is part of what a name means, as the hash functions are.
    centroids = points[_seeds(points, count, np.random.default_rng(0))]
    for last in (False, True):
        for _ in range(_ROUNDS):
            centroids = _means(points, np.argmax(points @ centroids.T, axis=1), centroids)
        if not last:
            centroids = _merged(points, centroids)
    key = (centroids > 0) @ (np.uint64(1) << np.arange(centroids.shape[1], dtype=np.uint64))
    key, index = np.unique(key.astype(np.uint64), return_index=True)
    return Registry(np.ascontiguousarray(centroids[index]), key)


def near(projections: Any, known: Registry, out: Any = None) -> Any:
    """int32 (rows,), in ``out`` if given: the micro-cluster whose centroid is nearest, if near enough; −1 for none."""
    found = np.empty(projections.shape[0], np.int32) if out is None else out
    found[:] = -1
    if not known.key.size:
        return found
    length = (known.centroids**2).sum(axis=1)
    for start in range(0, found.size, _BLOCK):
        points = np.asarray(projections[start : start + _BLOCK], np.float32)
        inner = points @ known.centroids.T
        best = np.argmax(inner, axis=1).astype(np.int32)
        inner = inner[np.arange(best.size), best].astype(np.float64)
        square = (points**2).sum(axis=1).astype(np.float64) * length[best]
        # Compared as squares, which are whole numbers below 2^53: no root, no rounding.
        close = (inner > 0) & (inner**2 >= LEAST_COSINE**2 * square)
        found[start : start + _BLOCK][close] = best[close]
    return found


def topics(close: Any, accounts: Any, own: Any, out: Any = None) -> Any:
    """int32 (rows,), in ``out`` if given: the micro-cluster of rows that form a stream of own text, −1 elsewhere.

    ``close``: see ``near``; ``accounts`` int32 (rows,); ``own`` as for ``registry``.
    """
    found = np.empty(close.size, np.int32) if out is None else out
    found[:] = -1
    kinds = max((int(close[part].max()) for part in pieces(close.size)), default=-1) + 1
    if not kinds:
        return found
    people = max(int(accounts[part].max()) for part in pieces(close.size)) + 1
    seen = np.zeros(people * kinds, np.uint8)
    for last in (False, True):
        for part in pieces(own.size):
            rows = own[part]
            rows = rows[close[rows] >= 0]
            stream = accounts[rows].astype(np.int64) * kinds + close[rows]
            if last:
                rows = rows[seen[stream] >= LEAST_ROWS]
                found[rows] = close[rows]
            else:
                count_few(seen, stream)
    return found


def _seeds(points: Any, count: int, rng: np.random.Generator) -> list[int]:
    """Rows of ``points`` far from each other, as k-means++ draws them."""
    chosen: list[int] = []
    nearest = np.zeros(points.shape[0], np.float32)
    for _ in range(count):
        total = np.cumsum(np.maximum(0, LENGTH * LENGTH - nearest).astype(np.int64))
        if total[-1] == 0:
            break
        chosen.append(int(np.searchsorted(total, rng.integers(total[-1]), side="right")))
        np.maximum(nearest, points @ points[chosen[-1]], out=nearest)
    return chosen


def _merged(points: Any, centroids: Any) -> Any:
    """Centroids after halves of one kind were joined: k-means cuts a kind in two when seeds are left over."""
    length = (centroids**2).sum(axis=1).astype(np.float64)
    inner = np.maximum(0, centroids @ centroids.T).astype(np.float64)
    count, kind = connected_components(csr_array(inner**2 >= _SAME**2 * np.outer(length, length)))
    return _means(points, kind[np.argmax(points @ centroids.T, axis=1)], np.zeros_like(centroids[:count]))


def _means(points: Any, label: Any, before: Any) -> Any:
    """Directions of the sums of each label's points, as whole numbers; an empty cluster stays where it was."""
    ones = csr_array(
        (np.ones(label.size, np.float32), label, np.arange(label.size + 1)),
        shape=(label.size, before.shape[0]),
    )
    total = (ones.T @ points).astype(np.float64)
    square = (total**2).sum(axis=1)
    scale = np.divide(LENGTH, np.sqrt(square), out=np.zeros_like(square), where=square > 0)
    after = np.rint(total * scale[:, None]).astype(np.float32)
    return np.where(square[:, None] > 0, after, before)
