"""The compiled loops over anchors: approximate counts, exact counts, co-occurrence, votes.

All take the flat values and offsets of an Arrow list column, so that a batch is one call. Hash tables are open
addressing with linear probing over keys that are already hashes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def count_roughly(cells, anchors):  # type: ignore[no-untyped-def]
    """Count anchors in a two-row saturating count-min sketch (Cormode & Muthukrishnan 2005), conservatively.

    ``cells`` uint8 of a power-of-two length: the estimate is never below the true count (up to 255).
    """
    mask = np.uint64(cells.size - 1)
    for i in range(anchors.size):
        a = anchors[i]
        p = a & mask
        q = ((a ^ (a >> np.uint64(31))) * _MIX >> np.uint64(20)) & mask
        low = min(cells[p], cells[q])
        if low < 255:
            if cells[p] == low:
                cells[p] = low + 1
            if cells[q] == low and q != p:
                cells[q] = low + 1


@njit(cache=True, nogil=True)
def count_exactly(cells, least, anchors, offsets, bodies, before, keys, counts, last, seen):  # type: ignore[no-untyped-def]
    """Add one batch to the exact table of anchors whose rough count reaches ``least``: in how many rows each occurs.

    ``before`` rows came before; ``bodies`` uint64 (rows,) tells one whole prompt from another. ``keys`` uint64 (0 = free
    slot), ``counts`` int32, ``last`` int64: the row that counted it last, from one, since a row's texts may hold one
    anchor twice; ``seen`` uint64: a bit for each 64th of the bodies it stood in. Returns the number of new keys; the
    caller grows the table before it is two thirds full.
    """
    mask = np.uint64(cells.size - 1)
    slots = np.uint64(keys.size - 1)
    added = 0
    for row in range(offsets.size - 1):
        number = before + row + 1
        bit = np.uint64(1) << (bodies[row] * _MIX >> np.uint64(58))
        for i in range(offsets[row], offsets[row + 1]):
            a = anchors[i]
            q = ((a ^ (a >> np.uint64(31))) * _MIX >> np.uint64(20)) & mask
            if a == 0 or min(cells[a & mask], cells[q]) < least:
                continue
            s = (a * _MIX >> np.uint64(17)) & slots
            while keys[s] != 0 and keys[s] != a:
                s = (s + np.uint64(1)) & slots
            if keys[s] == 0:
                keys[s] = a
                added += 1
            if last[s] != number:
                last[s] = number
                counts[s] += 1
                seen[s] |= bit
    return added


@njit(cache=True, nogil=True)
def grow(keys, counts, last, seen):  # type: ignore[no-untyped-def]
    """The same table with twice the slots."""
    size = keys.size * 2
    slots = np.uint64(size - 1)
    k2 = np.zeros(size, np.uint64)
    c2 = np.zeros(size, np.int32)
    l2 = np.zeros(size, np.int64)
    s2 = np.zeros(size, np.uint64)
    for i in range(keys.size):
        a = keys[i]
        if a == 0:
            continue
        s = (a * _MIX >> np.uint64(17)) & slots
        while k2[s] != 0:
            s = (s + np.uint64(1)) & slots
        k2[s], c2[s], l2[s], s2[s] = a, counts[i], last[i], seen[i]
    return k2, c2, l2, s2


@njit(cache=True, nogil=True)
def number(anchors, keys, ranks):  # type: ignore[no-untyped-def]
    """Fill an empty table (``keys`` uint64, ``ranks`` int32) with distinct ``anchors`` and the place of each, its rank."""
    slots = np.uint64(keys.size - 1)
    for rank in range(anchors.size):
        a = anchors[rank]
        s = (a * _MIX >> np.uint64(17)) & slots
        while keys[s] != 0:
            s = (s + np.uint64(1)) & slots
        keys[s] = a
        ranks[s] = rank


@njit(cache=True, nogil=True)
def look_up(keys, ranks, anchors, offsets, out, out_offsets):  # type: ignore[no-untyped-def]
    """Write each row's frequent anchors as ranks (0 = most frequent), sorted, into ``out``; return how many."""
    slots = np.uint64(keys.size - 1)
    end = 0
    out_offsets[0] = 0
    for row in range(offsets.size - 1):
        start = end
        for i in range(offsets[row], offsets[row + 1]):
            a = anchors[i]
            if a == 0:
                continue
            s = (a * _MIX >> np.uint64(17)) & slots
            while keys[s] != 0 and keys[s] != a:
                s = (s + np.uint64(1)) & slots
            if keys[s] == 0 or ranks[s] < 0:
                continue
            r = ranks[s]
            j = end
            while j > start and out[j - 1] > r:
                out[j] = out[j - 1]
                j -= 1
            if j > start and out[j - 1] == r:
                for m in range(j, end):
                    out[m] = out[m + 1]
                continue
            out[j] = r
            end += 1
        out_offsets[row + 1] = end
    return end


@njit(cache=True, nogil=True)
def neighbours(ranks, offsets, support, pairs):  # type: ignore[no-untyped-def]
    """Write the pairs of anchors that stand next to each other in support order within a row.

    Anchors of one template have almost the same support, so they are neighbours in every row of the template; a
    phrase common to many templates stands apart. Only pairs whose supports allow a Jaccard of 0.5 are written.
    """
    n = 0
    total = np.int64(support.size)
    for row in range(offsets.size - 1):
        for i in range(offsets[row], offsets[row + 1] - 1):
            a, b = np.int64(ranks[i]), np.int64(ranks[i + 1])
            if support[b] * 2 >= support[a]:
                pairs[n] = a * total + b
                n += 1
    return n


@njit(cache=True, nogil=True)
def vote(ranks, offsets, lengths, component, size, varied, out):  # type: ignore[no-untyped-def]
    """For each row the component with most of its anchors (ties: the larger one), or -1.

    A row joins only with two anchors, or with all it has: one shared five-word phrase is a coincidence. The more
    ``varied`` components (int8: 0, 1, 2), that stand in different prompts, go first: a prompt that comes back whole, or
    an item in other words, is no template.
    """
    for row in range(offsets.size - 1):
        out[row] = -1
        lo, hi = offsets[row], offsets[row + 1]
        for least in (2, 1, 0):
            best, best_n = -1, 0
            for i in range(lo, hi):
                c = component[ranks[i]]
                if varied[c] < least:
                    continue
                n = 0
                for j in range(lo, hi):
                    if component[ranks[j]] == c:
                        n += 1
                if n > best_n or (n == best_n and best >= 0 and size[c] > size[best]):
                    best, best_n = c, n
            if best_n >= 2 or (best_n == 1 and lengths[row] == 1):
                out[row] = best
                break
