"""The compiled loops over anchors: counts, co-occurrence, votes.

All take the flat values and offsets of an Arrow list column, so that a batch is one call. Hash tables are open
addressing with linear probing over keys that are already hashes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_MIX = np.uint64(0x9E3779B97F4A7C15)
_UNMIX = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))
_FEW = 64
_HALF, _SIX, _REST, _BODY = np.uint64(32), np.uint64(6), np.uint64(58), np.uint64(63)
BUCKETS = 64
"""Into which anchors are scattered: six bits."""


@njit(cache=True, nogil=True)
def count_in_cells(cells, anchors):  # type: ignore[no-untyped-def]
    """Count anchors in ``cells`` (int32, a power of two of them), one cell each."""
    mask = np.uint64(cells.size - 1)
    for a in anchors:
        cells[a * _MIX >> _HALF & mask] += 1


@njit(cache=True, nogil=True)
def in_cells(cells, anchors):  # type: ignore[no-untyped-def]
    """What ``count_in_cells`` counted in the cell of each anchor, int32: never below what that one has."""
    mask = np.uint64(cells.size - 1)
    out = np.empty(anchors.size, np.int32)
    for i in range(anchors.size):
        out[i] = cells[anchors[i] * _MIX >> _HALF & mask]
    return out


@njit(cache=True, nogil=True)
def once(anchors, offsets):  # type: ignore[no-untyped-def]
    """Bool by anchor: whether it is one (not 0) and the first of its value in its row."""
    out = np.empty(anchors.size, np.bool_)
    for row in range(offsets.size - 1):
        for i in range(offsets[row], offsets[row + 1]):
            j = offsets[row]
            while anchors[j] != anchors[i]:
                j += 1
            out[i] = anchors[i] != 0 and j == i
    return out


@njit(cache=True, nogil=True)
def scatter(anchors, offsets, bodies, keys, ends):  # type: ignore[no-untyped-def]
    """Write the anchors of each row of a batch, each once, to the bucket that a mix of its bits names.

    ``bodies`` uint64 (rows,) tells one whole prompt from another. ``keys`` uint64, as many as there are anchors: the mix without
    its first six bits, which the bucket is, then six bits of the body. ``ends`` int64: bucket b is ``keys[ends[b]:ends[b + 1]]``.
    """
    made, of = np.empty(anchors.size, np.uint64), np.empty(anchors.size, np.uint8)
    ends[:] = 0
    n = 0
    kept = once(anchors, offsets)
    for row in range(offsets.size - 1):
        body = bodies[row] * _MIX >> _REST
        for i in range(offsets[row], offsets[row + 1]):
            if kept[i]:
                mixed = anchors[i] * _MIX
                bucket = mixed >> _REST
                made[n], of[n] = mixed << _SIX | body, bucket
                ends[bucket + np.uint64(1)] += 1
                n += 1
    for bucket in range(1, ends.size):
        ends[bucket] += ends[bucket - 1]
    at = ends.copy()
    for i in range(n):
        keys[at[of[i]]] = made[i]
        at[of[i]] += 1


@njit(cache=True, nogil=True)
def runs(keys, times, bucket, least, anchors, support, seen):  # type: ignore[no-untyped-def]
    """Write the anchors of a bucket's sorted ``keys`` that stand in ``least`` rows or more; return how many.

    ``times`` int32: for how many rows each key stands, one if it is empty. ``support``: the rows; ``seen`` uint64: a bit for
    each 64th of the bodies.
    """
    n = i = 0
    while i < keys.size:
        mixed, bits, rows = keys[i] >> _SIX, np.uint64(0), 0
        while i < keys.size and keys[i] >> _SIX == mixed:
            bits |= np.uint64(1) << (keys[i] & _BODY)
            rows += times[i] if times.size else 1
            i += 1
        if rows >= least:
            anchors[n] = (np.uint64(bucket) << _REST | mixed) * _UNMIX
            support[n], seen[n] = rows, bits
            n += 1
    return n


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
def _tally(ranks, lo, hi, component, mine, times):  # type: ignore[no-untyped-def]
    """Write which components the anchors lo … hi of a row are of, and how many each has.

    Returns how many components, and ``mine`` and ``times``, which are larger ones where a row had no room in them.
    """
    if hi - lo > mine.size:
        mine, times = np.empty(hi - lo, np.int32), np.empty(hi - lo, np.int64)
    kinds = 0
    for i in range(lo, hi):
        c = component[ranks[i]]
        k = 0
        while k < kinds and mine[k] != c:
            k += 1
        if k == kinds:
            mine[k], times[k] = c, 0
            kinds += 1
        times[k] += 1
    return kinds, mine, times


@njit(cache=True, nogil=True)
def _kept(kinds, varied, mine, times):  # type: ignore[no-untyped-def]
    """Move to the front who of a row's components is fully ``varied`` and stands there by two anchors; return how many."""
    kept = 0
    for k in range(kinds):
        if varied[mine[k]] == 2 and times[k] >= 2:
            mine[kept], times[kept] = mine[k], times[k]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def together(ranks, offsets, component, varied, rows, pairs):  # type: ignore[no-untyped-def]
    """Write the pairs of fully varied components that stand in a row together, the smaller one first; return how many.

    Adds to ``rows`` (int64 by component) how many each stands in. ``pairs`` int64: without room for all, -1 is returned.
    """
    n = 0
    total = np.int64(rows.size)
    mine, times = np.empty(_FEW, np.int32), np.empty(_FEW, np.int64)
    for row in range(offsets.size - 1):
        kinds, mine, times = _tally(ranks, offsets[row], offsets[row + 1], component, mine, times)
        kept = _kept(kinds, varied, mine, times)
        if kept * (kept - 1) // 2 > pairs.size - n:
            return -1
        for k in range(kept):
            rows[mine[k]] += 1
            for j in range(k):
                pairs[n] = min(mine[k], mine[j]) * total + max(mine[k], mine[j])
                n += 1
    return n


@njit(cache=True, nogil=True)
def _among(one, start, wholes, other):  # type: ignore[no-untyped-def]
    """Whether ``one`` is a part of the ``other``: ``wholes[start[one]:start[one + 1]]`` are those that it is a part of."""
    for i in range(start[one], start[one + 1]):  # noqa: SIM110 - numba compiles no generator
        if wholes[i] == other:
            return True
    return False


@njit(cache=True, nogil=True)
def _related(a, b, start, wholes):  # type: ignore[no-untyped-def]
    """Whether one of two components is a part of the other."""
    return _among(a, start, wholes, b) or _among(b, start, wholes, a)


@njit(cache=True, nogil=True)
def around(ranks, offsets, lengths, component, varied, start, wholes, keys):  # type: ignore[no-untyped-def]
    """Write for each fully varied component of a row what stands there beside it; return how many keys.

    A key (int64) is the component << 32 | a hash of the set of the others but for its parts and wholes. Rows of which these
    components hold less than half of the anchors are left out: what is around them there is text of its own. ``keys``: room
    for half as many as there are ``ranks``.
    """
    n = 0
    mine, times = np.empty(_FEW, np.int32), np.empty(_FEW, np.int64)
    for row in range(offsets.size - 1):
        kinds, mine, times = _tally(ranks, offsets[row], offsets[row + 1], component, mine, times)
        kept = _kept(kinds, varied, mine, times)
        held = 0
        for k in range(kept):
            held += times[k]
        if 2 * held < lengths[row]:
            continue
        for k in range(kept):
            others = np.uint64(0)
            for j in range(kept):
                if j != k and not _related(mine[k], mine[j], start, wholes):
                    one = np.uint64(mine[j] + 1) * _MIX
                    others += (one ^ (one >> np.uint64(29))) * _MIX
            keys[n] = np.int64(mine[k]) << 32 | np.int64(others >> _HALF)
            n += 1
    return n


@njit(cache=True, nogil=True)
def vote(ranks, offsets, lengths, component, size, varied, alike, start, wholes, out, lost):  # type: ignore[no-untyped-def]
    """For each row the component with most of its anchors (ties: the larger one), or -1.

    A row joins only with two anchors, or with all it has: one shared five-word phrase is a coincidence. The more
    ``varied`` components (int8: 0, 1, 2), that stand in different prompts, go first: a prompt that comes back whole, or
    an item in other words, is no template. Of fully varied ones that are no parts of each other (``start``, ``wholes``: see
    ``_among``) those go first whose company is ``alike`` (float32) half as often as another's, or less.
    Writes to ``lost`` (int64, room for half as many as ``ranks``) the component << 32 | row of each fully varied one that a
    row gives to another one; returns how many.
    """
    many = 0
    mine, times = np.empty(_FEW, np.int32), np.empty(_FEW, np.int64)
    for row in range(offsets.size - 1):
        out[row] = -1
        kinds, mine, times = _tally(ranks, offsets[row], offsets[row + 1], component, mine, times)
        for least in (2, 1, 0):
            best, best_n = -1, 0
            for k in range(kinds):
                c, n = mine[k], times[k]
                if varied[c] < least:
                    continue
                beaten = False
                if least == 2 and n >= 2:
                    for j in range(kinds):
                        d = mine[j]
                        beaten = beaten or (
                            varied[d] == 2
                            and times[j] >= 2
                            and 2 * alike[d] <= alike[c]
                            and not _related(c, d, start, wholes)
                        )
                if not beaten and (n > best_n or (n == best_n and best >= 0 and size[c] > size[best])):
                    best, best_n = c, n
            if best_n >= 2 or (best_n == 1 and lengths[row] == 1):
                out[row] = best
                break
        if out[row] >= 0 and varied[out[row]] == 2:
            for k in range(_kept(kinds, varied, mine, times)):
                if mine[k] != out[row]:
                    lost[many] = np.int64(mine[k]) << 32 | row
                    many += 1
    return many


@njit(cache=True, nogil=True)
def lost_inside(ranks, offsets, inner, size, host, out, lost):  # type: ignore[no-untyped-def]
    """The same of texts ``inner`` (int32 by rank: number, -1 for none) to their ``host``, where that has the vote (``out``).

    A text stands in a row by two anchors and half of its own (``size`` int64). Writes its number << 32 | row.
    """
    many = 0
    mine, times = np.empty(_FEW, np.int32), np.empty(_FEW, np.int64)
    for row in range(offsets.size - 1):
        kinds, mine, times = _tally(ranks, offsets[row], offsets[row + 1], inner, mine, times)
        for k in range(kinds):
            one = mine[k]
            if one >= 0 and host[one] == out[row] and times[k] >= 2 and 2 * times[k] >= size[one]:
                lost[many] = np.int64(one) << 32 | row
                many += 1
    return many
