"""FRAUDAR (Hooi et al., KDD 2016): dense blocks of the graph of accounts and objects, camouflage discounted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from baselines._together import distinct
from spiritsafe.campaigns.peeling import dense_blocks

if TYPE_CHECKING:
    from baselines._view import View

BLOCKS = 8
LEAST_PARTIES = 5


def fraudar(view: View, *, seed: int) -> Any:
    """Density of the block that a party belongs to; 0 for none.

    As in the paper: greedy peeling of the bipartite graph with column weights 1 / log(degree + 5), by the project's own
    ``peeling.dense_blocks``; blocks one after the other on what is left of the edges. Objects are what the log offers:
    tasks (template, or the very prompt), cards, devices and addresses, if two parties or more hold them.

    Differences: up to ``BLOCKS`` blocks and not the densest alone; the paper has no threshold, it ranks, so the block's
    density (weight of its edges over its nodes, objects that two members hold) is calibrated like any other score.
    """
    del seed  # nothing is drawn
    who: list[Any] = []
    what: list[Any] = []
    base = 0
    for p, v in ((view.party, view.task()), *view.shared.values()):
        value, party = distinct(v, p, view.parties)
        several = np.bincount(value)[value] >= 2 if value.size else np.zeros(0, bool)
        dense = np.unique(value[several], return_inverse=True)[1]
        who.append(party[several])
        what.append(dense + base)
        base += int(dense.max(initial=-1)) + 1
    party, value = np.concatenate(who), np.concatenate(what)
    score = np.zeros(view.parties)
    for members in dense_blocks(party, value, view.parties, blocks=BLOCKS, least=LEAST_PARTIES):
        score[members] = np.maximum(score[members], _density(party, value, members))
    return score


def _density(party: Any, value: Any, members: Any) -> float:
    """Weight of the edges between ``members`` and what two of them hold, over the number of both."""
    weight = 1.0 / np.log(np.bincount(value) + 5.0)
    objects = value[np.isin(party, members)]
    held = np.bincount(objects, minlength=weight.size)
    held[held < 2] = 0
    return float((held * weight).sum() / (members.size + np.count_nonzero(held)))
