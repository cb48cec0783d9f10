"""Distinct values, against numpy's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.campaigns._distinct import dense, distinct, kinds


@given(st.lists(st.integers(-5, 5)), st.sampled_from([np.int64, np.int32]))
def test_as_numpy_has_them(values: list[int], kind: type):
    given_ = np.array(values, kind)
    np.testing.assert_array_equal(distinct(given_), np.unique(given_))
    assert distinct(given_).dtype == given_.dtype
    assert kinds(given_) == len(set(values))
    for mine, numpy in zip(dense(given_), np.unique(given_, return_inverse=True), strict=True):
        np.testing.assert_array_equal(mine, numpy)


@pytest.mark.parametrize("value", [0, 2**64 - 1])
def test_one_unsigned_value(value: int):
    assert distinct(np.array([value, value], np.uint64)).tolist() == [value]
