"""A language model made of hashed n-grams: the surrogate through which a suspect's text scores other text.

Interpolated Kneser-Ney (Chen & Goodman, "An empirical study of smoothing techniques", 1999), one discount a level. Built
by sorting, in seconds for millions of tokens; contexts are 64-bit hashes, so that no vocabulary is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.marking import prf
from spiritsafe.provenance._words import mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spiritsafe.provenance._words import Hashes, Tokens

    Floats = NDArray[np.float64]

_STEP = np.uint64(prf.STEP)
_BEGIN = np.uint64(0x2545F4914F6CDD1D)
_THREE, _FIVE = np.uint64(3), np.uint64(5)


@dataclass(frozen=True, slots=True)
class _Level:
    """Contexts of one length, sorted, with how often each was seen and with how many next tokens; then the n-grams."""

    contexts: Hashes
    seen: Floats
    types: Floats
    grams: Hashes
    counts: Floats
    discount: float


class Ngrams:
    """Probabilities of tokens given up to ``order`` - 1 before them, as in ``tokens``."""

    def __init__(self, tokens: Tokens, *, order: int) -> None:
        contexts = _contexts(tokens, order)
        grams = [_gram(context, tokens) for context, _ in contexts]
        self._base = 1.0 / (np.unique(tokens.ids).size + 1)
        self._levels: list[_Level] = []
        for depth, (context, reach) in enumerate(contexts):
            at = np.flatnonzero(reach)
            if depth < order - 1:
                # Kneser-Ney: a shorter run counts once for each token it was seen after, not each time.
                longer = np.flatnonzero(contexts[depth + 1][1])
                at = longer[np.unique(grams[depth + 1][longer], return_index=True)[1]]
            self._levels.append(_level(context[at], grams[depth][at]))

    def logprob(self, tokens: Tokens) -> Floats:
        """Natural log of each text's probability, float64 (texts,)."""
        p = np.full(tokens.ids.size, self._base)
        contexts = _contexts(tokens, len(self._levels))
        for level, (context, reach) in zip(self._levels, contexts, strict=True):
            seen, types = _looked_up(level.contexts, context, level.seen, level.types)
            (count,) = _looked_up(level.grams, _gram(context, tokens), level.counts)
            kept = np.maximum(count - level.discount, 0.0) + level.discount * types * p
            p = np.where(reach & (seen > 0), kept / np.maximum(seen, 1.0), p)
        return np.bincount(tokens.texts, np.log(p), tokens.lengths.size).astype(np.float64)


def _contexts(tokens: Tokens, order: int) -> list[tuple[Hashes, NDArray[np.bool_]]]:
    """Hash of what stands before each token, for each length, and whether that length is there (a text's begin counts)."""
    n = tokens.ids.size
    place = np.arange(n) - np.repeat(tokens.offsets[:-1], tokens.lengths)
    context = np.zeros(n, np.uint64)
    found = [(context, np.ones(n, np.bool_))]
    for depth in range(1, order):
        inside = np.flatnonzero(place >= depth)
        before = np.full(n, _BEGIN)
        before[inside] = tokens.ids[inside - depth]
        context = mixed(context * _THREE + before + _STEP)
        found.append((context, place >= depth - 1))
    return found


def _gram(context: Hashes, tokens: Tokens) -> Hashes:
    return mixed(context * _FIVE + tokens.ids)


def _level(context: Hashes, gram: Hashes) -> _Level:
    grams, first, counts = np.unique(gram, return_index=True, return_counts=True)
    contexts, inverse = np.unique(context[first], return_inverse=True)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return _Level(
        contexts=contexts,
        seen=np.bincount(inverse, counts, contexts.size).astype(np.float64),
        types=np.bincount(inverse, minlength=contexts.size).astype(np.float64),
        grams=grams,
        counts=counts.astype(np.float64),
        # Ney, Essen & Kneser (1994); a level on which nothing came once or twice would keep nothing for the new.
        discount=once / (once + 2 * twice) if once and twice else 0.5,
    )


def _looked_up(keys: Hashes, wanted: Hashes, *values: Floats) -> tuple[Floats, ...]:
    if not keys.size:
        return tuple(np.zeros(wanted.size) for _ in values)
    # Sorted questions walk through memory in one direction.
    order = np.argsort(wanted)
    at = np.empty(wanted.size, np.int64)
    at[order] = np.minimum(np.searchsorted(keys, wanted[order]), keys.size - 1)
    hit = keys[at] == wanted
    return tuple(np.where(hit, value[at], 0.0) for value in values)
