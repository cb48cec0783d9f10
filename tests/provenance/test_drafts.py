"""Pairs from a choice among drafts: p is uniform for a suspect that likes what the key likes, but saw nothing served."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy import stats

from spiritsafe.marking.choice import Words, choose, score
from spiritsafe.marking.keys import MarkKey, derive
from spiritsafe.provenance._subject import PAIRS, SCORES, Subject, Teacher
from spiritsafe.provenance.twins import twins

WORDS = [a + b for a in "bdfgklmn" for b in "aeio"]
PAIRS_EACH = 30  # sums of so few signs are enumerated in no time; of forty, a million for each half


def world(seed: int, learned: float) -> tuple[Subject, Teacher]:
    """A suspect whose log-probabilities hang on the key's score and on length, and by ``learned`` on what was served."""
    rng, key = np.random.default_rng(seed), derive(bytes(32), "c", seed)
    coins = rng.integers(0, 2, PAIRS_EACH)
    sides: tuple[list[str], list[str]] = ([], [])
    for coin in coins.tolist():
        drafts = [" ".join(rng.choice(WORDS, rng.integers(15, 30))) for _ in range(4)]
        made = choose(drafts, key, coin)
        assert made.ghost is not None
        sides[coin].append(drafts[made.served])
        sides[1 - coin].append(drafts[made.ghost])
    names = [f"p{at}" for at in range(PAIRS_EACH)]
    pairs = pa.table(
        {
            "pair_id": names, "prompt": names, "first": sides[0], "second": sides[1], "coin": pa.array(coins, pa.int8()),
            "campaign_id": ["c"] * PAIRS_EACH, "committed": [True] * PAIRS_EACH, "snapshot": ["m"] * PAIRS_EACH,
            "ghost_snapshot": ["m"] * PAIRS_EACH,
        },
        schema=PAIRS,
    )  # fmt: skip
    logprobs = [liked(sides[side], key, rng) + learned * (coins == side) for side in (0, 1)]
    scores = pa.table(
        {
            "item": names * 2, "side": ["first"] * PAIRS_EACH + ["second"] * PAIRS_EACH,
            "logprob": np.concatenate(logprobs),
            "tokens": pa.array([len(text.split()) for side in sides for text in side], pa.int32()),
            "status": ["ok"] * (2 * PAIRS_EACH),
        },
        schema=SCORES,
    )  # fmt: skip
    return Subject("s", scores=scores), Teacher("t", pairs=pairs)


def liked(texts: list[str], key: MarkKey, rng: np.random.Generator) -> np.ndarray:
    scores = [score(tokens, key) for tokens in Words().encode(texts)]
    return (
        2 * np.array(scores)
        - 2.0 * np.array([len(text.split()) for text in texts])
        + rng.normal(size=len(texts))
    )


def test_p_is_uniform_for_a_suspect_that_saw_nothing_served():
    found = [twins(*world(seed, 0.0), (), seed=seed).p_value for seed in range(100)]
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    assert stats.binomtest(sum(p < 0.05 for p in found), 100, 0.05, alternative="greater").pvalue > 1e-3


def test_a_suspect_that_learned_what_was_served_is_found():
    found = [twins(*world(seed, 4.0), (), seed=seed).p_value for seed in range(10)]
    assert max(found) < 1e-2
