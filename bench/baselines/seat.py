"""SEAT (Zhang, Chen, Wagner, AISec 2021): similarity encoder by adversarial training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from baselines._view import View

NEAR = 0.8
"""Cosine from which two prompts are near. The paper fits its distance to its encoder; it means nothing for projections."""

LEAST = 10
MOST = 64
_CHUNK = 512


def seat(view: View, *, seed: int) -> Any:
    """Share of near pairs among the pairs of an account's first ``MOST`` exchanges; ``LEAST`` exchanges at least.

    As in the paper: an extraction attack perturbs its own queries, so an account with many pairs of similar queries is
    cancelled. Differences: no image encoder trained against perturbations but the cosine of projections; a share of
    pairs and not a count, so that busy accounts are not flagged for being busy (the paper counts pairs against a budget
    that belongs to its data sets, hence no published threshold here).
    """
    del seed  # nothing is drawn
    score = np.zeros(view.parties)
    who, rows, length = view.windows(LEAST, MOST)
    for start in range(0, who.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        points = np.where((rows[part] >= 0)[:, :, None], view.points[rows[part]], np.float32(0.0))
        near = (np.matmul(points, points.transpose(0, 2, 1)) >= NEAR).sum(axis=(1, 2))
        itself = (np.square(points).sum(axis=2) >= NEAR).sum(axis=1)
        n = length[part].astype(np.float64)
        score[who[part]] = (near - itself) / (n * (n - 1.0))
    return score
