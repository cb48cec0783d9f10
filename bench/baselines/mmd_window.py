"""MMD window test (Liu, Guo, Dong, arXiv 2606.05725)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from baselines._view import View

PUBLISHED = 1.0
"""Above it the p-value is at most 5 %, the percentile that the paper's repository gives its adapted PRADA. The one of its
MMD script we could not read; the 0.3 % of false positives that the paper reports suggest a stricter one."""

WINDOW = 16
"""Exchanges in a window. One size for all, as in the paper, since the statistic and its null depend on it."""

_REFERENCE, _POOL = 500, 1500
_DRAWS = 1000
_QUANTILE = 0.95
_CHUNK = 512


def mmd_window(view: View, *, seed: int) -> Any:
    """Squared maximum mean discrepancy of an account's window from the population, over the null's 95th percentile.

    As in the paper: embed the queries, compare a window of fixed size with a reference by MMD (Gaussian kernel, median
    bandwidth), and take the decision from the null of ordinary windows against the same reference: a score above 1 is a
    permutation p-value of at most 0.05, ``_DRAWS`` windows of the population's exchanges being drawn.

    Differences: projections for sentence embeddings; the window is the account's first ``WINDOW`` exchanges, where the
    paper takes 1,500 queries, and who sends fewer is not judged; ordinary traffic is the log's own, attackers included,
    because a provider has no other of the same week, and a reference of other sources would make everybody deviate.
    """
    score = np.zeros(view.parties)
    who, rows, _ = view.windows(WINDOW, WINDOW)
    n = view.party.size
    if not who.size or n < 4 * WINDOW:
        return score
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(n)[: _REFERENCE + _POOL]
    cut = min(_REFERENCE, drawn.size // 2)
    reference, pool = view.points[drawn[:cut]], view.points[drawn[cut:]]
    between = _far(reference, reference)[~np.eye(cut, dtype=bool)]
    gamma = 1.0 / max(float(np.median(between)), 1e-6)
    inner = float(np.exp(-gamma * between).mean())

    def discrepancy(windows: Any) -> Any:
        """Squared MMD, unbiased, of windows (n, WINDOW, 64) from the reference."""
        own = np.exp(-gamma * _far(windows, windows))
        apart = own.sum(axis=(1, 2)) - np.trace(own, axis1=1, axis2=2)
        cross = np.exp(-gamma * _far(windows, reference)).mean(axis=(1, 2))
        return apart / (WINDOW * (WINDOW - 1.0)) + inner - 2.0 * cross

    null = discrepancy(pool[rng.integers(0, pool.shape[0], (_DRAWS, WINDOW))])
    limit = max(float(np.quantile(null, _QUANTILE)), 1e-6)
    for start in range(0, who.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        score[who[part]] = discrepancy(view.points[rows[part]]) / limit
    return score.clip(0.0)


def _far(a: Any, b: Any) -> Any:
    """Squared distances of points of length 1; ``b`` may be one set for all."""
    return 2.0 - 2.0 * np.matmul(a, np.swapaxes(b, -1, -2))
