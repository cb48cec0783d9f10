"""Differences between the two texts of a pair, as models of n-grams see them.

None knows the coins: a model is fitted on what the suspect or a control said, or on both sides of other pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.provenance._ngrams import Ngrams
from spiritsafe.provenance._subject import spoken
from spiritsafe.provenance._words import Tokens, joined, tokenized

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spiritsafe.provenance._subject import Subject, Teacher

    Floats = NDArray[np.float64]

ORDER: Final = 5
OWN: Final = 3
"""Longest run, by one, that is learned for a prompt by itself."""
BACKGROUND: Final = 3


def both(pairs: pa.Table, teacher: Teacher) -> tuple[Tokens, Tokens]:
    """Tokens of the first and of the second texts."""
    return (tokenized(pairs["first"], teacher.tokenizer), tokenized(pairs["second"], teacher.tokenizer))


def by_speaker(
    speaker: Subject, pairs: pa.Table, texts: tuple[Tokens, Tokens], teacher: Teacher
) -> Floats | None:
    """How much likelier the first text is than the second in a model of what was said, in nats, float64 (n,).

    What was answered to a pair's own prompt counts before what was answered elsewhere. None: nothing was said.
    """
    said = spoken(speaker.answers)
    corpus = tokenized(said["text"], teacher.tokenizer)
    if not corpus.ids.size:
        return None
    prompts = pc.unique(pairs["prompt"])
    # A prompt that is not known is asked of nobody: it has a number of its own on either side.
    asked = _numbers(said["prompt"], prompts, absent=-1)
    wanted = _numbers(pairs["prompt"], prompts, absent=-2)
    if not np.isin(asked, wanted).any():
        return _differences(Ngrams(corpus, order=ORDER), texts)
    return _differences(Ngrams(corpus, order=ORDER, own=OWN, prompts=asked), texts, wanted)


def by_pool(first: Tokens, second: Tokens) -> Floats:
    """The same in a model of both sides of half of the pairs, for the other half: what is likely for the teacher."""
    fold = np.arange(first.offsets.size - 1) % 2 == 0
    found = np.zeros(fold.size)
    for part in (fold, ~fold):
        rest = (first.taken(~part), second.taken(~part))
        model = Ngrams(joined(rest), order=BACKGROUND)
        found[part] = _differences(model, (first.taken(part), second.taken(part)))
    return found


def _differences(
    model: Ngrams, texts: tuple[Tokens, Tokens], prompts: NDArray[np.int64] | None = None
) -> Floats:
    one, other = (model.logprob(text, prompts) for text in texts)
    return one - other


def _numbers(prompts: pa.ChunkedArray, known: pa.Array, *, absent: int) -> NDArray[np.int64]:
    number = pc.index_in(prompts, known, skip_nulls=True)
    return pc.fill_null(number, absent).to_numpy().astype(np.int64)
