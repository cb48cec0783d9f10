"""Tokens of texts by columns, and the n-gram model against a slow one that follows the book."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from spiritsafe.provenance._ngrams import Ngrams
from spiritsafe.provenance._words import Tokens, joined, tokenized

if TYPE_CHECKING:
    from collections.abc import Sequence


def ids(rows: list[list[int]]) -> Tokens:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Tokens(np.array([one for row in rows for one in row], np.uint64), offsets)


def book(rows: list[list[int]], order: int, text: list[int]) -> float:
    """Interpolated Kneser-Ney by dictionaries; contexts reach one place before the text's begin at most."""

    def grams(row: list[int], length: int) -> list[tuple[int, ...]]:
        # `length` tokens before, and the token itself; -1 is the begin.
        padded = [-1, *row]
        return [tuple(padded[at + 1 - length : at + 2]) for at in range(len(row)) if at + 1 >= length]

    levels: list[Counter[tuple[int, ...]]] = []
    for depth in range(order):
        count = Counter(gram for row in rows for gram in grams(row, depth))
        if depth < order - 1:
            longer = {gram for row in rows for gram in grams(row, depth + 1)}
            count = Counter(gram[1:] for gram in longer)
        levels.append(count)
    total = 0.0
    for at in range(len(text)):
        p = 1.0 / (len({one for row in rows for one in row}) + 1)
        for depth, count in enumerate(levels):
            if at + 1 < depth:
                continue
            context = tuple([-1, *text][at + 1 - depth : at + 1])
            after: dict[tuple[int, ...], list[int]] = defaultdict(list)
            for gram, number in count.items():
                after[gram[:-1]].append(number)
            if context not in after:
                continue
            once, twice = (sum(number == k for number in count.values()) for k in (1, 2))
            discount = once / (once + 2 * twice) if once and twice else 0.5
            number, seen = count[(*context, text[at])], sum(after[context])
            p = (max(number - discount, 0.0) + discount * len(after[context]) * p) / seen
        total += np.log(p)
    return total


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_model_is_the_books(order: int):
    rng = np.random.default_rng(order)
    rows = [rng.integers(0, 6, int(rng.integers(1, 12))).tolist() for _ in range(40)]
    texts = [rng.integers(0, 8, int(rng.integers(1, 12))).tolist() for _ in range(20)]
    found = Ngrams(ids(rows), order=order).logprob(ids(texts))
    assert found == pytest.approx([book(rows, order, text) for text in texts], rel=1e-9)


def test_probabilities_of_all_next_tokens_add_up_to_one():
    rng = np.random.default_rng(2)
    model = Ngrams(ids([rng.integers(0, 9, 30).tolist() for _ in range(50)]), order=4)
    for start in ([], [1], [1, 2, 3, 4], [77, 1]):
        before = model.logprob(ids([start]))[0]
        # Nine tokens were seen; the tenth stands for all others.
        after = model.logprob(ids([[*start, token] for token in [*range(9), 99]]))
        assert np.exp(after - before).sum() == pytest.approx(1.0)


def test_an_empty_corpus_says_the_same_of_everything():
    model = Ngrams(ids([[]]), order=3)
    assert model.logprob(ids([[1, 2], [3, 4], []])).tolist() == [0.0, 0.0, 0.0]


def test_words_numbers_signs_and_unspaced_scripts_are_tokens():
    found = tokenized(
        pa.chunked_array([["Hello, world 42!", None], ["", "你好吗 über Ünicode", "hello world"]]), None
    )
    assert found.lengths.tolist() == [5, 0, 0, 5, 2]
    again = tokenized(pa.array(["zzz", " world\tHello", "x"]).slice(1, 1), None)
    # The same word is the same number wherever it stands; case is kept.
    assert again.ids.tolist() == [found.ids[2], found.ids[0]]
    assert found.ids[0] != found.ids[10]
    assert np.unique(found.ids).size == 11
    assert tokenized(pa.array([], pa.string()), None).offsets.tolist() == [0]


def test_texts_are_taken_and_joined():
    found = tokenized(pa.array(["a b", "c", "d e f"]), None)
    part = found.taken(np.array([True, False, True]))
    assert part.ids.tolist() == found.ids[[0, 1, 3, 4, 5]].tolist()
    assert joined([part, found]).lengths.tolist() == [2, 3, 2, 1, 3]
    assert part.texts.tolist() == [0, 0, 1, 1, 1]


def test_a_tokenizer_of_the_teacher_is_used():
    class Letters:
        name = "letters"

        def encode(self, texts: Sequence[str]) -> list[list[int]]:
            return [[ord(letter) for letter in text] for text in texts]

    found = tokenized(pa.array(["ab", None, "b"]), Letters())
    assert found.lengths.tolist() == [2, 0, 1]
    assert found.ids[1] == found.ids[2]
