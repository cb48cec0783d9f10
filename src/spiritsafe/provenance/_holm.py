"""Several tests of one suspect, counted together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def holm(log10_p: Sequence[float]) -> list[float]:
    """Adjusted log10 p-values (Holm, "A simple sequentially rejective multiple test procedure", 1979)."""
    p = np.asarray(log10_p, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(p.size)
    adjusted[order] = np.minimum(0.0, np.maximum.accumulate(p[order] + np.log10(np.arange(p.size, 0, -1))))
    return adjusted.tolist()
