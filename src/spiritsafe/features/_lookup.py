"""The lookup's compiled part: an open-addressing table of 64-bit keys, and counting of an indicator's keys."""

from __future__ import annotations

import numpy as np

from spiritsafe.features._compile import compiled, inner

_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


@inner
def _place(key, mask):  # type: ignore[no-untyped-def]
    return np.int64(((key * _MIX) >> _HALF) & mask)


@compiled
def fill(distinct, keys, slots):  # type: ignore[no-untyped-def]
    """Put key number i of ``distinct`` (uint64, none 0) into ``keys``; ``slots`` (int32) gets i. Size: a power of two."""
    mask = np.uint64(keys.size - 1)
    for number in range(distinct.size):
        at = _place(distinct[number], mask)
        while keys[at] != 0:
            at = (at + 1) & (keys.size - 1)
        keys[at] = distinct[number]
        slots[at] = number


@inner
def _count(key, keys, slots, ends, owners, found, touched, many):  # type: ignore[no-untyped-def]
    """Count one key for each indicator that has it; returns how many were touched, or -1 when there is no room."""
    at = _place(key, np.uint64(keys.size - 1))
    while keys[at] != 0:
        if keys[at] == key:
            for j in range(ends[slots[at]], ends[slots[at] + 1]):
                owner = owners[j]
                if found[owner] == 0:
                    if many == touched.size:
                        return -1
                    touched[many] = owner
                    many += 1
                found[owner] += 1
            return many
        at = (at + 1) & (keys.size - 1)
    return many


@compiled
def match(keys, slots, ends, owners, least, found, touched, request, salts):  # type: ignore[no-untyped-def]
    """Write to ``touched`` the indicators with at least ``least`` keys in the request; (how many, 1 if room was short).

    ``request``: anchors, system anchors, skeleton (one), bands, tokens, uint64 each; ``salts``: the skeleton's and the
    bands'. ``found`` int32 by indicator: all 0 before and after.
    """
    anchors, system, skeleton, bands, tokens = request
    many = 0
    for j in range(anchors.size):
        if many >= 0:
            many = _count(anchors[j], keys, slots, ends, owners, found, touched, many)
    for j in range(system.size):
        twice = False
        for m in range(anchors.size):
            twice = twice or anchors[m] == system[j]
        if many >= 0 and not twice:
            many = _count(system[j], keys, slots, ends, owners, found, touched, many)
    if many >= 0 and skeleton[0] != 0:
        many = _count(skeleton[0] ^ salts[0], keys, slots, ends, owners, found, touched, many)
    for j in range(bands.size):
        if many >= 0 and bands[j] != 0:
            many = _count(bands[j] ^ salts[1], keys, slots, ends, owners, found, touched, many)
    for j in range(tokens.size):
        if many >= 0:
            many = _count(tokens[j], keys, slots, ends, owners, found, touched, many)
    if many < 0:
        found[:] = 0
        return 0, 1
    held = 0
    for j in range(many):
        owner = touched[j]
        if found[owner] >= least[owner]:
            touched[held] = owner
            held += 1
        found[owner] = 0
    return held, 0


@compiled
def match_rows(table, request, is_skeleton, start, rows, numbers):  # type: ignore[no-untyped-def]
    """``match`` for the rows of a batch from ``start`` on, without bands; (next row, pairs written).

    ``table``: the first seven arguments of ``match``; ``request``: anchors and where each row's begin (one more than
    rows), the same of system anchors, skeletons, and tokens (rows, 2), 0 where there is none. ``touched`` is as long as
    ``found``, ``rows`` and ``numbers`` at least; a row that has no room in these ends the walk.
    """
    keys, slots, ends, owners, least, found, touched = table
    anchors, anchor_ends, system, system_ends, skeleton, tokens = request
    written = 0
    for i in range(start, skeleton.size):
        many = 0
        first, last = anchor_ends[i], anchor_ends[i + 1]
        for j in range(first, last):
            many = _count(anchors[j], keys, slots, ends, owners, found, touched, many)
        for j in range(system_ends[i], system_ends[i + 1]):
            twice = False
            for m in range(first, last):
                twice = twice or anchors[m] == system[j]
            if not twice:
                many = _count(system[j], keys, slots, ends, owners, found, touched, many)
        if skeleton[i] != 0:
            many = _count(skeleton[i] ^ is_skeleton, keys, slots, ends, owners, found, touched, many)
        for j in range(tokens.shape[1]):
            if tokens[i, j] != 0:
                many = _count(tokens[i, j], keys, slots, ends, owners, found, touched, many)
        held = 0
        for j in range(many):
            if found[touched[j]] >= least[touched[j]]:
                held += 1
        if written + held > rows.size:
            for j in range(many):
                found[touched[j]] = 0
            return i, written
        for j in range(many):
            owner = touched[j]
            if found[owner] >= least[owner]:
                rows[written] = i
                numbers[written] = owner
                written += 1
            found[owner] = 0
    return skeleton.size, written
