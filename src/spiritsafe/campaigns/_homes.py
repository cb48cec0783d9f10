"""Which groups have most of their parties in a larger one, found by what each party is in."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def homes(start, party, parties):  # type: ignore[no-untyped-def]
    """Int64 by group: the first group at home that has more than half of its parties, or itself, which is at home then.

    Group g holds the distinct ``party[start[g]:start[g + 1]]``, numbers below ``parties``. Time goes with how many groups at home
    a party is in, room with all parties of these: not with groups times groups, nor with groups times parties.
    """
    count = start.size - 1
    out, inside, met = np.empty(count, np.int64), np.zeros(count, np.int64), np.empty(count, np.int64)
    last = np.full(parties, -1, np.int64)
    before, at = np.empty(party.size, np.int64), np.empty(party.size, np.int64)
    used = 0
    for group in range(count):
        mine = party[start[group] : start[group + 1]]
        kinds = 0
        for one in mine:
            entry = last[one]
            while entry >= 0:
                if inside[at[entry]] == 0:
                    met[kinds] = at[entry]
                    kinds += 1
                inside[at[entry]] += 1
                entry = before[entry]
        home = group
        for other in met[:kinds]:
            if 2 * inside[other] > mine.size:
                home = min(home, other)
            inside[other] = 0
        out[group] = home
        if home == group:
            for one in mine:
                before[used], at[used], last[one] = last[one], group, used
                used += 1
    return out
