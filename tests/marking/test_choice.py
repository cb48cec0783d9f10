"""Of several answers the one that a key prefers is served, and the key is found in what was served."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from spiritsafe.errors import UsageError
from spiritsafe.marking.choice import Choice, Words, choose, score
from spiritsafe.marking.keys import derive
from spiritsafe.provenance._grams import expected, grams, totals, weights
from spiritsafe.provenance._words import numbered
from spiritsafe.simulate import load_corpus

ROOT = bytes(range(32))
VOCABULARY = sorted({word for pool in load_corpus().pools.values() for word in str(pool.prompts[0]).split()})


def drafts(rng: np.random.Generator, many: int, words: int = 120) -> list[str]:
    return [" ".join(rng.choice(VOCABULARY, words)) for _ in range(many)]


def test_words_are_told_without_case_and_punctuation():
    words = Words()
    one, other = words.encode(["The cat, the CAT!", "der Kater, naïve 猫"])
    assert one == [one[0], one[1], one[0], one[1]]
    assert len(set(other)) == 4
    assert Words().encode(["the cat"]) == [one[:2]]
    assert all(0 <= word < 2**62 for word in (*one, *other))


def test_the_coin_says_which_hand_is_served_and_the_key_what_is_in_it():
    key, given = derive(ROOT, "c-1", 0), drafts(np.random.default_rng(0), 6)
    scores = [score(one, key) for one in Words().encode(given)]
    best = [max((0, 2, 4), key=scores.__getitem__), max((1, 3, 5), key=scores.__getitem__)]
    assert choose(given, key, 0) == Choice(best[0], best[1])
    assert choose(given, key, 1) == Choice(best[1], best[0])
    assert choose(given[:2], key, 1) == Choice(1, 0)
    assert choose(given[:1], key, 1) == Choice(0, None)


@pytest.mark.parametrize("many", [0, 3])
def test_hands_of_unequal_size_are_refused(many: int):
    with pytest.raises(UsageError, match="even number"):
        choose(drafts(np.random.default_rng(0), many), derive(ROOT, "c-1", 0), 0)


def test_an_answer_without_a_pair_scores_nothing():
    assert score(Words().encode(["one two three"])[0], derive(ROOT, "c-1", 0)) == 0.0
    assert choose(["", ""], derive(ROOT, "c-1", 0), 0) == Choice(0, 1)


@pytest.mark.parametrize("scheme", ["green", "gumbel"])
def test_a_score_has_mean_0_and_deviation_1_whatever_the_answer(scheme: str):
    loop = Words().encode(["to be or not to be " * 40 + "that is the question of this long day at sea"])[0]
    told = np.array([score(loop, derive(ROOT, f"c-{n}", 0, scheme=scheme)) for n in range(400)])
    assert abs(told.mean()) < 4 / np.sqrt(400)
    assert abs(told.std() - 1) < 0.2


@pytest.mark.parametrize("scheme", ["green", "gumbel"])
def test_the_mark_is_found_in_what_was_served_and_not_in_the_ghosts_of_two(scheme: str):
    rng, key = np.random.default_rng(3), derive(ROOT, "c-1", 0, scheme=scheme, share=0.5)
    found = {"served": [], "pairs": []}
    for _ in range(150):
        given, coin = drafts(rng, 8), int(rng.integers(2))
        found["served"].append(given[choose(given, key, coin).served])
        found["pairs"].append(given[choose(given[:2], key, coin).served])
    log10_p = {}
    for name, texts in found.items():
        tokens = Words().encode(texts)
        seen = grams(tokens, [[]] * len(tokens), key.width)
        log10_p[name] = totals(seen, weights(seen, expected(seen, None, numbered(tokens))), [key])[
            0
        ].tail.log10
    assert log10_p["served"] < -10
    assert log10_p["pairs"] > -4


def test_the_served_one_and_its_ghost_are_exchangeable():
    # Whatever is asked of the two answers, here which one a key likes better, the coin is fair about it.
    rng, key = np.random.default_rng(4), derive(ROOT, "c-1", 0)
    wins = 0
    for _ in range(400):
        given = drafts(rng, 4, words=30)
        made = choose(given, key, int(rng.integers(2)))
        first, second = Words().encode([given[made.served], given[made.ghost or 0]])
        wins += score(first, key) > score(second, key)
    assert binomtest(wins, 400).pvalue > 1e-3
