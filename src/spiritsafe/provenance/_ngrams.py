"""A language model made of hashed n-grams: the surrogate through which a suspect's text scores other text.

Interpolated, from the longest context down to the single token. Built by sorting, in seconds for millions of tokens.
``kneser``: Kneser-Ney (Chen & Goodman 1999), one discount a level; else Witten-Bell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.provenance._words import Tokens, mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spiritsafe.provenance._words import Hashes, Places

    Floats = NDArray[np.float64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_BEGIN = np.uint64(0x2545F4914F6CDD1D)
_PROMPT = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class _Level:
    contexts: Hashes
    seen: Floats
    types: Floats
    grams: Hashes
    counts: Floats
    discount: float


def _keys(tokens: Tokens, order: int, prompts: Hashes | None, own: int) -> list[tuple[Hashes, NDArray[np.bool_]]]:
    n = tokens.ids.size
    place = np.arange(n) - np.repeat(tokens.offsets[:-1], tokens.lengths)
    context = np.zeros(n, np.uint64)
    found = [(context, np.ones(n, np.bool_))]
    for depth in range(1, order):
        before = np.full(n, _BEGIN)
        inside = place >= depth
        before[inside] = tokens.ids[np.flatnonzero(inside) - depth]
        context = mixed(context * np.uint64(3) + before + _STEP)
        found.append((context, place >= depth - 1))
    if prompts is not None:
        prompt = mixed(prompts[tokens.texts] ^ _PROMPT)
        found += [(mixed(key ^ prompt), reach) for key, reach in found[:own]]
    return found


class Ngrams:
    def __init__(self, tokens: Tokens, *, order: int, kneser: bool = False, prompts=None, own: int = 0, types: int = 0):
        self.order, self.kneser, self.own = order, kneser, own if prompts is not None else 0
        self.types = types or np.unique(tokens.ids).size + 1
        keys = _keys(tokens, order, prompts, self.own)
        self.levels = []
        grams = [mixed(k * np.uint64(5) + tokens.ids) for k, _ in keys]
        for depth, (context, reach) in enumerate(keys):
            idx = np.flatnonzero(reach)
            if kneser and depth < order - 1:
                nxt = np.flatnonzero(keys[depth + 1][1])
                _, first = np.unique(grams[depth + 1][nxt], return_index=True)
                idx = nxt[first]
            g, first, counts = np.unique(grams[depth][idx], return_index=True, return_counts=True)
            h, inv = np.unique(context[idx][first], return_inverse=True)
            ones, twos = (counts == 1).sum(), (counts == 2).sum()
            self.levels.append(_Level(h, np.bincount(inv, counts, h.size), np.bincount(inv, minlength=h.size).astype(float), g, counts.astype(float), float(ones / max(1, ones + 2 * twos))))

    def logprob(self, tokens: Tokens, prompts=None, per=False):
        keys = _keys(tokens, self.order, prompts, self.own)
        p = np.full(tokens.ids.size, 1.0 / self.types)
        for level, (context, reach) in zip(self.levels, keys, strict=False):
            seen, types = _found(level.contexts, context, level.seen, level.types)
            (count,) = _found(level.grams, mixed(context * np.uint64(5) + tokens.ids), level.counts)
            use = reach & (seen > 0)
            s = np.maximum(seen, 1)
            if self.kneser:
                q = (np.maximum(count - level.discount, 0) + level.discount * types * p) / s
            else:
                q = (count + types * p) / (s + types)
            p = np.where(use, q, p)
        lp = np.log(p)
        return lp


def _found(keys, wanted, *values):
    if not keys.size:
        return tuple(np.zeros(wanted.size) for _ in values)
    order = np.argsort(wanted)
    at = np.empty(wanted.size, np.int64)
    at[order] = np.minimum(np.searchsorted(keys, wanted[order]), keys.size - 1)
    hit = keys[at] == wanted
    return tuple(np.where(hit, v[at], 0.0) for v in values)
