"""Which groups have most of their parties in a larger one, found by what each party is in."""

from __future__ import annotations

import numpy as np
from numba import njit

_ROOM = 16
"""Numbers of a block, which fits a line of a processor's cache: the block before it, and groups."""


@njit(cache=True, nogil=True)
def homes(start, party, parties):  # type: ignore[no-untyped-def]
    """Int64 by group: the first group at home that has more than half of its parties, or itself, which is at home then.

    Group g holds the distinct ``party[start[g]:start[g + 1]]``, numbers below ``parties``. Time goes with how many groups at home
    a party is in, room with all parties of these: not with groups times groups, nor with groups times parties.
    """
    count = start.size - 1
    out = np.empty(count, np.int64)
    inside, met = np.zeros(count, np.int32), np.empty(count, np.int32)
    # What a party is in stands in a chain of blocks; of the last one some are free.
    last, free = np.full(parties, -1, np.int32), np.zeros(parties, np.int8)
    block = np.empty((party.size // (_ROOM - 1) + min(parties, party.size) + 1, _ROOM), np.int32)
    used = 0
    for group in range(count):
        mine = party[start[group] : start[group + 1]]
        kinds = 0
        for one in mine:
            at, begin = last[one], 1 + free[one]
            while at >= 0:
                for entry in range(begin, _ROOM):
                    other = block[at, entry]
                    if inside[other] == 0:
                        met[kinds] = other
                        kinds += 1
                    inside[other] += 1
                at, begin = block[at, 0], 1
        home = group
        for other in met[:kinds]:
            if 2 * inside[other] > mine.size:
                home = min(home, other)
            inside[other] = 0
        out[group] = home
        if home == group:
            for one in mine:
                if free[one] == 0:
                    block[used, 0] = last[one]
                    last[one], free[one] = used, _ROOM - 1
                    used += 1
                block[last[one], free[one]] = group
                free[one] -= 1
    return out
