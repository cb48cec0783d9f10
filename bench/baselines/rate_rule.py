"""Per-account rate rule: what every provider has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from baselines._view import DAY

if TYPE_CHECKING:
    from baselines._view import View


def rate_rule(view: View, *, seed: int) -> Any:
    """Exchanges of the busiest account of a party on its busiest day (UTC).

    No paper: the quota of any API gateway. It has no threshold of its own but the calibrated one.
    """
    del seed  # nothing is drawn
    score = np.zeros(view.parties)
    days = np.unique(view.time // DAY, return_inverse=True)[1]
    width = int(days.max(initial=0)) + 1
    key, first, count = np.unique(view.account * width + days, return_index=True, return_counts=True)
    if key.size:
        np.maximum.at(score, view.party[first], count.astype(np.float64))
    return score
