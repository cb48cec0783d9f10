"""Whole numbers in order, a byte at a time, against NumPy."""

import numpy as np
import pytest

from spiritsafe.campaigns._radix import ordered, ranked

RANGES = (
    (np.int64, -(2**63), 2**63 - 1),
    (np.int64, -3, 300),
    (np.int64, 5, 6),  # all alike
    (np.int64, -1, 0),
    (np.uint64, 0, 2**64 - 1),
    (np.uint64, 2**64 - 256, 2**64 - 1),
    (np.int32, -(2**31), 2**31 - 1),
    (np.uint8, 0, 255),
)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 70_001])
@pytest.mark.parametrize(("kind", "low", "high"), RANGES)
def test_numbers_come_in_the_order_that_a_stable_sort_gives(kind: type, low: int, high: int, size: int):
    values = np.random.default_rng(size).integers(low, high, size, kind)
    before = values.copy()
    found, order = ranked(values)
    assert np.array_equal(order, np.argsort(values, kind="stable"))
    for one in (ordered(values), found):
        assert np.array_equal(one, np.sort(values))
        assert one.dtype == values.dtype
    assert np.array_equal(values, before)


def test_a_view_with_gaps_is_sorted_as_what_it_shows():
    values = np.random.default_rng(0).integers(0, 2**60, 20_000)[::2]
    assert np.array_equal(ordered(values), np.sort(values))
    assert np.array_equal(ranked(values)[1], np.argsort(values, kind="stable"))
