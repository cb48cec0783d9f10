"""The compiled betting loops of the randomisation tests: each returns the natural logarithm of an e-value.

Every loop conditions on a multiset and reads it in time order. Under the null each order is equally likely, so the
chance ``q`` of the next event is known exactly from what remains; the bet is a likelihood ratio against ``share * q``,
and the product has mean one (Ville 1939; Grünwald, de Heide & Koolen 2024). Independent customers come in bursts, which
makes early repeats *more* likely than ``q``: for them the product is a supermartingale.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def no_early_repeat(labels, kinds, reach, share):  # type: ignore[no-untyped-def]
    """Log e-value that a label recurs within ``reach`` events less often than in a random order.

    ``labels`` int64 (n,) in 0..kinds-1, in time order.
    """
    remaining = np.zeros(kinds, np.int64)
    for label in labels:
        remaining[label] += 1
    inside = np.zeros(kinds, np.int64)
    hot = 0
    left = labels.size
    total = 0.0
    for t in range(labels.size):
        label = labels[t]
        q = hot / left
        if 0.0 < q < 1.0:
            total += np.log(share) if inside[label] > 0 else np.log((1.0 - share * q) / (1.0 - q))
        # `hot` is what remains of the labels seen within reach: update for the draw, then for the window.
        if inside[label] > 0:
            hot -= 1
        remaining[label] -= 1
        left -= 1
        if inside[label] == 0:
            hot += remaining[label]
        inside[label] += 1
        if t >= reach:
            old = labels[t - reach]
            inside[old] -= 1
            if inside[old] == 0:
                hot -= remaining[old]
    return total


@njit(cache=True, nogil=True)
def no_early_turn(labels, tested, reach, share, slack, by_label):  # type: ignore[no-untyped-def]
    """The same where only some events are bet on: all others are known, and tell who sent a moment ago.

    ``labels`` int64 (n,) in time order; ``tested`` bool (n,); ``reach`` int64 by label: how many events of any label a
    return must come after. Given the others and how often each label is tested, each order of the tested labels is equally
    likely. ``slack``: by this share of ``q`` early returns may be rarer under the null, too. ``by_label`` float64 by label: what
    each has won or lost is added to it.
    """
    remaining = np.zeros(reach.size, np.int64)
    left = 0
    for t in range(labels.size):
        if tested[t]:
            remaining[labels[t]] += 1
            left += 1
    inside = np.zeros(reach.size, np.int64)
    due = np.full(labels.size + 1, -1, np.int64)
    after = np.full(labels.size, -1, np.int64)
    hot = 0
    total = 0.0
    for t in range(labels.size):
        old = due[t]
        while old >= 0:
            inside[labels[old]] -= 1
            if inside[labels[old]] == 0:
                hot -= remaining[labels[old]]
            old = after[old]
        label = labels[t]
        if tested[t]:
            if 0 < hot < left:
                q = hot / left * (1.0 - slack)
                won = np.log(share) if inside[label] > 0 else np.log((1.0 - share * q) / (1.0 - q))
                total += won
                by_label[label] += won
            if inside[label] > 0:
                hot -= 1
            remaining[label] -= 1
            left -= 1
        if inside[label] == 0:
            hot += remaining[label]
        inside[label] += 1
        end = t + reach[label] + 1
        if end <= labels.size:
            after[t] = due[end]
            due[end] = t
    return total


@njit(cache=True, nogil=True)
def shared_values(values, population, size, bets):  # type: ignore[no-untyped-def]
    """Log e-value that members share values more often than a random subset of the population would.

    ``values`` int64 (m,): each member's value, as index into ``population`` int64 (kinds,): how many of the ``size``
    parties in the whole log hold it. Drawing without replacement gives the exact chance that the next member's value
    was already seen. ``bets`` float64: alternatives for that chance, mixed evenly.
    """
    left = population.copy()
    seen = np.zeros(population.size, np.bool_)
    known = 0
    remain = size
    total = np.zeros(bets.size)
    for v in values:
        q = known / remain
        if 0.0 < q < 1.0:
            for k in range(bets.size):
                p = q + (1.0 - q) * bets[k]
                total[k] += np.log(p / q) if seen[v] else np.log((1.0 - p) / (1.0 - q))
        if seen[v]:
            known -= 1
        left[v] -= 1
        remain -= 1
        if not seen[v]:
            seen[v] = True
            known += left[v]
    return total


@njit(cache=True, nogil=True)
def keep_apart(first, slot, part, known, reach, bets, tested, learn):  # type: ignore[no-untyped-def]
    """Log e-values (parties, bets) that parties keep out of each other's way: each against itself moved on within its slots.

    Exchanges stand party by party: those of party k from ``first[k]`` on. ``slot``, ``part`` int64 (n,): when. ``known`` float64
    (slots, parts): what stands there already; each party is added once it was bet on, where ``learn`` says so. Two are near by
    a triangle of ``reach`` parts to each side. Where the phase of party k within the slots is independent of what is known, each
    of its moves (the same in all slots, round and round) is equally likely, so that the bet exp(-b * near) over its mean is
    fair given all before it, for each b of ``bets``. ``tested`` bool by party: who is bet on; the others only stand there.
    """
    parts = known.shape[1]
    won = np.zeros((first.size - 1, bets.size))
    near = np.zeros(parts)
    for k in range(first.size - 1):
        begin, end = first[k], first[k + 1]
        if tested[k] and end > begin:
            near[:] = 0.0
            for i in range(begin, end):
                row = known[slot[i]]
                at = part[i]
                for move in range(parts - at):
                    near[move] += row[at + move]
                for move in range(parts - at, parts):
                    near[move] += row[at + move - parts]
            least = near.min()
            for b in range(bets.size):
                mean = 0.0
                for move in range(parts):
                    mean += np.exp(-bets[b] * (near[move] - least))
                won[k, b] = -bets[b] * (near[0] - least) - np.log(mean / parts)
        if learn:
            for i in range(begin, end):
                for off in range(1 - reach, reach):
                    known[slot[i], (part[i] + off) % parts] += 1.0 - abs(off) / reach
    return won
