"""EvilCohort-like (Stringhini et al., USENIX Security 2015): communities of accounts used from the same addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import graspologic_native
import numpy as np

from baselines._together import common, distinct, sizes

if TYPE_CHECKING:
    from baselines._view import View

SHARED = 1
"""Addresses that two accounts must share. The paper tunes it by service; its values could not be looked up."""


def evilcohort(view: View, *, seed: int) -> Any:
    """Parties in the community that a party belongs to; 0 for none.

    As in the paper: accounts and addresses make a bipartite graph; it is projected on the accounts, an edge weighing as
    many addresses as two accounts share; light edges go; Louvain's method finds communities, and those above a size are
    malicious. Nothing but account and address is used.

    Differences: Leiden in place of Louvain, both for modularity; ``SHARED`` is 1 because a day of a log has one or two
    addresses an account; addresses with more than ``HOLDERS`` accounts (carriers' gateways) are left out.
    """
    score = np.zeros(view.parties)
    known = view.address >= 0
    if not known.any():
        return score
    address, who = distinct(view.address[known], view.party[known], view.parties)
    graph = common(address, who, view.parties)
    graph.data[graph.data < SHARED] = 0.0
    graph.eliminate_zeros()
    tied = np.flatnonzero(np.diff(graph.indptr))
    if not tied.size:
        return score
    part = graph[tied][:, tied].tocsr()
    _, community = graspologic_native.leiden_csr(
        part.indptr.astype(np.int64),
        part.indices.astype(np.int32),
        part.data.astype(np.float64),
        tied.size,
        resolution=1.0,
        use_modularity=True,
        seed=seed,
        iterations=2,
    )
    score[tied] = sizes(np.array([community[i] for i in range(tied.size)], np.int64))
    return score
