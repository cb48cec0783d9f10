"""The pairs of context and token that a suspect said, each once, and what a mark key makes of them.

Given the text, the numbers that a key gives to different (context, token) pairs are independent, whatever the text is:
so each pair is counted once with a weight, and the sum has a known distribution under a key that the text does not depend
on. Two pairs that share a 64-bit digest are taken for one, which changes a weight and no distribution.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numba import njit

from spiritsafe.marking import prf
from spiritsafe.provenance import _tails
from spiritsafe.provenance._ngrams import Ngrams
from spiritsafe.provenance._words import hashed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spiritsafe.marking.keys import MarkKey
    from spiritsafe.provenance._tails import Tail
    from spiritsafe.provenance._words import Tokens

    Words = NDArray[np.uint64]
    Whole = NDArray[np.int64]

MOST = 32.0
"""No pair counts for more than a thousand that came once unexpectedly, squared: stock phrases do not drown the rest."""
_PUBLIC = np.array([0x73706972, 0x69747361], np.uint64)
_TOP = 1.0 - 2.0**-53
"""The greatest uniform below 1: one in 2^54 rounds up to 1, whose exponential would be infinite."""


@dataclass(frozen=True)
class Grams:
    """Pairs of context and token, each once.

    contexts: int64 (m, width), each once; of: int64 (n,), which context each pair has; tokens: int64 (n,); counts: int64
    (n,), in how many texts the pair stands. windows: places looked at, excluded: of these, where the pair also stands in
    the text's own prompt.
    """

    contexts: Whole
    of: Whole
    tokens: Whole
    counts: Whole
    windows: int
    excluded: int

    def __len__(self) -> int:
        return int(self.tokens.size)


@dataclass(frozen=True)
class Total:
    """A key's weighted sum over pairs, and its exact upper tail when the text does not depend on the key."""

    statistic: float
    tail: Tail


def grams(texts: Sequence[Sequence[int]], prompts: Sequence[Sequence[int]], width: int) -> Grams:
    """Pairs of ``width`` tokens and the next, inside each text. ``prompts``: of each text, token ids."""
    owner, windows = _windows(texts, width)
    asked, known = _windows(prompts, width)
    mine = _digests(owner, windows)
    kept = ~np.isin(mine, _digests(asked, known))
    # A text that says the same thing ten times says it once: loops are no evidence.
    _, once = np.unique(mine[kept], return_index=True)
    return unite(windows[kept][once], windows=len(windows), excluded=int((~kept).sum()))[0]


def unite(found: Whole, *, windows: int, excluded: int) -> tuple[Grams, Whole]:
    """Rows of a context and its token, int64 (n, width + 1), as pairs; and which pair each row is, int64 (n,)."""
    _, first, which, counts = np.unique(
        prf.seeds(_PUBLIC, found), return_index=True, return_inverse=True, return_counts=True
    )
    distinct = found[first]
    before = np.ascontiguousarray(distinct[:, :-1])
    _, first, of = np.unique(prf.seeds(_PUBLIC, before), return_index=True, return_inverse=True)
    return Grams(before[first], of, distinct[:, -1].copy(), counts, windows, excluded), which


def weights(found: Grams, expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much each pair counts, chosen without the key: by how far its count is from what was ``expected``.

    (c - m) / sqrt(m + 1) for a pair in c texts where m were expected: of the order of what the likelihood of a model that
    learned the mark adds for it. Below zero where the suspect says a pair more rarely than others do, which a mark also
    does. Cut at ``MOST`` and in eighths, as whole numbers, so that the tail's formula for them holds.
    """
    far = (found.counts - expected) / np.sqrt(expected + 1.0)
    return np.round(8.0 * np.clip(far, -MOST, MOST))


def expected(found: Grams, others: Tokens | None, said: Tokens) -> NDArray[np.float64]:
    """In how many texts each pair was to be expected, float64 (n,), had the suspect learned its context otherwise.

    ``others``: what controls said, in the teacher's tokens; a model of n-grams of it gives each token's chance. Without
    them the suspect itself (``said``) tells, by one token of context less: then only what the last token of context adds
    counts as the mark's.
    """
    width = found.contexts.shape[1]
    model = Ngrams(said, order=width) if others is None else Ngrams(others, order=width + 1)
    each = np.bincount(found.of, weights=found.counts, minlength=len(found.contexts)).astype(np.float64)
    whole = hashed(np.column_stack([found.contexts[found.of], found.tokens]))
    before = hashed(found.contexts[found.of])
    return each[found.of] * np.exp(model.logprob(whole) - model.logprob(before))


def totals(found: Grams, weight: NDArray[np.float64], keys: Sequence[MarkKey]) -> list[Total]:
    """What each key makes of the pairs; the keys have one width, which is that of ``found``. Runs on all cores."""
    each, many = np.unique(weight, return_counts=True)

    def one(key: MarkKey) -> Total:
        if key.scheme == "green":
            s = float(greens(key.words, found.contexts, found.of, found.tokens, weight, key.share))
            return Total(s, _tails.greens(each, many, key.share, s))
        s = float(exponentials(key.words, found.contexts, found.of, found.tokens, weight))
        return Total(s, _tails.exponentials(each, many, s))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, keys))


@njit(cache=True, nogil=True)
def greens(
    key: Words, contexts: Whole, of: Whole, tokens: Whole, weight: NDArray[np.float64], share: float
) -> float:
    """Sum of the weights of the pairs that are green under a key; shapes as in ``Grams``."""
    drawn = prf.seeds(key, contexts)
    total = 0.0
    for start in range(0, tokens.size, 4096):
        end = min(start + 4096, tokens.size)
        uniform = prf.uniforms(drawn[of[start:end]], tokens[start:end])
        for i in range(end - start):
            if uniform[i] < share:
                total += weight[start + i]
    return total


@njit(cache=True, nogil=True)
def exponentials(key: Words, contexts: Whole, of: Whole, tokens: Whole, weight: NDArray[np.float64]) -> float:
    """Weighted sum of -log(1 - u) of each pair under a key, which is a standard exponential where nothing is marked."""
    drawn = prf.seeds(key, contexts)
    total = 0.0
    for start in range(0, tokens.size, 4096):
        end = min(start + 4096, tokens.size)
        uniform = prf.uniforms(drawn[of[start:end]], tokens[start:end])
        for i in range(end - start):
            total += weight[start + i] * -np.log1p(-min(uniform[i], _TOP))
    return total


def _windows(texts: Sequence[Sequence[int]], width: int) -> tuple[Whole, Whole]:
    """Which text each window comes from, int64 (n,), and the windows, int64 (n, width + 1)."""
    listed = pa.array(texts, pa.list_(pa.int64()))
    values = listed.flatten().to_numpy()
    lengths = np.array([len(one) for one in texts], np.int64)
    many = np.maximum(lengths - width, 0)
    owner = np.repeat(np.arange(len(texts)), many)
    begins = np.repeat(np.cumsum(lengths) - lengths - (np.cumsum(many) - many), many)
    at = begins + np.arange(owner.size)
    return owner, values[at[:, None] + np.arange(width + 1)].reshape(-1, width + 1)


def _digests(owner: Whole, windows: Whole) -> Words:
    """A digest of each window together with the text that it comes from."""
    return prf.seeds(_PUBLIC, np.column_stack([owner, windows]))
