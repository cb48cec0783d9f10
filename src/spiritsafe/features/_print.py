"""Third pass of the kernel: anchors, projection and MinHash of masked tokens."""

from __future__ import annotations

import numpy as np

from spiritsafe.features._compile import compiled, inner
from spiritsafe.features._scan import mix

RUN, DENSE_RUN = 5, 8
"""Tokens in an anchor's shingle; the second where it starts in an unspaced script."""
WINDOW, FINE_WINDOW = 8, 4
"""Shingles of which the least is an anchor."""
EDGE, FINE_EDGE = 64, 24
"""Anchors are winnowed from the first and the last ``EDGE`` tokens, by the finer window from so many: instructions are short."""
LOWEST = 6
"""How many of the smallest shingle hashes of the whole text are anchors too."""
DIMENSIONS = 64
LANES = 128
BANDS, ROWS = 32, 4

_FULL = np.uint32(0xFFFFFFFF)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_SEED = np.uint64(0x243F6A8885A308D3)
_C = np.array(
    [
        0x9FB21C651E98DF25,
        0xD6E8FEB86659FD93,
        0xA0761D6478BD642F,
        0xE7037ED1A0B428DB,
        0x8EBC6AF09C88C6E3,
        0x589965CC75374CC3,
        0x1D8E4E27C47D124F,
        0xEB44ACCAB455D165,
    ],
    np.uint64,
)
_C0, _C1, _C2, _C3 = _C[:4]
_C4, _C5, _C6, _C7 = _C[4:]
_1, _2, _3, _4, _5, _6, _7 = np.arange(1, 8, dtype=np.uint64)


@inner
def _winnow(prints, dense, first, low, high, window, buffer, chosen, many):  # type: ignore[no-untyped-def]
    """Append to ``chosen`` the minimum of each window of shingles that lie in tokens ``low:high``; return how many.

    ``window``: shingles in one, a power of two.
    """
    size = 0
    for j in range(low, high):
        buffer[size] = prints[first + j]
        size += j + (DENSE_RUN if dense[first + j] else RUN) <= high
    if size == 0:
        return many
    while size < window:
        buffer[size] = buffer[size - 1]
        size += 1
    reach = 1
    while reach < window:
        size -= reach
        for j in range(size):
            buffer[j] = min(buffer[j], buffer[j + reach])
        reach *= 2
    for j in range(size):
        chosen[many] = buffer[j]
        many += j + 1 == size or buffer[j + 1] != buffer[j]
    return many


@inner
def _ends(prints, dense, first, n, edge, window, buffer, chosen, many):  # type: ignore[no-untyped-def]
    """Winnow the first and the last ``edge`` of ``n`` tokens, or all of them where these meet."""
    if n <= 2 * edge:
        return _winnow(prints, dense, first, 0, n, window, buffer, chosen, many)
    many = _winnow(prints, dense, first, 0, edge, window, buffer, chosen, many)
    return _winnow(prints, dense, first, n - edge, n, window, buffer, chosen, many)


@inner
def _insert(chosen, many, value):  # type: ignore[no-untyped-def]
    """Insert into a sorted distinct array; return the new size."""
    j = many
    while j > 0 and chosen[j - 1] > value:
        j -= 1
    if j > 0 and chosen[j - 1] == value:
        return many
    for m in range(many, j, -1):
        chosen[m] = chosen[m - 1]
    chosen[j] = value
    return many + 1


@compiled
def anchors(tokens, dense, heads, most, prints, out, ends):  # type: ignore[no-untyped-def]
    """Write each row's anchors, sorted and distinct, to ``out`` (uint64); ``ends`` (int32, rows + 1) are offsets.

    ``most`` above 0 keeps only so many of the smallest, which ends the winnowing guarantee. ``prints`` (uint64) is
    scratch, as long as ``tokens``.
    """
    buffer = np.empty(2 * EDGE, np.uint64)
    raw = np.empty(2 * (EDGE + FINE_EDGE) + 8, np.uint64)
    chosen = np.empty(raw.size + LOWEST, np.uint64)
    lowest = np.empty(LOWEST + 1, np.uint64)
    end = 0
    ends[0] = 0
    for row in range(heads.size - 1):
        first, n = heads[row], heads[row + 1] - heads[row]
        low_many, valid = 0, 0
        for j in range(first, first + n):
            size = DENSE_RUN if dense[j] else RUN
            if j + size > first + n:
                continue
            m = np.uint64(j)
            x = tokens[m] * _C0 + tokens[m + _1] * _C1 + tokens[m + _2] * _C2 + tokens[m + _3] * _C3
            x += tokens[m + _4] * _C4
            if size == DENSE_RUN:
                x += tokens[m + _5] * _C5 + tokens[m + _6] * _C6 + tokens[m + _7] * _C7
            x = max(mix(x), np.uint64(1))
            prints[j] = x
            valid += 1
            if low_many < LOWEST or x < lowest[low_many - 1]:
                low_many = min(_insert(lowest, low_many, x), LOWEST)
        many = 0
        if n > 0 and valid == 0:
            x = _SEED
            for j in range(first, first + n):
                x = (x ^ tokens[j]) * _STEP
            chosen[0] = max(mix(x), np.uint64(1))
            many = 1
        elif n > 0:
            found = _ends(prints, dense, first, n, EDGE, WINDOW, buffer, raw, 0)
            found = _ends(prints, dense, first, n, FINE_EDGE, FINE_WINDOW, buffer, raw, found)
            for j in range(found):
                many = _insert(chosen, many, raw[j])
            for j in range(low_many):
                many = _insert(chosen, many, lowest[j])
        if most > 0:
            many = min(many, most)
        for j in range(many):
            out[end + j] = chosen[j]
        end += many
        ends[row + 1] = end


@inner
def _add(sums, feature):  # type: ignore[no-untyped-def]
    """Add one feature to two of the 64 dimensions, one in each half: 6 bits of the hash choose place and sign."""
    f = np.int64(feature >> np.uint64(52))
    sums[np.uint64(f & 31)] += 1 - ((f >> 4) & 2)
    sums[np.uint64(((f >> 6) & 31) | 32)] += 1 - ((f >> 10) & 2)


@compiled
def project(tokens, heads, out):  # type: ignore[no-untyped-def]
    """Signed-hash projection of unigrams and bigrams into ``out`` int8 (rows, 64), scaled to length 127.

    A sparse Johnson-Lindenstrauss transform with two non-zeros a feature (Kane & Nelson 2014); root mean
    square error of a cosine about 0.05 on bags of 200 words, as with a dense one.
    """
    sums = np.empty(DIMENSIONS, np.int64)
    for row in range(heads.size - 1):
        first, last = heads[row], heads[row + 1]
        sums[:] = 0
        before = np.uint64(0)
        for j in range(first, last):
            token = tokens[np.uint64(j)]
            _add(sums, token)
            if j > first:
                _add(sums, before * _C0 + token * _C1)
            before = token
        square = 0
        for d in range(DIMENSIONS):
            square += sums[d] * sums[d]
        scale = 127.0 / np.sqrt(np.float64(square)) if square > 0 else 0.0
        for d in range(DIMENSIONS):
            out[row, d] = np.int8(np.rint(sums[d] * scale))


@compiled
def minhash(tokens, heads, factors, terms, signatures):  # type: ignore[no-untyped-def]
    """MinHash of the 3-token shingles of each row into ``signatures`` uint32 (rows, 128); no shingle: all ones.

    Lane i is the minimum of (x ^ terms[i]) * factors[i] over the shingles' 32-bit hashes x, a bijection as a
    permutation of the universe should be. Four shingles a step keep the lanes in registers.
    """
    queue = np.empty(4, np.uint32)
    for row in range(heads.size - 1):
        first, last = heads[row], heads[row + 1]
        lane = signatures[row]
        lane[:] = _FULL
        stop = max(last - 2, min(first + 1, last))
        j = first
        while j < stop:
            for q in range(4):
                at = min(j + q, stop - 1)
                x = tokens[at] * _C0
                if at + 1 < last:
                    x += tokens[at + 1] * _C1
                if at + 2 < last:
                    x += tokens[at + 2] * _C2
                queue[q] = np.uint32(mix(x) >> np.uint64(32))
            a, b, c, d = queue[0], queue[1], queue[2], queue[3]
            for i in range(LANES):
                f, t = factors[i], terms[i]
                u = min(np.uint32((a ^ t) * f), np.uint32((b ^ t) * f))
                v = min(np.uint32((c ^ t) * f), np.uint32((d ^ t) * f))
                lane[i] = min(lane[i], u, v)
            j += 4


@compiled
def bands(signatures, out):  # type: ignore[no-untyped-def]
    """Hash each four lanes into ``out`` uint64 (rows, 32); 0, which matches nobody, where there was no text."""
    for row in range(signatures.shape[0]):
        lane = signatures[row]
        some = False
        for i in range(LANES):
            some = some or lane[i] != _FULL
        for b in range(BANDS):
            i = b * ROWS
            x = (np.uint64(lane[i]) << np.uint64(32) | np.uint64(lane[i + 1])) * _C0
            x += (np.uint64(lane[i + 2]) << np.uint64(32) | np.uint64(lane[i + 3])) * _C1
            out[row, b] = max(mix(x + np.uint64(b)), np.uint64(1)) if some else np.uint64(0)
