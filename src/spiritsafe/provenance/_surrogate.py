"""Differences between the two texts of a pair, as models of n-grams see them.

None knows the coins: a model is fitted on what the suspect or a control said, or on both sides of other pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from spiritsafe.provenance._ngrams import Ngrams
from spiritsafe.provenance._once import once
from spiritsafe.provenance._subject import spoken
from spiritsafe.provenance._words import Tokens, joined, tokenized

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from spiritsafe.provenance._subject import Subject, Teacher

    Floats = NDArray[np.float64]

ORDERS: Final = (2, 3)
"""Lengths of the runs in the surrogate: the mean of two models is nearly as good as the better one, whichever that is."""


def both(pairs: pa.Table, teacher: Teacher) -> tuple[Tokens, Tokens]:
    """Tokens of the first and of the second texts."""
    return (tokenized(pairs["first"], teacher.tokenizer), tokenized(pairs["second"], teacher.tokenizer))


def corpus_of(speaker: Subject, teacher: Teacher) -> Tokens:
    """Everything that was said."""
    return tokenized(spoken(speaker.answers)["text"], teacher.tokenizer)


def by_speaker(speaker: Subject, texts: tuple[Tokens, Tokens], teacher: Teacher) -> Floats | None:
    """How much likelier the first text is than the second in models of what was said, in nats, float64 (n,).

    None: nothing was said.
    """
    corpus = corpus_of(speaker, teacher)
    if not corpus.ids.size:
        return None
    return once(
        "by speaker",
        (corpus, *texts),
        lambda: np.mean([_differences(_model(corpus, order), texts) for order in ORDERS], axis=0),
    )


def _model(corpus: Tokens, order: int) -> Ngrams:
    return once("surrogate", (corpus,), lambda: Ngrams(corpus, order=order), by=(order,))


def by_pool(first: Tokens, second: Tokens) -> list[Floats]:
    """The same in models of both sides of half of the pairs, for the other half: what is likely for the teacher.

    One column for each length of runs.
    """
    return once("by pool", (first, second), lambda: _by_pool(first, second))


def _by_pool(first: Tokens, second: Tokens) -> list[Floats]:
    fold = np.arange(first.offsets.size - 1) % 2 == 0
    found = np.zeros((len(ORDERS), fold.size))
    for part in (fold, ~fold):
        rest = joined((first.taken(~part), second.taken(~part)))
        for row, order in zip(found, ORDERS, strict=True):
            row[part] = _differences(Ngrams(rest, order=order), (first.taken(part), second.taken(part)))
    return list(found)


def _differences(model: Ngrams, texts: tuple[Tokens, Tokens]) -> Floats:
    one, other = (model.logprob(text) for text in texts)
    return one - other
