"""Anchors against a plain reference, and the winnowing guarantee."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.features import _print, _text, kernel


def anchors(tokens: Any, dense: Any, most: int = 0) -> set[int]:
    heads = np.array([0, len(tokens)], np.int64)
    out, ends = np.empty(400, np.uint64), np.empty(2, np.int32)
    scratch = np.empty(len(tokens) + 1, np.uint64)
    padded = np.append(np.asarray(tokens, np.uint64), np.uint64(0))
    _print.anchors(padded, np.append(dense, False).astype(np.bool_), heads, most, scratch, out, ends)
    found = out[: ends[1]].tolist()
    assert found == sorted(set(found))
    return set(found)


def texts_of(*texts: str) -> list[set[int]]:
    found = kernel.fingerprints(_text.text(pa.array(texts, pa.string())))
    return [set(found.anchors[a:b].tolist()) for a, b in zip(found.ends, found.ends[1:], strict=False)]


def word(source: random.Random) -> str:
    return "".join(source.choice("abcdefghijklmnoprstuvz") for _ in range(source.randint(2, 9)))


@given(st.integers(0, 1 << 32), st.data())
@settings(max_examples=300, deadline=None)
def test_a_shared_run_of_twelve_words_in_head_or_tail_is_seen(seed: int, data: Any):
    source = random.Random(seed)
    run = [word(source) for _ in range(data.draw(st.integers(12, 20)))]
    made = []
    for _ in range(2):
        size = data.draw(st.integers(len(run), 300))
        text = [word(source) for _ in range(size)]
        edge = min(size, _print.EDGE)
        at = data.draw(st.integers(0, edge - len(run)))
        at = at if data.draw(st.booleans()) else size - edge + at
        text[at : at + len(run)] = run
        made.append(" ".join(text))
    a, b = texts_of(*made)
    assert a & b


@pytest.mark.parametrize(("tokens", "least"), [(8, 1), (12, 2)])
@given(seed=st.integers(0, 1 << 32), data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_short_run_at_the_very_beginning_or_end_is_seen(tokens: int, least: int, seed: int, data: Any):
    source = random.Random(seed)
    run = [word(source) for _ in range(tokens)]
    made = []
    for _ in range(2):
        size = data.draw(st.integers(tokens, 300))
        text = [word(source) for _ in range(size)]
        edge = min(size, _print.FINE_EDGE)
        at = data.draw(st.integers(0, edge - tokens))
        at = at if data.draw(st.booleans()) else size - edge + at
        text[at : at + tokens] = run
        made.append(" ".join(text))
    a, b = texts_of(*made)
    assert len(a & b) >= least


@given(st.integers(0, 1 << 32), st.data())
@settings(max_examples=200, deadline=None)
def test_a_shared_run_of_fifteen_tokens_is_seen_in_any_mix_of_scripts(seed: int, data: Any):
    source = random.Random(seed)

    def token() -> int:
        return source.getrandbits(63) << 1 | (source.random() < share)

    share = data.draw(st.floats(0, 1))
    run = [token() for _ in range(15)]
    made = []
    for _ in range(2):
        size = data.draw(st.integers(15, 300))
        tokens = [token() for _ in range(size)]
        at = data.draw(st.integers(0, min(size, _print.EDGE) - 15))
        tokens[at : at + 15] = run
        made.append(anchors(tokens, np.array(tokens, np.uint64) & np.uint64(1)))
    assert made[0] & made[1]


@given(st.lists(st.integers(1, 40), max_size=200))
@settings(max_examples=100, deadline=None)
def test_equal_texts_have_equal_anchors_and_few(tokens: list[int]):
    found = anchors(tokens, np.zeros(len(tokens)))
    assert found == anchors(tokens, np.zeros(len(tokens)))
    assert (len(found) > 0) == (len(tokens) > 0)


def test_a_short_text_has_one_anchor_and_every_word_counts():
    a, b, c = texts_of("good morning", "good evening", "good")
    assert len(a) == len(b) == len(c) == 1
    assert len(a | b | c) == 3


def test_the_smallest_of_the_whole_text_are_there():
    """Two long texts that share only their middle are found by their smallest shingles, mostly."""
    source = random.Random(1)
    middle = [word(source) for _ in range(1000)]
    seen = 0
    for _ in range(40):
        head, tail, other, last = ([word(source) for _ in range(80)] for _ in range(4))
        a, b = texts_of(" ".join(head + middle + tail), " ".join(other + middle + last))
        seen += bool(a & b)
    assert seen == 40


def test_long_texts_have_about_thirty_seven_anchors():
    source = random.Random(2)
    sizes = [
        len(found) for found in texts_of(*(" ".join(word(source) for _ in range(700)) for _ in range(300)))
    ]
    assert 34 < np.mean(sizes) < 40
    assert max(sizes) <= 55


def test_system_texts_have_at_most_eight():
    source = random.Random(3)
    tokens = [source.getrandbits(64) for _ in range(500)]
    few = anchors(tokens, np.zeros(500), kernel.SYSTEM_ANCHORS)
    assert len(few) == 8
    assert len(few & anchors(tokens, np.zeros(500))) >= _print.LOWEST


@pytest.mark.parametrize("size", [1, 4, 5, 8, 11, 24, 25, 48, 49, 64, 65, 128, 129, 300])
def test_winnowing_is_the_published_one(size: int):
    """Each window of shingles of an edge leaves its minimum, and nothing else is left but the smallest."""
    source = random.Random(size)
    words = [word(source) for _ in range(size)]
    (found,) = texts_of(" ".join(words))
    prints = [next(iter(texts_of(" ".join(words[k : k + 5]))[0])) for k in range(size - 4)]
    expected = set(sorted(set(prints))[:6])
    winnowed: set[int] = set()
    for edge, window in ((64, 8), (24, 4)):
        for first, last in [(0, size)] if size <= 2 * edge else [(0, edge), (size - edge, size)]:
            row = prints[first : max(first, last - 4)]
            winnowed |= (
                {min(row[k : k + window]) for k in range(max(1, len(row) - window + 1))} if row else set()
            )
    if size >= 5:
        assert found == winnowed | expected
