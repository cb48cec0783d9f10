"""MinHash estimates Jaccard similarity with the error that theory promises; bands find pairs as they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spiritsafe.features import bands, jaccard, minhash

SIZE, PAIRS = 60, 4000


def pairs(similarity: float, seed: int) -> tuple[list[str], list[str], Any]:
    """Random texts of SIZE + 2 words with a common beginning, and the true Jaccard similarity of their shingles."""
    rng = np.random.default_rng(seed)
    shared = round(2 * SIZE * similarity / (1 + similarity))
    letters = rng.integers(97, 123, (PAIRS, 2, SIZE + 2, 9), dtype=np.uint8)
    if shared:
        letters[:, 1, : shared + 2] = letters[:, 0, : shared + 2]
    spaced = np.concatenate([letters, np.full((*letters.shape[:3], 1), 32, np.uint8)], axis=3).reshape(
        PAIRS, 2, -1
    )
    a, b = ([row.tobytes().decode() for row in spaced[:, k]] for k in range(2))
    return a, b, shared / (2 * SIZE - shared)


@pytest.mark.parametrize("similarity", [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95])
def test_the_standard_error_is_that_of_128_permutations(similarity: float):
    a, b, true = pairs(similarity, seed=int(similarity * 100))
    error = jaccard(minhash(pa.array(a)), minhash(pa.array(b))) - true
    closed = np.sqrt(true * (1 - true) / 128)
    assert abs(error.mean()) < 4 * closed / np.sqrt(PAIRS)
    assert error.std() == pytest.approx(closed, rel=4 / np.sqrt(2 * PAIRS))


def test_the_hash_family_is_not_one_lucky_draw():
    """Neighbouring lanes of one pair agree independently: their correlation is that of chance."""
    a, b, true = pairs(0.5, seed=1)
    agree = (minhash(pa.array(a)) == minhash(pa.array(b))).astype(float) - true
    correlation = agree.T @ agree / (PAIRS * true * (1 - true))
    beside = correlation[np.triu_indices(128, 1)]
    assert abs(beside.mean()) < 0.001
    assert beside.std() == pytest.approx(1 / np.sqrt(PAIRS), rel=0.1)
    assert abs(beside).max() < 6 / np.sqrt(PAIRS)


@pytest.mark.parametrize("similarity", [0.35, 0.5, 0.65])
def test_bands_find_pairs_as_the_formula_says(similarity: float):
    a, b, true = pairs(similarity, seed=7)
    found = (bands(minhash(pa.array(a))) == bands(minhash(pa.array(b)))).any(axis=1).mean()
    expected = 1 - (1 - true**4) ** 32
    assert found == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / PAIRS))


def test_shapes_threads_and_empty_texts():
    texts = pa.array(["one two three four", "", None, "one", "one two three four"])
    signatures = minhash(texts)
    assert signatures.shape == (5, 128)
    assert signatures.dtype == np.uint32
    assert np.array_equal(signatures, minhash(texts, threads=3))
    keys = bands(signatures)
    assert keys.shape == (5, 32)
    assert not keys[1:3].any()
    assert keys[[0, 3, 4]].all()
    assert np.array_equal(keys[0], keys[4])
    assert jaccard(signatures[0], signatures[4]) == 1.0
    assert minhash(pa.chunked_array([texts, texts])).shape == (10, 128)
