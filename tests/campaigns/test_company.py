"""Company: what stands around components, by hand-made counts, and whatever order they come in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spiritsafe.campaigns import _anchors
from spiritsafe.campaigns.company import Company, Together

SIZE = 8


def together(rows: dict[int, int], pairs: dict[tuple[int, int], int]) -> Together:
    """``pairs`` both ways."""
    count = np.zeros(SIZE, np.int64)
    count[list(rows)] = list(rows.values())
    both = pairs | {(other, one): many for (one, other), many in pairs.items()}
    keys = np.array([one * SIZE + other for one, other in both], np.int64)
    return Together(count, keys, np.array(list(both.values()), np.int64))


def alike(found: Together, alone: dict[int, int]) -> list[float]:
    rows = np.zeros(SIZE, np.int64)
    rows[list(alone)] = list(alone.values())
    return Company.of(found, found.parents(), rows).alike.tolist()


def test_how_alike_company_is_follows_simpsons_index():
    # Component 0: a third of its exchanges bare, a third with 1, and each of the last with text of its own.
    found = together({0: 30, 1: 40}, {(0, 1): 10})
    assert alike(found, {0: 10})[:2] == pytest.approx([2 / 9, 1 / 16])
    assert found.parents().tolist() == [-1] * SIZE


def test_what_stands_in_nearly_all_of_its_exchanges_is_its_parent_and_no_company():
    found = together({0: 100, 1: 50, 2: 50}, {(0, 1): 45, (0, 2): 44})
    assert found.parents()[:3].tolist() == [-1, 0, -1]
    assert alike(found, {})[:3] == pytest.approx([0.44**2, 0, 0.88**2])


def test_of_two_that_always_stand_together_the_one_in_more_exchanges_is_the_parent():
    assert together({3: 96, 4: 100}, {(3, 4): 95}).parents()[3:5].tolist() == [4, -1]
    even = together({3: 100, 4: 100}, {(3, 4): 95})
    assert even.parents()[3:5].tolist() == [-1, 3], "the first where they are even"


def test_the_parent_is_the_smallest_of_several_so_that_all_are_reached():
    found = together(
        {0: 1000, 1: 200, 2: 100, 3: 100},
        {(2, 1): 99, (2, 0): 99, (1, 0): 199, (3, 1): 95, (3, 0): 95, (2, 3): 40},
    )
    assert found.parents()[:4].tolist() == [-1, 0, 1, 1]
    # Two parts of one text are company to each other, and none to what they are parts of.
    assert alike(found, {})[:4] == pytest.approx([0, 0, 0.16, 0.16])


def test_the_order_in_which_counts_come_changes_no_bit():
    rng = np.random.default_rng(0)
    size = 40
    rows = rng.integers(500, 1000, size)
    one, other = np.triu_indices(size, 1)
    some = rng.permutation(one.size)[:500]
    many = np.where(
        rng.random(500) < 0.05, np.minimum(rows[one[some]], rows[other[some]]), rng.integers(1, 400, 500)
    )
    keys = np.concatenate([one[some] * size + other[some], other[some] * size + one[some]])
    count = np.concatenate([many, many])
    alone = rng.integers(0, 100, size)
    whole = Together(rows, keys, count)
    told = Company.of(whole, whole.parents(), alone)
    assert (told.parent >= 0).sum() > 5
    for _ in range(20):
        order = rng.permutation(keys.size)
        mixed = Together(rows, keys[order], count[order])
        made = Company.of(mixed, mixed.parents(), alone)
        assert np.array_equal(made.alike.view(np.uint32), told.alike.view(np.uint32))
        assert np.array_equal(made.parent, told.parent)


def test_nothing_has_no_company():
    none = np.zeros(0, np.int64)
    found = Together(np.zeros(3, np.int64), none, none)
    made = Company.of(found, found.parents(), np.zeros(3, np.int64))
    assert made.alike.tolist() == [0, 0, 0]
    assert made.parent.tolist() == [-1, -1, -1]


def exchanges(entries: list[list[int]]) -> tuple[Any, Any]:
    """Flat ranks and offsets of exchanges whose anchors are given by component (an anchor's rank is its component)."""
    flat = np.array([one for entry in entries for one in entry], np.int32)
    return flat, np.concatenate([[0], np.cumsum([len(entry) for entry in entries])])


def stand_together(entries: list[list[int]], varied: list[int], room: int = 64) -> Any:
    flat, offsets = exchanges(entries)
    rows, pairs = np.zeros(len(varied), np.int64), np.empty(room, np.int64)
    component = np.arange(len(varied), dtype=np.int32)
    n = _anchors.together(flat, offsets, component, np.array(varied, np.int8), rows, pairs)
    return n, rows.tolist(), sorted(divmod(int(key), len(varied)) for key in pairs[: max(n, 0)])


def stand_alone(entries: list[list[int]], lengths: list[int], parent: list[int]) -> list[int]:
    flat, offsets = exchanges(entries)
    rows, many = np.zeros(len(parent), np.int64), len(parent)
    _anchors.alone(
        flat,
        offsets,
        np.array(lengths, np.int32),
        np.arange(many, dtype=np.int32),
        np.full(many, 2, np.int8),
        np.array(parent, np.int32),
        rows,
    )
    return rows.tolist()


def test_pairs_are_told_both_ways_of_what_stands_there_by_two_anchors():
    entries = [[0, 0, 1, 1, 1], [0, 0], [0, 1, 1], [2, 2, 0, 0], [0, 0, 1, 1, 3, 3, 3]]
    told = stand_together(entries, [2, 2, 1, 2])  # 2 is an item
    assert told == (8, [4, 3, 0, 1], sorted([(0, 1), (1, 0)] * 2 + [(0, 3), (3, 0), (1, 3), (3, 1)]))


def test_where_there_is_no_room_for_all_pairs_that_is_said():
    entries = [[0, 0, 1, 1, 2, 2]] * 3
    assert stand_together(entries, [2, 2, 2], room=12)[0] == -1
    n, rows, pairs = stand_together(entries, [2, 2, 2])
    assert (n, rows, len(set(pairs))) == (18, [3, 3, 3], 6)


def test_a_component_stands_alone_with_little_else_or_with_its_own_parts_and_wholes():
    entries = [[0, 0], [0, 0], [0, 0, 1, 1], [0, 0, 1, 1, 2, 2], [1, 1, 0, 0, 3, 3]]
    # 1 is a part of 0 and 2 of 1; the second exchange has more anchors that nothing else has than its own.
    assert stand_alone(entries, [4, 5, 4, 6, 6], [-1, 0, 1, -1]) == [3, 2, 1, 0]
