"""Points by the thousand, public ones: decoded once, then summed with coefficients in one pass (`_curve`).

`group` multiplies what is secret, one product at a time. Checking a proof over a batch and joining what key holders
answered involve no secret, and are ten times faster here.
"""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import _curve
from spiritsafe.sharing.matching.group import ORDER, SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORDS = "<u8"
_BITS = 254
"""Of a scalar, and one for the carry of signed digits."""
_SMALL = 1 << 62


class Points:
    """``n`` decoded points: ``encoded`` is n * 32 bytes. Raises SharingError with the number of the first bad one.

    The identity is refused too: no honest party sends it.
    """

    __slots__ = ("encoded", "rows")

    def __init__(self, encoded: bytes, where: str | None = None) -> None:
        if len(encoded) % SIZE:
            raise SharingError(f"points come in {SIZE} bytes each", where=where)
        words = np.frombuffer(encoded, _WORDS).reshape(-1, 4).astype(np.uint64)
        self.encoded = encoded
        self.rows: Any = np.empty((len(words), _curve.NIELS), np.uint64)
        bad = _curve.decode(words, self.rows)
        if bad >= 0:
            raise SharingError(f"element {bad} is no point of the group", where=where)
        zero = np.flatnonzero(~words.any(axis=1))
        if zero.size:
            raise SharingError(f"element {int(zero[0])} is the identity", where=where)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> bytes:
        return self.encoded[index * SIZE : (index + 1) * SIZE]


def total(points: Points, scalars: bytes) -> bytes:
    """The encoding of ``sum(scalars[i] * points[i])``; ``scalars``: n * 32 bytes, each below the order."""
    n = len(points)
    width = max(2, min(13, n.bit_length() - 3))  # about what balances additions to buckets and sums of them
    signed = np.empty((n, -(-_BITS // width)), np.int16)
    _curve.digits(np.frombuffer(scalars, _WORDS).reshape(n, 4).astype(np.uint64), width, signed)
    out = np.empty(4, np.uint64)
    _curve.total(points.rows, signed, width, out)
    return out.astype(_WORDS).tobytes()


def at_zero(indices: Sequence[int]) -> tuple[list[int], int]:
    """Lagrange's coefficients at 0 for distinct ``indices`` from 1: integer numerators and their common denominator."""
    tops, bottoms = list[int](), list[int]()
    for j in indices:
        top = bottom = 1
        for m in indices:
            if m != j:
                top, bottom = top * m, bottom * (m - j)
        tops.append(top)
        bottoms.append(bottom)
    common = lcm(*bottoms)
    return [top * (common // bottom) for top, bottom in zip(tops, bottoms, strict=True)], common


def joined(parts: Sequence[Points], numerators: Sequence[int]) -> bytes:
    """The encodings (n * 32 bytes) of ``sum_j numerators[j] * parts[j][i]`` for each i.

    With `at_zero`'s numerators this is the joint evaluation times their denominator, for the caller to divide by.
    """
    if any(abs(one) >= _SMALL for one in numerators):
        raise SharingError(f"so many key holders are not supported (modulo {ORDER.bit_length()} bits)")
    out = np.empty((len(parts[0]), 4), np.uint64)
    _curve.weighted(np.stack([part.rows for part in parts]), np.array(numerators, np.int64), out)
    return out.astype(_WORDS).tobytes()
