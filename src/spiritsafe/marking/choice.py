"""Marks by choosing: of several answers that a model drew, serve the one that a key prefers.

For models whose logits nobody lets us touch. An answer's words are its tokens; a key marks pairs of a few words and the
next, as a logits processor does with the model's tokens, and the answer with most marked pairs wins. Each answer is one
that the model gave by itself. Whether a suspect learned the mark is asked with ``Words`` for a tokenizer: the null
distribution is exact as ever, because it is about the key and not about how answers came to be.

The drafts are dealt into two hands; the key picks the best of each, and a committed coin says which of the two is served.
The two picks are exchangeable, so the other one is a ghost for the twins test. With two drafts nothing is left to
the key, and it is the twins' draw alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from spiritsafe.errors import UsageError
from spiritsafe.marking import prf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.marking.keys import MarkKey

_WORD: Final = re.compile(r"\w+")


class Words:
    """Splits text into words without case; a word's id is 62 bits of its digest, so that there is no vocabulary to keep."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    @property
    def name(self) -> str:
        """What it is; another way to split would be another mark."""
        return "words-1"

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of the words of each text."""
        return [[self._id(word) for word in _WORD.findall(text.casefold())] for text in texts]

    def _id(self, word: str) -> int:
        known = self._ids.get(word)
        if known is None:
            digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            known = self._ids[word] = int.from_bytes(digest, "little") >> 2
        return known


@dataclass(frozen=True, slots=True)
class Choice:
    """Which draft is served, and which is its ghost; None where there is one draft only."""

    served: int
    ghost: int | None


def score(tokens: Sequence[int], key: MarkKey) -> float:
    """How much a key likes an answer: standard deviations above what chance gives; 0 for one too short to have a pair."""
    if len(tokens) <= key.width:
        return 0.0
    windows = np.unique(
        np.lib.stride_tricks.sliding_window_view(np.array(tokens, np.int64), key.width + 1), axis=0
    )
    before, after = np.ascontiguousarray(windows[:, :-1]), windows[:, -1].copy()
    drawn = prf.uniforms(prf.seeds(key.words, before), after)
    if key.scheme == "green":
        excess = float((drawn < key.share).sum()) - key.share * drawn.size
        return excess / float(np.sqrt(drawn.size * key.share * (1.0 - key.share)))
    return (float(-np.log1p(-np.minimum(drawn, 1.0 - 2.0**-53)).sum()) - drawn.size) / float(
        np.sqrt(drawn.size)
    )


def choose(drafts: Sequence[str], key: MarkKey, coin: int) -> Choice:
    """Which of the drafts to serve. ``coin``: 0 or 1, committed before the drafts were asked for.

    Raises UsageError unless there is one draft or an even number: hands of unequal size would not be exchangeable.
    """
    if len(drafts) == 1:
        return Choice(0, None)
    if not drafts or len(drafts) % 2 or coin not in (0, 1):
        raise UsageError("a choice needs one draft or an even number of them, and a coin that is 0 or 1")
    scores = [score(tokens, key) for tokens in Words().encode(drafts)]
    best = [max(range(hand, len(drafts), 2), key=scores.__getitem__) for hand in (0, 1)]
    return Choice(best[coin], best[1 - coin])
