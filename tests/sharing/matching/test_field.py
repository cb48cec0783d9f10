"""The compiled arithmetic against Python's integers, with limbs as large as they may be."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from spiritsafe.sharing.matching import _field

TOP = 2**54 - 1
limb = st.integers(0, TOP) | st.sampled_from([0, 1, 18, 19, 2**51 - 20, 2**51 - 19, 2**51 - 1, 2**51, TOP])
elements = st.tuples(limb, limb, limb, limb, limb)


@njit
def _worked(a: Any, b: Any) -> Any:
    return _field.mul(a, b), _field.sub(a, b), _field.words(a)


def _tuple(limbs: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(np.uint64(one) for one in limbs)


def _value(limbs: tuple[int, ...]) -> int:
    return sum(int(one) << 51 * place for place, one in enumerate(limbs))


@given(elements, elements)
@settings(max_examples=400, deadline=None)
def test_products_differences_and_canonical_words(a: tuple[int, ...], b: tuple[int, ...]):
    product, difference, words = _worked(_tuple(a), _tuple(b))
    assert _value(product) % _field.P == _value(a) * _value(b) % _field.P
    assert _value(difference) % _field.P == (_value(a) - _value(b)) % _field.P
    assert sum(int(word) << 64 * place for place, word in enumerate(words)) == _value(a) % _field.P
    for result in (product, difference):  # small enough to be added twice and multiplied again
        assert max(int(one) for one in result) < 2**52


def test_constants_are_those_of_the_curve():
    p, d = _field.P, _value(_field.D)
    assert d * 121666 % p == -121665 % p
    assert _value(_field.D2) == 2 * d % p
    assert pow(_value(_field.SQRT_M1), 2, p) == p - 1
    assert pow(_value(_field.INVSQRT_A_MINUS_D), 2, p) * (-1 - d) % p == 1
