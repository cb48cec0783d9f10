"""Peeling finds a planted block, is not fooled by camouflage, and meets brute force within its guarantee."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from spiritsafe.campaigns.peeling import dense_blocks


def edges(*pairs: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    both = np.unique(np.concatenate([np.stack(pair, axis=1) for pair in pairs]), axis=0)
    return both[:, 0], both[:, 1]


def test_a_planted_block_is_found_under_camouflage() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        members = np.sort(rng.choice(400, 30, replace=False))
        block = np.repeat(members, 8), rng.integers(0, 20, 240)
        noise = rng.integers(0, 400, 900), rng.integers(20, 600, 900)
        # Camouflage: every member also touches the values that everybody touches.
        popular = rng.integers(0, 400, 1500), rng.integers(600, 605, 1500)
        mine = np.repeat(members, 5), np.tile(np.arange(600, 605), 30)
        party, value = edges(block, noise, popular, mine)
        found = next(dense_blocks(party, value, 400, blocks=1, least=5))
        assert np.isin(members, found).mean() >= 0.95
        assert np.isin(found, members).mean() >= 0.9


def test_the_first_block_is_at_least_half_as_dense_as_the_best() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        party, value = edges((rng.integers(0, 5, 12), rng.integers(0, 5, 12)))
        everything = sorted({*party.tolist(), *(value + 5).tolist()})
        best = max(
            _density(set(some), party, value)
            for k in range(1, len(everything) + 1)
            for some in combinations(everything, k)
        )
        members = next(dense_blocks(party, value, 5, blocks=1, least=1))
        mine = set(members.tolist()) | {int(v) + 5 for p, v in zip(party, value, strict=True) if p in members}
        assert _density(mine, party, value) >= best / 2


def test_blocks_do_not_overlap_and_nothing_comes_of_nothing() -> None:
    rng = np.random.default_rng(1)
    party, value = edges(
        (np.repeat(np.arange(20), 5), rng.integers(0, 10, 100)),
        (np.repeat(np.arange(50, 70), 2), rng.integers(100, 110, 40)),
    )
    found = list(dense_blocks(party, value, 100, blocks=5, least=5))
    assert len(found) >= 2
    assert len(np.unique(np.concatenate(found))) == sum(len(block) for block in found)
    assert list(dense_blocks(party[:0], value[:0], 100, blocks=5, least=5)) == []


def _density(nodes: set[int], party: np.ndarray, value: np.ndarray) -> float:
    w = 1 / np.log(np.bincount(value)[value] + 5.0)
    inside = np.array([p in nodes and v + 5 in nodes for p, v in zip(party, value, strict=True)])
    return float(w[inside].sum() / len(nodes)) if nodes else 0.0
