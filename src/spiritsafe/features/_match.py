"""Lexicon pass of the kernel: find words, phrases and character runs among a row's tokens.

Prefixes were found while scanning. A phrase is a path in a trie that is stored as a hash table: the state after a
token is (state ^ name) * step, where the name is the token's hash or that of a stem which the word starts with.
"""

from __future__ import annotations

import numpy as np

from spiritsafe.features._compile import compiled, inner
from spiritsafe.features._scan import EVENT

STEP = 0x9E3779B97F4A7C15
ROOT = 0x6A09E667F3BCC909
LONGEST = 8
"""Tokens in the longest phrase."""

_STEP = np.uint64(STEP)
_ROOT = np.uint64(ROOT)
_R48, _R54 = np.uint64(48), np.uint64(54)
_SIX, _ONE = np.uint64(63), np.uint64(1)
_ZERO = np.uint64(0)
_BREADTH = 16


@inner
def _in(gate, h):  # type: ignore[no-untyped-def]
    """1 when the gate may know ``h``, else 0."""
    return (gate[h >> _R54] >> ((h >> _R48) & _SIX)) & _ONE


@inner
def _find(keys, state):  # type: ignore[no-untyped-def]
    """The slot of a state, or -1."""
    slots = np.uint64(keys.size - 1)
    slot = (state >> np.uint64(20)) & slots
    while keys[slot] != 0:
        if keys[slot] == state:
            return np.int64(slot)
        slot = (slot + _ONE) & slots
    return np.int64(-1)


@inner
def _walk(hashes, kinds, heads, j, last, names, up, keys, bits, states):  # type: ignore[no-untyped-def]
    """Bits of all phrases that begin with record ``j``: a breadth-first walk, as a word may have several names."""
    found = np.uint64(0)
    now, many, depth = 0, 1, 0
    states[0, 0] = _ROOT
    while j < last and depth < LONGEST and many > 0:
        if kinds[j] >= EVENT:
            j += 1
            continue
        new = 0
        name, stem = hashes[j], np.int64(heads[j])
        while True:
            for s in range(many):
                state = (states[now, s] ^ name) * _STEP
                slot = _find(keys, state)
                if slot >= 0 and new < _BREADTH:
                    found |= bits[slot]
                    states[1 - now, new] = state
                    new += 1
            if stem < 0:
                break
            name, stem = names[stem], np.int64(up[stem])
        now, many = 1 - now, new
        j += 1
        depth += 1
    return found


@compiled
def match(hashes, kinds, firsts, heads, names, links, trie, marks):  # type: ignore[no-untyped-def]
    """Or into ``marks`` (uint64, per row) the bits of all words and phrases that occur.

    ``heads`` and ``names`` as in ``scan``. ``links`` is (up, opens): the slot of the next shorter named stem or -1, and
    whether a phrase begins with this stem or a shorter one. ``trie`` is (single, first, pairs, keys, bits): gates of
    one-word rules, of first words and of the states after two words, then the nodes. Punctuation does not matter.
    """
    up, opens = links
    single, first, pairs, keys, bits = trie
    states = np.empty((2, _BREADTH), np.uint64)
    for row in range(firsts.size - 1):
        found = np.uint64(0)
        last = firsts[row + 1]
        before, begun, opening = -1, _ZERO, False
        for j in range(firsts[row], last):
            if kinds[j] >= EVENT:
                continue
            # One rarely taken branch: function words begin many phrases, but few pairs of words do.
            h, head = hashes[np.uint64(j)], heads[np.uint64(j)]
            alone = _in(single, h)
            paired = _in(pairs, (begun ^ h) * _STEP) | np.uint64(head >= 0)
            if alone | (paired & np.uint64(begun != _ZERO)) | np.uint64(opening):
                if alone:
                    slot = _find(keys, (_ROOT ^ h) * _STEP)
                    if slot >= 0:
                        found |= bits[slot]
                if before >= 0:
                    found |= _walk(hashes, kinds, heads, before, last, names, up, keys, bits, states)
            before = j
            begun = (_ROOT ^ h) * _STEP * _in(first, h)
            opening = head >= 0 and opens[head]
        marks[row] |= found
