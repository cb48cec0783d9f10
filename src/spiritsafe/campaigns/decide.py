"""Decision: which candidates may be accused, at a stated false discovery rate.

e-BH (Wang & Ramdas, JRSS-B 2022): with K candidates and e-values e, accuse the k largest where k is the largest number
with e_(k) >= K / (k * alpha). Controls the FDR for any dependence between the candidates.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def e_bh(log_e: Any, *, fdr: float, candidates: int | None = None) -> Any:
    """Boolean array: the candidates that e-BH rejects at ``fdr``.

    ``log_e`` natural logarithms of e-values; ``candidates`` how many were tested in all (default: as many as given).
    """
    logs = np.asarray(log_e, float)
    total = max(candidates or 0, logs.size)
    if not logs.size:
        return np.zeros(0, bool)
    order = np.argsort(-logs, kind="stable")
    k = np.arange(1, logs.size + 1)
    passed = np.flatnonzero(logs[order] >= np.log(total) - np.log(k * fdr))
    chosen = np.zeros(logs.size, bool)
    if passed.size:
        chosen[order[: passed[-1] + 1]] = True
    return chosen


def bar(candidates: int, accused: int, *, fdr: float) -> float:
    """The log e-value that each of ``accused`` rejections among ``candidates`` must reach: ``log(K / (k * fdr))``."""
    return float(np.log(max(1, candidates) / (max(1, accused) * fdr)))
