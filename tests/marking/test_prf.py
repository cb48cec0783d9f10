"""The numbers behind marks: SipHash's own vectors, and uniforms that look like uniforms under any key."""

from __future__ import annotations

import numpy as np
from scipy import stats

from spiritsafe.marking import prf

KEY = np.frombuffer(bytes(range(16)), "<u8").astype(np.uint64)


def test_seeds_meet_the_reference_vectors_of_siphash_2_4():
    """Vectors of the reference implementation: key 00…0f, message 00…(n-1), whole words of it."""
    for size, digest in ((0, "310e0edd47db6f72"), (8, "6224939a79f5f593"), (16, "db9bc2577fcc2a3f")):
        words = np.frombuffer(bytes(range(size)), "<u8").astype(np.int64).reshape(1, -1)
        assert prf.seeds(KEY, words)[0].tobytes().hex() == digest, size


def test_uniforms_are_uniform_and_uncorrelated_between_keys_contexts_and_tokens():
    rng = np.random.default_rng(1)
    contexts, tokens = rng.integers(0, 50_000, (40_000, 3)), rng.integers(0, 50_000, 40_000)
    other = KEY ^ np.array([1, 0], np.uint64)
    mine, theirs = prf.seeds(KEY, contexts), prf.seeds(other, contexts)
    drawn = prf.uniforms(mine, tokens)
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3
    for near in (prf.uniforms(theirs, tokens), prf.uniforms(mine, tokens + 1), np.roll(drawn, 1)):
        assert abs(np.corrcoef(drawn, near)[0, 1]) < 0.02


def test_a_vocabulary_is_the_uniforms_of_its_tokens():
    seed = prf.seeds(KEY, np.array([[5, 6, 7]]))
    tokens = np.arange(1_000)
    every = prf.vocabulary(seed[0], 1_000)
    np.testing.assert_array_equal(every, prf.uniforms(np.repeat(seed, 1_000), tokens))
    assert 0.0 < every.min() < every.max() < 1.0
