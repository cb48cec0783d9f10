"""What the graph methods share: how many things two parties have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

HOLDERS = 1000
"""A value with more holders ties nobody: the pairs of one value would not fit in memory. A bound of ours, no paper's."""


def distinct(value: Any, party: Any, parties: int) -> tuple[Any, Any]:
    """The distinct pairs of ``value`` (int64, 0 or more) and ``party``, with values made dense."""
    dense = np.unique(value, return_inverse=True)[1].astype(np.int64)
    return np.divmod(np.unique(dense * parties + party), parties)


def common(value: Any, party: Any, parties: int) -> csr_array:
    """Parties × parties, float32: how many of the distinct pairs' values two different parties both hold."""
    population = np.bincount(value)
    usable = (population[value] >= 2) & (population[value] <= HOLDERS)
    shape = (parties, population.size)
    ones = np.ones(int(usable.sum()), np.float32)
    holds = coo_array((ones, (party[usable], value[usable])), shape=shape).tocsr()
    both = (holds @ holds.T).tocsr()
    both.setdiag(0)
    both.eliminate_zeros()
    return csr_array(both)


def component_sizes(graph: Any) -> Any:
    """float64 by party: how many parties its connected component has; 0 for a party that is alone."""
    label = connected_components(graph, directed=False)[1]
    return sizes(label)


def sizes(label: Any) -> Any:
    """float64 by party: how many parties have its label; 0 for one that is alone."""
    size = np.bincount(label)[label].astype(np.float64) if label.size else np.zeros(0)
    return np.where(size > 1, size, 0.0)
