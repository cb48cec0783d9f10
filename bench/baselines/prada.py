"""PRADA (Juuti, Szyller, Marchal, Asokan, EuroS&P 2019, arXiv 1805.02628)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import shapiro

if TYPE_CHECKING:
    from baselines._view import View

PUBLISHED = 0.05
"""1 − δ. The paper chooses δ by data set, from 0.90 to 0.96 or so; 0.95 stands for them here."""

LEAST = 20
"""Exchanges that an account needs to be judged."""

MOST = 128
_CHUNK = 256
_SPREAD = 3.0
"""Distances further from the mean than three standard deviations are left out, as the paper does."""


def prada(view: View, *, seed: int) -> Any:
    """1 − W, W being Shapiro and Wilk's statistic of the distances of an account's exchanges to its growing set.

    As in the paper and its authors' code: one growing set a class; the distance of a query is the smallest to the set of
    its class; the query joins the set if that is above the class's threshold, the running maximum of mean − standard
    deviation of the set's distances; distances of all classes are tested together for normality, and an attacker's are
    expected not to be normal.

    Differences: the class is the template (a language model has no label); distances are Euclidean between projections;
    the authors test at more than 100 distances and take classes with ten, so an account at 26 exchanges a day would be
    judged on the fifth; here ``LEAST`` exchanges are enough, the first ``MOST`` are seen, and equal distances are not
    tested (W is 1 by convention). W depends on the number of distances; the paper compares it all the same.

    Steps run over the k-th exchange of all accounts at once; the test itself is one call an account.
    """
    del seed  # nothing is drawn
    score = np.zeros(view.parties)
    who, rows, length = view.windows(LEAST, MOST)
    for start in range(0, who.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        gaps = _distances(view.points[rows[part]], view.template[rows[part]], length[part])
        for party, row in zip(who[part].tolist(), gaps, strict=True):
            score[party] = _departure(row[~np.isnan(row)])
    return score


def _departure(gaps: Any) -> float:
    """1 − W of the distances that are no outliers; 0 where there are too few or all are equal."""
    kept = gaps[np.abs(gaps - gaps.mean()) <= _SPREAD * gaps.std()] if gaps.size else gaps
    if kept.size < LEAST // 2 or np.ptp(kept) < np.finfo(np.float32).eps:
        return 0.0
    return 1.0 - float(shapiro(kept).statistic)


def _distances(points: Any, kind: Any, length: Any) -> Any:
    """float64 (accounts, width): the distance of each exchange to its class's growing set, NaN for the first of a class."""
    shape = kind.shape
    inside = np.zeros(shape, bool)
    gap, limit = np.zeros(shape), np.zeros(shape)
    seen = np.full(shape, np.nan)
    for k in range(shape[1]):
        same = inside[:, :k] & (kind[:, :k] == kind[:, k : k + 1])
        cosine = np.einsum("akd,ad->ak", points[:, :k], points[:, k])
        far = np.sqrt((2.0 - 2.0 * cosine).clip(0.0))
        nearest = np.where(same, far, np.inf).min(axis=1, initial=np.inf)
        known = same.any(axis=1)
        live = k < length
        seen[known & live, k] = nearest[known & live]
        joins = live & (~known | (nearest > np.where(same, limit[:, :k], 0.0).max(axis=1, initial=0.0)))
        grown = known & joins
        inside[:, k] = joins
        gap[grown, k] = nearest[grown]
        member = np.concatenate([same, joins[:, None]], axis=1)
        n = member.sum(axis=1).clip(1)
        mean = (gap[:, : k + 1] * member).sum(axis=1) / n
        variance = (gap[:, : k + 1] ** 2 * member).sum(axis=1) / n - mean**2
        limit[grown, k] = (mean - np.sqrt(variance.clip(0.0)))[grown]
    return seen
