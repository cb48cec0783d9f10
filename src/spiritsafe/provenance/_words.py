"""Texts as numbers, by columns: the teacher's tokens where there is a tokenizer, else words.

The built-in splitter needs no vocabulary: a run of letters, a run of digits, or one other character is a token, and so is
each character of scripts that write no spaces. A token is the 64-bit hash of its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.marking import prf
from spiritsafe.provenance._once import once_of_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spiritsafe.provenance._subject import Tokenizer

    Hashes = NDArray[np.uint64]
    Places = NDArray[np.int64]

_BASE, _MIX_1, _MIX_2 = np.uint64(prf.STEP), np.uint64(prf.MIX_1), np.uint64(prf.MIX_2)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_SPACE, _LETTER, _DIGIT, _SINGLE = 0, 1, 2, 3
_UNSPACED = 0xE3  # first lead byte of the planes with kana, Han and Hangul


def mixed(hashes: Hashes) -> Hashes:
    """A fixed bijection of 64 bits (the finisher of splitmix64), after which nearby numbers are far apart."""
    z = (hashes ^ (hashes >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@dataclass(frozen=True, slots=True)
class Tokens:
    """``ids`` uint64 (n,): the tokens of all texts, end to end; ``offsets`` int64 (texts + 1,): where each begins."""

    ids: Hashes
    offsets: Places

    @property
    def lengths(self) -> Places:
        """Tokens of each text, int64 (texts,)."""
        return np.diff(self.offsets)

    @property
    def texts(self) -> Places:
        """Which text each token belongs to, int64 (n,)."""
        return np.repeat(np.arange(self.offsets.size - 1), self.lengths)

    def taken(self, keep: NDArray[np.bool_]) -> Tokens:
        """Only the texts for which ``keep`` bool (texts,) is set, in the same order."""
        lengths = self.lengths
        return Tokens(
            self.ids[np.repeat(keep, lengths)],
            np.concatenate([[0], np.cumsum(lengths[keep])]).astype(np.int64),
        )


def joined(parts: Sequence[Tokens]) -> Tokens:
    """All texts of the parts, in order."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Tokens(
        np.concatenate([part.ids for part in parts]),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def tokenized(texts: Any, tokenizer: Tokenizer | None) -> Tokens:
    """Tokens of an Arrow array of strings; null is the empty text."""
    texts = pc.fill_null(texts, "")
    if tokenizer is None:
        return once_of_texts("split", texts, (), lambda: _split(texts))
    return once_of_texts("tokens", texts, (tokenizer,), lambda: numbered(encoded(texts, tokenizer)))


def encoded(texts: Any, tokenizer: Tokenizer) -> list[list[int]]:
    """Token ids of each string of an Arrow array; null is the empty text."""
    texts = pc.fill_null(texts, "")
    return once_of_texts("ids", texts, (tokenizer,), lambda: tokenizer.encode(texts.to_pylist()))


def numbered(rows: Sequence[Sequence[int]]) -> Tokens:
    """Texts that are token ids already."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    ids = np.fromiter(chain.from_iterable(rows), np.int64, int(offsets[-1]))
    return Tokens(mixed(ids.astype(np.uint64) + _BASE), offsets)


def hashed(rows: NDArray[np.int64]) -> Tokens:
    """The same of texts of one length: token ids int64 (texts, length)."""
    offsets = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    return Tokens(mixed(rows.astype(np.uint64).ravel() + _BASE), offsets)


def _split(texts: Any) -> Tokens:
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    whole = whole.cast(pa.large_binary())
    ends = (
        np.frombuffer(whole.buffers()[1], np.int64, len(whole) + 1, whole.offset * 8)
        if len(whole)
        else np.zeros(1)
    )
    ends = ends.astype(np.int64)
    if ends[-1] == ends[0]:
        return Tokens(np.empty(0, np.uint64), np.zeros(len(whole) + 1, np.int64))
    data = np.frombuffer(whole.buffers()[2], np.uint8, int(ends[-1] - ends[0]), int(ends[0]))
    ends = ends - ends[0]
    lead = (data & 0xC0) != 0x80  # UTF-8: bytes 10xxxxxx go on with a character
    kind = _KINDS[data]
    # A character's further bytes are of its own kind.
    kind = kind[np.maximum.accumulate(np.where(lead, np.arange(data.size), 0))]
    begins = np.empty(data.size, np.bool_)
    begins[0] = True
    begins[1:] = (kind[1:] != kind[:-1]) | (kind[1:] == _SINGLE)
    begins[ends[:-1][ends[:-1] < data.size]] = True
    begins &= lead & (kind != _SPACE)
    starts = np.flatnonzero(begins)
    offsets = np.searchsorted(starts, ends).astype(np.int64)
    if not starts.size:
        return Tokens(np.empty(0, np.uint64), offsets)
    place = (
        np.arange(data.size)
        - starts[np.maximum(np.searchsorted(starts, np.arange(data.size), "right") - 1, 0)]
    )
    # Spaces weigh nothing, so that a token's sum may run on to the next token's start.
    value = np.where(kind == _SPACE, np.uint64(0), data.astype(np.uint64) + np.uint64(1))
    value *= _POWERS[np.clip(place, 0, _POWERS.size - 1)]
    return Tokens(mixed(np.add.reduceat(value, starts)), offsets)


def _kinds() -> NDArray[np.uint8]:
    kinds = np.full(256, _SINGLE, np.uint8)
    kinds[:33] = _SPACE
    for low, high, kind in (("0", "9", _DIGIT), ("A", "Z", _LETTER), ("a", "z", _LETTER)):
        kinds[ord(low) : ord(high) + 1] = kind
    kinds[0x80:_UNSPACED] = _LETTER
    return kinds


_KINDS = _kinds()
_POWERS = np.cumprod(np.full(64, _BASE | np.uint64(1)), dtype=np.uint64)
