"""Drawing by a mark uses the numbers that detection computes, and keeps to what the request asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spiritsafe.errors import UsageError
from spiritsafe.marking import draw, prf
from spiritsafe.marking.keys import MarkKey, derive

ROOT = bytes(range(32))
SIZE = 3000


def key(scheme: Any = "green", **how: Any) -> MarkKey:
    return derive(ROOT, "c-1", 0, scheme=scheme, **how)


def logits(seed: int = 0, rows: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(rows, SIZE)) * 3).astype(np.float32)


def seed_of(one: MarkKey, context: list[int]) -> np.uint64:
    return prf.seeds(one.words, np.array([context], np.int64))[0]


def kept(row: np.ndarray, how: draw.Sampler) -> np.ndarray:
    """What the sampler keeps, as transformers' warpers do it, in plain numpy."""
    chance = np.exp(row.astype(np.float64) / how.temperature)
    order = np.argsort(-chance, kind="stable")
    if how.top_k:
        order = order[: how.top_k]
    share = chance[order] / chance[order].sum()
    order = order[np.cumsum(share) - share < how.top_p]
    return order[chance[order] >= how.min_p * chance.max()]


@pytest.mark.parametrize(
    "how",
    [
        draw.Sampler(),
        draw.Sampler(0.7),
        draw.Sampler(1.3, top_p=0.9),
        draw.Sampler(1.0, top_k=40),
        draw.Sampler(0.8, top_k=50, top_p=0.5),
        draw.Sampler(1.0, min_p=0.05),
        draw.Sampler(1.0, top_k=1),
        draw.Sampler(2.0, top_k=2000, top_p=0.99, min_p=0.001),
    ],
)
def test_the_race_is_won_by_the_least_log_over_chance(how: draw.Sampler):
    one = key("gumbel")
    for seed in range(20):
        row, start = logits(seed)[0], seed_of(one, [seed, 2, 3])
        drawn = prf.vocabulary(start, SIZE)
        among = kept(row, how)
        chance = np.exp(row[among].astype(np.float64) / how.temperature)
        expected = among[np.argmin(-np.log(drawn[among]) / chance)]
        assert draw.race(row, start, how.temperature, how.top_k, how.top_p, how.min_p) == expected


def test_the_race_draws_what_the_model_says_on_average_over_contexts():
    one, row = key("gumbel"), np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    wins = np.bincount(
        [draw.race(row, seed_of(one, [n, n, n]), 1.0, 0, 1.0, 0.0) for n in range(4000)], minlength=4
    )
    expected = 4000 * np.exp(row)
    # 16.27: chi-square with three degrees of freedom, 0.1 %
    assert ((wins - expected) ** 2 / expected).sum() < 16.27


def test_forbidden_tokens_stay_forbidden():
    row = logits()
    row[0, ::2] = -np.inf
    for n in range(50):
        assert draw.race(row[0], seed_of(key("gumbel"), [n, 0, 0]), 1.0, 0, 1.0, 0.0) % 2 == 1
    one = key()
    draw.raise_greens(
        row, np.array([0]), np.array([seed_of(one, [1, 2, 3])]), np.array([0.5]), np.array([2.0])
    )
    assert np.isneginf(row[0, ::2]).all()


def test_a_context_repeats_when_it_stood_before():
    tokens = np.array([5, 1, 2, 3, 9, 1, 2, 3], np.int64)
    assert draw.repeats(tokens, 3)
    assert not draw.repeats(tokens, 4)
    assert not draw.repeats(tokens[:3], 3)
    assert draw.repeats(np.array([7, 7, 7, 7], np.int64), 3)


def test_a_race_without_temperature_is_refused():
    with pytest.raises(UsageError, match="no race"):
        draw.Sampler(0.0)
    with pytest.raises(UsageError, match="top_p"):
        draw.Sampler(1.0, top_p=0.0)


def test_rows_with_different_keys_and_rows_without_one():
    torch = pytest.importorskip("torch", reason="needs the extra `provenance`")
    before = torch.from_numpy(logits(1, rows=4))
    after = before.clone()
    keys = [key(share=0.25, strength=1.5), key("gumbel"), derive(ROOT, "c-2", 0, width=2, share=0.5)]
    contexts = [np.array([1, 2, 3]), np.array([4, 5, 6]), np.array([7, 8])]
    draw.mark(after, [0, 2, 3], keys, contexts, [draw.Sampler()] * 3)
    assert torch.equal(after[1], before[1])
    for row, one, context in ((0, keys[0], [1, 2, 3]), (3, keys[2], [7, 8])):
        green = prf.vocabulary(seed_of(one, context), SIZE) < one.share
        raised = (after[row] - before[row]).numpy()
        assert np.array_equal(raised > 0, green)
        assert np.allclose(raised[green], one.strength, atol=1e-5)
    won = draw.race(before[2].numpy(), seed_of(keys[1], [4, 5, 6]), 1.0, 0, 1.0, 0.0)
    assert after[2].argmax() == won
    assert np.isneginf(np.delete(after[2].numpy(), won)).all()


def test_half_precision_is_marked_too():
    torch = pytest.importorskip("torch", reason="needs the extra `provenance`")
    before = torch.from_numpy(logits(2, rows=2)).to(torch.bfloat16)
    after, one = before.clone(), key(strength=4.0)
    draw.mark(after, [1], [one], [np.array([1, 2, 3])], [draw.Sampler()])
    green = prf.vocabulary(seed_of(one, [1, 2, 3]), SIZE) < one.share
    assert torch.equal(after[0], before[0])
    assert np.array_equal((after[1] > before[1]).numpy(), green)


def test_other_devices_compute_the_same_bits():
    torch = pytest.importorskip("torch", reason="needs the extra `provenance`")
    for n in range(20):
        start = seed_of(key(), [n, n + 1, 2**40 + n])
        there = draw.vocabulary_on_device(int(start), SIZE, torch.device("cpu")).numpy()
        assert np.array_equal(there.view(np.uint64), prf.vocabulary(start, SIZE).view(np.uint64))


@pytest.mark.parametrize("how", [draw.Sampler(), draw.Sampler(0.7, top_k=50, top_p=0.9, min_p=0.01)])
def test_other_devices_draw_the_same_tokens(how: draw.Sampler):
    torch = pytest.importorskip("torch", reason="needs the extra `provenance`")
    here = torch.from_numpy(logits(3, rows=8))
    there = here.clone()
    keys = [key("gumbel") if n % 2 else key() for n in range(8)]
    contexts = [np.array([n, 2, 3]) for n in range(8)]
    seeds = np.array([seed_of(one, list(at)) for one, at in zip(keys, contexts, strict=True)])
    draw.mark(here, range(8), keys, contexts, [how] * 8)
    draw._mark_on_device(there, range(8), keys, seeds, [how] * 8)
    assert torch.allclose(here, there, atol=1e-6)
