"""SynchroTrap-like (Cao, Yang, Yu, Palow, CCS 2014): accounts that do the same things at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from baselines._together import common, component_sizes, distinct
from spiritsafe.campaigns.log import HOUR

if TYPE_CHECKING:
    from baselines._view import View

SIMILAR = 0.5
"""Jaccard similarity from which two accounts are linked. The paper sets it by application; its values could not be had."""

AGAIN = 3
"""Actions that two accounts must have in common: one coincidence is no sustained synchrony."""


def synchrotrap(view: View, *, seed: int) -> Any:
    """Parties in the cluster that a party belongs to; 0 for none.

    As in the paper: an action is what was done and when, in bins of time; accounts are linked if the Jaccard similarity
    of their actions is high, for one kind of action at a time; single linkage at a fixed threshold gives the clusters,
    and large ones are suspicious. Kinds here: the task (template, or the very prompt) and the client address.

    Differences: the task is Spiritsafe's own template, a help that the paper's setting does not need; bins of one hour,
    and what straddles two of them does not match; one threshold for all kinds; actions with more than ``HOLDERS`` accounts
    are left out. Its threshold on the size of clusters belongs to Facebook's populations, so none is published here.
    """
    del seed  # nothing is drawn
    linked = csr_array((view.parties, view.parties), dtype=np.float32)
    hour = view.time // HOUR
    hour -= hour.min(initial=0)
    width = int(hour.max(initial=0)) + 1
    for value in (view.task(), view.address):
        known = value >= 0
        if known.any():
            linked += _similar((value * width + hour)[known], view.party[known], view.parties)
    return component_sizes(linked)


def _similar(action: Any, party: Any, parties: int) -> csr_array:
    """The pairs of parties whose actions of one kind are similar."""
    value, who = distinct(action, party, parties)
    count = np.bincount(who, minlength=parties)
    both = common(value, who, parties).tocoo()
    a, b = both.coords
    union = count[a] + count[b] - both.data
    kept = (both.data >= AGAIN) & (both.data >= SIMILAR * union)
    ones = np.ones(int(kept.sum()), np.float32)
    return csr_array(coo_array((ones, (a[kept], b[kept])), shape=(parties, parties)))
