"""Second pass of the kernel: put slots in place of numbers, addresses, quoted and code spans.

What stays is the skeleton, what is taken away is the item. A run of equal slots is one slot, so ``1, 2, 3`` and
``1.5`` have one form. A text that is nothing but slots has no template: it is kept unmasked.
"""

from __future__ import annotations

import numpy as np

from spiritsafe.features._compile import compiled
from spiritsafe.features._scan import (
    CHARACTER,
    CLOSES,
    EVENT,
    FENCE,
    NUMBER,
    OPENS,
    TICK,
    mix,
)

KEPT, MARKED = 0, 1
SLOT_NUMBER, SLOT_URL, SLOT_EMAIL, SLOT_QUOTED, SLOT_CODE = range(2, 7)
"""``slots`` of a record: kept, a quotation mark that opened nothing, or the slot that took it away."""

REACH = 400
"""A quoted or inline code span is at most so many characters long."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_SEED = np.uint64(0x2B7E151628AED2A7)
_SLOT = np.uint64(0xA0761D6478BD642F)
_EVENTS = 8
_TO_SLOT = SLOT_NUMBER - NUMBER


@compiled
def mask(hashes, kinds, firsts, partners, slots, tokens, dense, heads, skeleton, item):  # type: ignore[no-untyped-def]
    """Write the masked tokens of each row to ``tokens`` (uint64), ``heads[r]:heads[r + 1]``.

    ``dense`` (bool) tells tokens of unspaced scripts, ``slots`` (uint8) the fate of each record, ``skeleton`` and
    ``item`` (uint64) per row; 0 where there is nothing. ``partners`` (int32) is scratch.
    """
    names = np.empty(8, np.uint64)
    for s in range(8):
        names[s] = mix(_SLOT * np.uint64(s + 1))
    ahead = np.empty(_EVENTS, np.int64)
    n = 0
    for row in range(firsts.size - 1):
        first, last = firsts[row], firsts[row + 1]
        heads[row] = n
        ahead[:] = -1
        for j in range(last - 1, first - 1, -1):
            kind = np.int64(kinds[j])
            if kind < EVENT:
                continue
            event = kind & 31
            p, fence = ahead[event - EVENT], ahead[FENCE - EVENT]
            if kind & OPENS == 0 or p < 0:
                p = -1
            elif event != FENCE and ((fence >= 0 and fence < p) or hashes[p] - hashes[j] > REACH):
                p = -1
            partners[j] = p
            if kind & CLOSES:
                ahead[event - EVENT] = j
        form, taken, left, some = _SEED, _SEED, 0, False
        j, previous = first, 0
        while j < last:
            kind = np.int64(kinds[j])
            stop = j + 1
            slot = KEPT
            if kind >= EVENT:
                if partners[j] < 0:
                    slots[j] = MARKED
                    j += 1
                    continue
                stop = np.int64(partners[j]) + 1
                slot = SLOT_CODE if kind & 31 >= TICK else SLOT_QUOTED
            elif kind >= NUMBER:
                slot = kind + _TO_SLOT
            if slot == KEPT:
                token = hashes[j]
                slots[j] = KEPT
                left += 1
            else:
                token = names[slot]
                for m in range(j, stop):
                    slots[m] = slot
                    if kinds[m] < EVENT:
                        taken = (taken ^ hashes[m]) * _STEP
                        some = True
            j = stop
            if slot == KEPT or slot != previous:
                tokens[n] = token
                dense[n] = slot == KEPT and kind == CHARACTER
                form = (form ^ token) * _STEP
                n += 1
            previous = slot
        if left == 0:
            n, form = heads[row], _SEED
            for m in range(first, last):
                if kinds[m] < EVENT:
                    tokens[n] = hashes[m]
                    dense[n] = kinds[m] == CHARACTER
                    form = (form ^ hashes[m]) * _STEP
                    n += 1
        skeleton[row] = max(mix(form), np.uint64(1)) if n > heads[row] else np.uint64(0)
        item[row] = max(mix(taken), np.uint64(1)) if some else np.uint64(0)
    heads[firsts.size - 1] = n
