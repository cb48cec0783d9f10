"""Marks what Hugging Face transformers generate: pass a ``Marks`` in ``logits_processor`` of ``model.generate``.

::

    key = keyring.get(headers.get("x-spiritsafe-mark"))
    model.generate(**inputs, do_sample=True, logits_processor=[Marks([key])])

It is called as transformers' ``LogitsProcessor`` is, and inherits nothing, so that importing it imports no PyTorch.
transformers runs it on raw logits, after penalties and before temperature and top-p. A "green" mark needs nothing else; the
race of a "gumbel" mark is the sampling, so it must be told how (``Sampler``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.errors import UsageError
from spiritsafe.marking.draw import Sampler, mark, repeats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spiritsafe.marking.keys import MarkKey


class Marks:
    """Marks the sequences of one batch, each with its own key or, where that is None, not at all.

    keys: one for each prompt; where a prompt has several sequences (``num_return_sequences``) they follow each other.
    sampler: the temperature and cuts of the request, for "gumbel". once: a context that already stood in the sequence,
    prompt included, gives no second mark: the same numbers twice would make loops, and the second adds nothing to the
    evidence. start: length of the prompt; None: that of the first call. The first ``width`` tokens of an answer are
    drawn freely, since no copy shows what stood before them; this also lets two answers to one prompt differ.
    """

    def __init__(
        self,
        keys: Sequence[MarkKey | None],
        *,
        sampler: Sampler | None = None,
        once: bool = True,
        start: int | None = None,
    ) -> None:
        if not keys:
            raise UsageError("marks need a key, or None, for each prompt")
        self._keys = tuple(keys)
        self._sampler = sampler or Sampler()
        self._once = once
        self._start = start
        self._given = start is not None
        self._length = -1
        #: Tokens drawn under a mark so far.
        self.marked = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores (batch, vocabulary) of the next token, given input_ids (batch, length): changed in a copy."""
        many, length = input_ids.shape
        if many % len(self._keys):
            raise UsageError(f"{len(self._keys)} mark keys do not fit a batch of {many}")
        if not self._given and (self._start is None or length != self._length + 1):
            self._start = length
        self._length = length
        each = many // len(self._keys)
        tokens = input_ids.detach().cpu().numpy().astype(np.int64, copy=False)
        due = [row for row in range(many) if self._due(self._keys[row // each], tokens[row])]
        if not due:
            return scores
        keys = [key for row in due if (key := self._keys[row // each]) is not None]
        contexts = [tokens[row, length - key.width :] for row, key in zip(due, keys, strict=True)]
        marked = scores.clone()
        mark(marked, due, keys, contexts, [self._sampler] * len(due))
        self.marked += len(due)
        return marked

    def _due(self, key: MarkKey | None, tokens: NDArray[np.int64]) -> bool:
        if key is None or tokens.size - (self._start or 0) < key.width:
            return False
        return not (self._once and repeats(tokens, key.width))
