"""Exact draws: log e-values for "more of those drawn are marked than a random draw would bring".

The chance under the null is that of an urn, known from what was counted, so no innocent data is needed to calibrate
it. The rivals are Fisher's noncentral hypergeometric (marked balls are drawn at ``odds`` to one), mixed evenly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, logsumexp

_ODDS = np.array([3.0, 30.0, 300.0])
_BETS = np.array([0.02, 0.1, 0.4, 0.9])


def enriched(hits: Any, drawn: Any, marked: Any, size: Any) -> float:
    """Log e-value that urns, drawn from without replacement and independently, gave too many marked balls.

    All int (urns,): urn i holds ``size`` balls of which ``marked`` are marked; ``drawn`` were drawn, ``hits`` of them
    marked. Null: every set of ``drawn`` balls is equally likely. The same odds are bet on in all urns.
    """
    table = np.stack([np.atleast_1d(one) for one in (hits, drawn, marked, size)]).astype(np.int64)
    kinds, times = np.unique(table, axis=1, return_counts=True)
    logs = np.zeros(_ODDS.size)
    for (x, k, m, n), count in zip(kinds.T.tolist(), times.tolist(), strict=True):
        ways = np.arange(max(0, k + m - n), min(k, m) + 1)
        chance = _choose(m, ways) + _choose(n - m, k - ways) - _choose(n, k)
        weight = np.log(_ODDS)
        logs += count * (x * weight - logsumexp(chance[:, None] + ways[:, None] * weight, axis=0))
    return float(logsumexp(logs) - np.log(_ODDS.size))


def _choose(n: Any, k: Any) -> Any:
    return gammaln(n + 1.0) - gammaln(np.asarray(k) + 1.0) - gammaln(n - np.asarray(k) + 1.0)


def inside(chance: Any, hit: Any) -> float:
    """Log e-value that events hit more often than their chances say.

    ``chance`` float (events,): the chance of each under the null given all before it; ``hit`` bool: whether it did.
    """
    usable = (chance > 0) & (chance < 1)
    q, x = np.asarray(chance, float)[usable, None], np.asarray(hit, bool)[usable, None]
    p = q + (1 - q) * _BETS
    logs = np.where(x, np.log(p / q), np.log1p(-p) - np.log1p(-q)).sum(axis=0)
    return float(logsumexp(logs) - np.log(_BETS.size))
