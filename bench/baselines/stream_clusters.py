"""Stateful stream clustering, after Brown et al., "Stateful Online Monitoring" (arXiv 2605.31593)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from spiritsafe.campaigns.log import HOUR

if TYPE_CHECKING:
    from baselines._view import View

NEAR = 0.8
"""Cosine from which a prompt joins a micro-cluster; the paper's belongs to its embedding. Chosen on an attack-free log of
the calibration half: at 0.7 the largest cluster is a chain of 41 accounts' unrelated topics, at 0.8 it has ten."""

HALF_LIFE = 6 * HOUR
STEP = 512
"""Exchanges taken in at once."""

MOST = 4096
"""Micro-clusters kept; the ones that were used longest ago go first."""


def stream_clusters(view: View, *, seed: int) -> Any:
    """Most accounts, decayed, that ever shared a micro-cluster with a party's prompts; clusters of one party count 0.

    As in the paper: prompts are embedded as they come, each joins the nearest micro-cluster or founds one, clusters keep
    decayed state across accounts, and a cluster above a threshold is flagged. Here its state is the number of accounts,
    each halved every ``HALF_LIFE`` since it was last there; a party is flagged with the clusters it wrote in.

    Differences: the paper's clusters sum a local model's suspicion and a language model judges what passes; neither can
    be had here, so every prompt is equally suspicious and nobody judges. Embedding, radius, decay and batch are ours.
    Steps run over ``STEP`` exchanges at a time; those of one step that join nothing found clusters by single linkage.
    """
    del seed  # nothing is drawn
    order = np.argsort(view.time, kind="stable")
    score = np.zeros(view.parties)
    state = _Clusters(view.parties)
    for start in range(0, order.size, STEP):
        rows = order[start : start + STEP]
        state.take(view.points[rows], view.party[rows], view.time[rows])
    cluster, party = np.divmod(np.concatenate(state.wrote or [np.zeros(0, np.int64)]), view.parties)
    np.maximum.at(score, party, state.peak[cluster])
    return np.where(score > 1.0, score, 0.0)


class _Clusters:
    """Micro-clusters: where they are, who was last there and when, and the most accounts each ever held."""

    def __init__(self, parties: int) -> None:
        self.parties = parties
        self.peak: Any = np.zeros(0)
        self.wrote: list[Any] = []
        self._ids: Any = np.zeros(0, np.int64)
        self._sums: Any = np.zeros((0, 64), np.float32)
        self._used: Any = np.zeros(0, np.int64)
        self._keys: Any = np.zeros(0, np.int64)
        self._last: Any = np.zeros(0, np.int64)

    def take(self, points: Any, party: Any, time: Any) -> None:
        """Take in the exchanges of one step, in order of time."""
        here = self._join(points)
        np.add.at(self._sums, here, points)
        np.maximum.at(self._used, here, time)
        key = self._ids[here] * self.parties + party
        self.wrote.append(np.unique(key))
        keys = np.concatenate([self._keys, key])
        last = np.concatenate([self._last, time])
        self._keys, inverse = np.unique(keys, return_inverse=True)
        self._last = np.zeros(self._keys.size, np.int64)
        np.maximum.at(self._last, inverse, last)
        weight = np.exp2(-(time[-1] - self._last) / HALF_LIFE)
        held = np.bincount(self._keys // self.parties, weights=weight, minlength=self.peak.size)
        self.peak = np.maximum(self.peak, held)
        self._forget()

    def _join(self, points: Any) -> Any:
        """Position of each point's micro-cluster, new ones founded where none is near."""
        here = np.full(points.shape[0], -1, np.int64)
        if self._ids.size:
            length = np.maximum(np.linalg.norm(self._sums, axis=1, keepdims=True), 1e-9)
            cosine = points @ (self._sums / length).T
            best = cosine.argmax(axis=1)
            here = np.where(cosine[np.arange(best.size), best] >= NEAR, best, -1)
        free = np.flatnonzero(here < 0)
        if free.size:
            near = csr_array(points[free] @ points[free].T >= NEAR)
            count, label = connected_components(near, directed=False)
            here[free] = self._ids.size + label
            self._ids = np.concatenate([self._ids, self.peak.size + np.arange(count)])
            self._sums = np.concatenate([self._sums, np.zeros((count, points.shape[1]), np.float32)])
            self._used = np.concatenate([self._used, np.zeros(count, np.int64)])
            self.peak = np.concatenate([self.peak, np.zeros(count)])
        return here

    def _forget(self) -> None:
        """Drop the micro-clusters used longest ago; what they held stays in ``peak``."""
        if self._ids.size > MOST:
            kept = np.sort(np.argsort(-self._used, kind="stable")[:MOST])
            self._ids, self._sums, self._used = self._ids[kept], self._sums[kept], self._used[kept]
            alive = np.isin(self._keys // self.parties, self._ids)
            self._keys, self._last = self._keys[alive], self._last[alive]
