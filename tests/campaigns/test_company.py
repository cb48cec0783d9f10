"""Company: what stands around components, by hand-made counts, and whatever order they come in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spiritsafe.campaigns import _anchors
from spiritsafe.campaigns.company import Company, Wholes, added, nested, possible, variants

SIZE = 8


def wholes(rows: dict[int, int], pairs: dict[tuple[int, int], int]) -> list[list[int]]:
    """What the first components are parts of."""
    count = np.zeros(SIZE, np.int64)
    count[list(rows)] = list(rows.values())
    keys = np.array([min(pair) * SIZE + max(pair) for pair in pairs], np.int64)
    found = Wholes.among(count, [(keys, np.array(list(pairs.values()), np.int64))])
    return [found.of[a:b].tolist() for a, b in zip(found.start[:-1], found.start[1:], strict=True)][
        : len(rows)
    ]


def test_what_stands_in_nearly_all_of_its_exchanges_is_its_whole():
    assert wholes({0: 100, 1: 50, 2: 50}, {(0, 1): 45, (0, 2): 44}) == [[], [0], []]


def test_a_component_may_be_a_part_of_several_and_two_of_each_other():
    assert wholes({0: 500, 1: 900, 2: 100}, {(2, 0): 100, (2, 1): 95}) == [[], [], [0, 1]]
    assert wholes({0: 100, 1: 100}, {(0, 1): 95}) == [[1], [0]]


def test_few_exchanges_do_not_tell_what_a_component_is_a_part_of():
    assert wholes({0: 500, 1: 23}, {(0, 1): 23}) == [[], []]
    assert wholes({0: 500, 1: 24}, {(0, 1): 22}) == [[], [0]]
    assert wholes({0: 500, 1: 24}, {(0, 1): 21}) == [[], []]


def test_what_is_a_part_in_the_log_is_one_in_a_part_of_the_log_or_more():
    """So that a pair that no part of the log tells need not move between machines."""
    random = np.random.default_rng(0)
    key = np.ones(1, np.int64)  # components 0 and 1
    parts = 0
    for _ in range(2000):
        rows = random.integers(0, 60, (5, 2)) * random.integers(0, 2, (5, 1))
        rows[:, 0] = np.minimum(rows[:, 0], rows[:, 1])
        count = random.binomial(rows[:, 0], random.choice([0.85, 0.92, 1.0], 5))
        if nested(key, count.sum(keepdims=True), rows.sum(axis=0)).item():
            parts += 1
            assert any(nested(key, count[part : part + 1], rows[part]).item() for part in range(5))
    assert 200 < parts < 1800


def test_a_pair_is_nested_by_nine_tenths_in_whole_numbers():
    key = np.ones(1, np.int64)
    assert nested(key, np.array([27]), np.array([30, 300])).item()
    assert not nested(key, np.array([26]), np.array([30, 300])).item()


def test_of_rare_components_and_those_of_unlike_frequency_no_pair_is_possible():
    rows = np.array([500, 8, 8, 24, 400])
    pairs = {(0, 1): False, (1, 2): False, (0, 3): True, (1, 3): False, (0, 4): True}
    keys = np.array([one * rows.size + other for one, other in pairs], np.int64)
    assert possible(keys, rows).tolist() == list(pairs.values())
    assert possible(keys[:0], rows).tolist() == []


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ((40, 30, 30), True),
        ((26, 24), True),
        ((25, 24), False),  # they stand in less than half of its exchanges
        ((90,), False),  # one value is no slot
    ],
)
def test_a_whole_that_is_filled_by_its_parts_may_be_one_instruction(parts: tuple[int, ...], told: bool):
    count = np.array([7, 100, *parts, 50, 50], np.int64)  # the last is in nothing
    keys = np.array([(2 + n) * count.size + 1 for n in range(len(parts))], np.int64)
    held = Wholes.among(count, [(keys, np.array(parts, np.int64))])
    assert [sorted(one.tolist()) for one in variants(held, count)] == (
        [[1, *range(2, 2 + len(parts))]] if told else []
    )


def test_how_alike_company_is_follows_simpsons_index():
    rows = np.zeros(3, np.int64)
    nothing = Wholes.among(rows, [])
    # Component 0: half bare, a quarter with one other and with another; component 1: always the same; 2: hardly seen.
    keys = np.array([0 << 32, 0 << 32 | 5, 0 << 32 | 6, 1 << 32 | 7, 2 << 32], np.int64)
    seen, squares = added([(keys, np.array([50, 25, 25, 40, 23]))], 3)
    assert seen.tolist() == [100, 40, 23]
    assert Company.of(nothing, seen, squares).alike.tolist() == pytest.approx([0.375, 1, 1])
    squares[2] = 1
    assert Company.of(nothing, seen, squares).alike[2] == 1, "too few to tell"
    assert Company.of(nothing, rows, rows).alike.tolist() == [1, 1, 1]


def test_the_order_in_which_counts_come_changes_nothing():
    rng = np.random.default_rng(0)
    keys = np.unique(rng.integers(0, 5, 300) << 32 | rng.integers(0, 1000, 300))
    count = rng.integers(1, 400, keys.size)
    whole = added([(keys, count)], 5)
    for _ in range(20):
        order = rng.permutation(keys.size)
        parts = np.split(order, np.sort(rng.integers(0, keys.size, 2)))
        made = added([(keys[part], count[part]) for part in parts], 5)
        assert np.array_equal(made, whole)


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


def stand_around(entries: list[list[int]], lengths: list[int], parts: dict[int, list[int]], many: int) -> Any:
    """By exchange that counts: its components, each with the number of the kind of company that it has there."""
    flat, offsets = exchanges(entries)
    lists = [parts.get(one, []) for one in range(many)]
    start = np.concatenate([[0], np.cumsum([len(one) for one in lists])])
    keys = np.empty(flat.size // 2 + 1, np.int64)
    n = _anchors.around(
        flat,
        offsets,
        np.array(lengths, np.int32),
        np.arange(many, dtype=np.int32),
        np.full(many, 2, np.int8),
        start,
        np.array([whole for one in lists for whole in one], np.int32),
        keys,
    )
    return [(int(key) >> 32, int(key) & 0xFFFFFFFF) for key in keys[:n]]


def test_pairs_are_told_once_of_what_stands_there_by_two_anchors():
    entries = [[0, 0, 1, 1, 1], [0, 0], [0, 1, 1], [2, 2, 0, 0], [3, 3, 0, 0, 1, 1, 3]]
    told = stand_together(entries, [2, 2, 1, 2])  # 2 is an item
    assert told == (4, [4, 3, 0, 1], sorted([(0, 1)] * 2 + [(0, 3), (1, 3)])), "the smaller one first"


def test_where_there_is_no_room_for_all_pairs_that_is_said():
    entries = [[0, 0, 1, 1, 2, 2]] * 3
    assert stand_together(entries, [2, 2, 2], room=8)[0] == -1
    n, rows, pairs = stand_together(entries, [2, 2, 2], room=9)
    assert (n, rows, len(set(pairs))) == (9, [3, 3, 3], 3)


def test_what_is_around_a_component_is_the_set_of_the_others():
    told = stand_around([[0, 0, 1, 1, 2, 2], [2, 2, 0, 0, 1, 1], [0, 0, 1, 1], [0, 0]], [6, 7, 4, 4], {}, 3)
    by_row = [sorted(told[:3]), sorted(told[3:6]), sorted(told[6:8]), told[8:]]
    assert by_row[0] == by_row[1], "in whatever order"
    assert len({kind for one, kind in told if one == 0}) == 3
    assert by_row[3] == [(0, 0)], "alone"


def test_exchanges_that_are_mostly_text_of_their_own_say_nothing():
    assert stand_around([[0, 0, 1, 1], [0, 0, 1, 1]], [9, 8], {}, 2) == stand_around(
        [[0, 0, 1, 1]], [8], {}, 2
    )


def test_parts_and_wholes_are_no_company():
    told = stand_around([[0, 0, 1, 1, 2, 2], [0, 0, 2, 2], [2, 2, 0, 0]], [6, 4, 4], {1: [0]}, 3)
    kinds = [[kind for one, kind in told if one == which] for which in range(3)]
    assert len(set(kinds[0])) == 1, "with its part or without"
    assert kinds[0] == kinds[1] * 3
    assert len(set(kinds[2])) == 2
