"""Distinct values, against numpy's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.campaigns._distinct import dense, distinct, kinds, places, union


@given(st.lists(st.integers(-5, 5)), st.sampled_from([np.int64, np.int32]))
def test_as_numpy_has_them(values: list[int], kind: type):
    given_ = np.array(values, kind)
    np.testing.assert_array_equal(distinct(given_), np.unique(given_))
    assert distinct(given_).dtype == given_.dtype
    assert kinds(given_) == len(set(values))
    for mine, numpy in zip(dense(given_), np.unique(given_, return_inverse=True), strict=True):
        np.testing.assert_array_equal(mine, numpy)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint64, np.uint8])
@pytest.mark.parametrize("span", [1, 40, 255, 100_000])
@pytest.mark.parametrize("high", [False, True])
def test_of_many_as_numpy_has_them(kind: type, span: int, *, high: bool):
    most = np.iinfo(kind).max
    low = max(0, int(most) - span) if high else min(3, int(most) - span)
    some = np.random.default_rng(span).integers(0, min(span, int(most)), 2_000, np.uint64, endpoint=True)
    values = (some + np.uint64(max(0, low))).astype(kind)
    values = np.concatenate([values, -values]) if np.iinfo(kind).min < 0 else values
    for mine, numpy in zip(dense(values), np.unique(values, return_inverse=True), strict=True):
        np.testing.assert_array_equal(mine, numpy)
        assert mine.dtype == numpy.dtype
    np.testing.assert_array_equal(distinct(values), np.unique(values))
    np.testing.assert_array_equal(union(values[:7], values), np.unique(values))


@pytest.mark.parametrize("value", [0, 2**64 - 1])
def test_one_unsigned_value(value: int):
    assert distinct(np.array([value, value], np.uint64)).tolist() == [value]


@pytest.mark.parametrize("universe", [50, 100_000])
@pytest.mark.parametrize("many", [0, 1, 40])
@pytest.mark.parametrize("size", [0, 1, 30])
def test_values_are_found_where_they_stand_whichever_way_is_quicker(universe: int, many: int, size: int):
    rng = np.random.default_rng(many + size)
    among = np.sort(rng.choice(universe, many, replace=False)).astype(np.int32)
    values = np.concatenate([rng.integers(0, universe, size), among[::3], [0, universe - 1]]).astype(np.int32)
    known = {value: place for place, value in enumerate(among.tolist())}
    assert places(values, among, universe).tolist() == [known.get(value, -1) for value in values.tolist()]
