"""Arithmetic modulo 2^255 - 19 for compiled code: an element is five uint64 limbs of 51 bits, as a tuple.

Only for *public* values: nothing here runs in constant time. Secrets are multiplied by libsodium alone (``group``).
Limbs may exceed 51 bits by a few: ``add`` gives up to 53 after mul or sub, and ``mul`` takes up to 54.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled(function: Callable[..., Any]) -> Any:
    """Compile at the first call; kept on disk where a cache folder can be written."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba: "no locator available"
        return njit(nogil=True)(function)


LIMB = np.uint64(51)
MASK = np.uint64((1 << 51) - 1)
P = 2**255 - 19


def limbs(value: int) -> tuple[Any, ...]:
    """The five limbs of a constant."""
    return tuple(np.uint64((value % P) >> (51 * i) & int(MASK)) for i in range(5))


ZERO, ONE = limbs(0), limbs(1)
_D = -121665 * pow(121666, -1, P) % P
D, D2 = limbs(_D), limbs(2 * _D)
_I = pow(2, (P - 1) // 4, P)
SQRT_M1 = limbs(_I)


def _root(value: int) -> int:
    """The even square root of a square."""
    root = pow(value, (P + 3) // 8, P)
    if root * root % P != value % P:
        root = root * _I % P
    return root if root % 2 == 0 else P - root


INVSQRT_A_MINUS_D = limbs(_root(pow(-1 - _D, -1, P)))
_SIXTEEN_P = tuple(np.uint64(16 * limb) for limb in (2**51 - 19, *[2**51 - 1] * 4))


def _product(_typing: Any, a: Any, b: Any) -> Any:
    """Product of two elements: 25 products of 64 by 64 bits, which numba has no word for, LLVM has."""
    five = types.UniTuple(types.uint64, 5)

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        wide, narrow = ir.IntType(128), ir.IntType(64)
        f = [builder.zext(limb, wide) for limb in cgutils.unpack_tuple(builder, args[0], 5)]
        g = [builder.zext(limb, wide) for limb in cgutils.unpack_tuple(builder, args[1], 5)]
        # 2^255 = 19: what passes the top comes back 19 times as much. 19 g stays below 2^64, so one product is enough.
        folded = [builder.mul(limb, ir.Constant(wide, 19)) for limb in g]
        sums = []
        for k in range(5):
            total = None
            for i in range(5):
                other = g[k - i] if i <= k else folded[k - i + 5]
                product = builder.mul(f[i], other)
                total = product if total is None else builder.add(total, product)
            sums.append(total)
        shift, mask = ir.Constant(wide, 51), ir.Constant(wide, (1 << 51) - 1)
        for k in range(4):
            sums[k + 1] = builder.add(sums[k + 1], builder.lshr(sums[k], shift))
        low = [builder.trunc(builder.and_(total, mask), narrow) for total in sums]
        top = builder.trunc(builder.lshr(sums[4], shift), narrow)
        low[0] = builder.add(low[0], builder.mul(top, ir.Constant(narrow, 19)))
        low[1] = builder.add(low[1], builder.lshr(low[0], ir.Constant(narrow, 51)))
        low[0] = builder.and_(low[0], ir.Constant(narrow, (1 << 51) - 1))
        return context.make_tuple(builder, five, low)

    if isinstance(a, types.UniTuple) and isinstance(b, types.UniTuple) and a.count == b.count == 5:
        return five(five, five), generate
    return None


mul: Any = intrinsic(_product)


@compiled
def add(a, b):  # type: ignore[no-untyped-def]
    """Sum, without carries."""
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4])


@compiled
def carry(a):  # type: ignore[no-untyped-def]
    """The same element with limbs of at most 52 bits."""
    b0 = (a[0] & MASK) + np.uint64(19) * (a[4] >> LIMB)
    return (
        b0,
        (a[1] & MASK) + (a[0] >> LIMB),
        (a[2] & MASK) + (a[1] >> LIMB),
        (a[3] & MASK) + (a[2] >> LIMB),
        (a[4] & MASK) + (a[3] >> LIMB),
    )


@compiled
def sub(a, b):  # type: ignore[no-untyped-def]
    """Difference; 16 p is added first, so that no limb is below zero."""
    s = _SIXTEEN_P
    return carry(
        (
            a[0] + s[0] - b[0],
            a[1] + s[1] - b[1],
            a[2] + s[2] - b[2],
            a[3] + s[3] - b[3],
            a[4] + s[4] - b[4],
        )
    )


@compiled
def neg(a):  # type: ignore[no-untyped-def]
    """Negative of an element."""
    return sub(ZERO, a)


@compiled
def squares(a, times):  # type: ignore[no-untyped-def]
    """A squared ``times`` times."""
    for _ in range(times):
        a = mul(a, a)
    return a


@compiled
def pow_p58(a):  # type: ignore[no-untyped-def]
    """A to the power (p - 5) / 8 = 2^252 - 3."""
    a2 = mul(a, a)
    a9 = mul(a, squares(a2, 2))
    a11 = mul(a2, a9)
    e5 = mul(a9, mul(a11, a11))  # 2^5 - 1
    e10 = mul(e5, squares(e5, 5))
    e20 = mul(e10, squares(e10, 10))
    e40 = mul(e20, squares(e20, 20))
    e50 = mul(e10, squares(e40, 10))
    e100 = mul(e50, squares(e50, 50))
    e200 = mul(e100, squares(e100, 100))
    e250 = mul(e50, squares(e200, 50))
    return mul(a, squares(e250, 2))


@compiled
def words(a):  # type: ignore[no-untyped-def]
    """The canonical value as four little-endian words of 64 bits."""
    a = carry(carry(a))
    q = (a[0] + np.uint64(19)) >> LIMB
    for i in range(1, 5):
        q = (a[i] + q) >> LIMB
    b0 = a[0] + np.uint64(19) * q
    b1 = a[1] + (b0 >> LIMB)
    b2 = a[2] + (b1 >> LIMB)
    b3 = a[3] + (b2 >> LIMB)
    b4 = (a[4] + (b3 >> LIMB)) & MASK
    b0, b1, b2, b3 = b0 & MASK, b1 & MASK, b2 & MASK, b3 & MASK
    return (
        b0 | b1 << np.uint64(51),
        b1 >> np.uint64(13) | b2 << np.uint64(38),
        b2 >> np.uint64(26) | b3 << np.uint64(25),
        b3 >> np.uint64(39) | b4 << np.uint64(12),
    )


@compiled
def load(w0, w1, w2, w3):  # type: ignore[no-untyped-def]
    """The element of four words; the top bit is dropped, canonical or not is the caller's question."""
    return (
        w0 & MASK,
        (w0 >> np.uint64(51) | w1 << np.uint64(13)) & MASK,
        (w1 >> np.uint64(38) | w2 << np.uint64(26)) & MASK,
        (w2 >> np.uint64(25) | w3 << np.uint64(39)) & MASK,
        w3 >> np.uint64(12) & MASK,
    )


@compiled
def same(a, b):  # type: ignore[no-untyped-def]
    """Whether two elements are equal."""
    return words(a) == words(b)


@compiled
def negative(a):  # type: ignore[no-untyped-def]
    """Whether the canonical value is odd: RFC 9496's sign."""
    return words(a)[0] & np.uint64(1) != np.uint64(0)


@compiled
def magnitude(a):  # type: ignore[no-untyped-def]
    """A or its negative, whichever is even."""
    return neg(a) if negative(a) else a


@compiled
def inverse_root(v):  # type: ignore[no-untyped-def]
    """Whether ``v`` is a nonzero square, and 1 / sqrt(v), or 1 / sqrt(i v) (RFC 9496, 4.2, with u = 1)."""
    v3 = mul(mul(v, v), v)
    v7 = mul(mul(v3, v3), v)
    r = mul(v3, pow_p58(v7))
    check = mul(v, mul(r, r))
    correct = same(check, ONE)
    minus = neg(ONE)
    flipped = same(check, minus)
    if flipped or same(check, mul(minus, SQRT_M1)):
        r = mul(r, SQRT_M1)
    return correct or flipped, magnitude(r)
