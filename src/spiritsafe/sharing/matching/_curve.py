"""Sums of many ristretto255 points with public coefficients (RFC 9496 over twisted Edwards coordinates), compiled.

Where libsodium offers one product at a time, each with a decoding and an encoding of its own, a proof over a batch
needs ``sum(d_i * C_i)`` of thousands of points. Here each point is decoded once and the sum is one pass by buckets
(Pippenger). Only public points and coefficients come here: nothing runs in constant time.

A decoded point is 15 uint64: ``y - x``, ``y + x``, ``2 d x y`` of the affine point.
"""

from __future__ import annotations

import numpy as np

from spiritsafe.sharing.matching._field import (
    D2,
    INVSQRT_A_MINUS_D,
    ONE,
    SQRT_M1,
    ZERO,
    D,
    add,
    compiled,
    inverse_root,
    load,
    magnitude,
    mul,
    neg,
    negative,
    same,
    sub,
    words,
)

NIELS = 15
_TWO = (np.uint64(2), np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0))


@compiled
def _take(row, at):  # type: ignore[no-untyped-def]
    """The element at limb ``at`` of a row."""
    return (row[at], row[at + 1], row[at + 2], row[at + 3], row[at + 4])


@compiled
def _put(row, at, a):  # type: ignore[no-untyped-def]
    for i in range(5):
        row[at + i] = a[i]


@compiled
def _plus(p, minus_, plus_, t2d):  # type: ignore[no-untyped-def]
    """P + Q; ``p`` extended (X, Y, Z, T), Q affine as decoded (add-2008-hwcd-3 with Z2 = 1)."""
    a = mul(sub(p[1], p[0]), minus_)
    b = mul(add(p[1], p[0]), plus_)
    c = mul(p[3], t2d)
    d = add(p[2], p[2])
    e, f, g, h = sub(b, a), sub(d, c), add(d, c), add(b, a)
    return (mul(e, f), mul(g, h), mul(f, g), mul(e, h))


@compiled
def _join(p, q):  # type: ignore[no-untyped-def]
    """P + Q, both extended (add-2008-hwcd-3)."""
    a = mul(sub(p[1], p[0]), sub(q[1], q[0]))
    b = mul(add(p[1], p[0]), add(q[1], q[0]))
    c = mul(mul(p[3], D2), q[3])
    d = mul(add(p[2], p[2]), q[2])
    e, f, g, h = sub(b, a), sub(d, c), add(d, c), add(b, a)
    return (mul(e, f), mul(g, h), mul(f, g), mul(e, h))


@compiled
def _twice(p):  # type: ignore[no-untyped-def]
    """2 P (dbl-2008-hwcd with a = -1)."""
    a = mul(p[0], p[0])
    b = mul(p[1], p[1])
    zz = mul(p[2], p[2])
    c = add(zz, zz)
    h = add(a, b)
    xy = add(p[0], p[1])
    e = sub(h, mul(xy, xy))
    g = sub(a, b)
    f = add(c, g)
    return (mul(e, f), mul(g, h), mul(f, g), mul(e, h))


@compiled
def decode(encoded, out):  # type: ignore[no-untyped-def]
    """Decode ``encoded`` uint64 (n, 4) to ``out`` uint64 (n, 15); returns the first row that is no point, or -1.

    Refused: values not below p, odd ones, and what RFC 9496, 4.3.1 calls invalid. The identity is a point here.
    """
    for i in range(encoded.shape[0]):
        s = load(encoded[i, 0], encoded[i, 1], encoded[i, 2], encoded[i, 3])
        w = words(s)
        if w[0] != encoded[i, 0] or w[1] != encoded[i, 1] or w[2] != encoded[i, 2] or w[3] != encoded[i, 3]:
            return i
        if w[0] & np.uint64(1):
            return i
        ss = mul(s, s)
        u1, u2 = sub(ONE, ss), add(ONE, ss)
        u2u2 = mul(u2, u2)
        v = sub(neg(mul(D, mul(u1, u1))), u2u2)
        square, root = inverse_root(mul(v, u2u2))
        den_x = mul(root, u2)
        den_y = mul(mul(root, den_x), v)
        x = magnitude(mul(add(s, s), den_x))
        y = mul(u1, den_y)
        t = mul(x, y)
        if not square or negative(t) or same(y, ZERO):
            return i
        _put(out[i], 0, sub(y, x))
        _put(out[i], 5, add(y, x))
        _put(out[i], 10, mul(t, D2))
    return -1


@compiled
def _encode(p, out):  # type: ignore[no-untyped-def]
    """Write the four words of an extended point (RFC 9496, 4.3.2)."""
    x, y, z, t = p
    u1 = mul(add(z, y), sub(z, y))
    u2 = mul(x, y)
    _, root = inverse_root(mul(u1, mul(u2, u2)))
    den1, den2 = mul(root, u1), mul(root, u2)
    z_inv = mul(mul(den1, den2), t)
    den_inv = den2
    if negative(mul(t, z_inv)):
        x, y = mul(y, SQRT_M1), mul(x, SQRT_M1)
        den_inv = mul(den1, INVSQRT_A_MINUS_D)
    if negative(mul(x, z_inv)):
        y = neg(y)
    w = words(magnitude(mul(den_inv, sub(z, y))))
    for i in range(4):
        out[i] = w[i]


@compiled
def digits(scalars, width, out):  # type: ignore[no-untyped-def]
    """Signed digits base 2^width, int16 (n, windows), of ``scalars`` uint64 (n, 4) below 2^253."""
    half, full = 1 << (width - 1), 1 << width
    for i in range(scalars.shape[0]):
        over = 0
        for k in range(out.shape[1]):
            at = k * width
            word, shift = at >> 6, np.uint64(at & 63)
            value = np.uint64(0)
            if word < 4:
                value = scalars[i, word] >> shift
                if at & 63 and word < 3:
                    value |= scalars[i, word + 1] << (np.uint64(64) - shift)
            digit = np.int64(value & np.uint64(full - 1)) + over
            over = 1 if digit >= half else 0
            out[i, k] = digit - (full if over else 0)


@compiled
def total(points, signed, width, out):  # type: ignore[no-untyped-def]
    """Encode ``sum(scalar_i * point_i)`` into ``out`` uint64 (4,); ``signed`` from ``digits``."""
    zero = (ZERO, ONE, ONE, ZERO)
    buckets = [zero for _ in range((1 << (width - 1)) + 1)]
    result = zero
    for k in range(signed.shape[1] - 1, -1, -1):
        for _ in range(width):
            result = _twice(result)
        for j in range(len(buckets)):
            buckets[j] = zero
        for i in range(points.shape[0]):
            digit = signed[i, k]
            if digit > 0:
                buckets[digit] = _plus(
                    buckets[digit], _take(points[i], 0), _take(points[i], 5), _take(points[i], 10)
                )
            elif digit < 0:
                buckets[-digit] = _plus(
                    buckets[-digit], _take(points[i], 5), _take(points[i], 0), neg(_take(points[i], 10))
                )
        running, window = zero, zero
        for j in range(len(buckets) - 1, 0, -1):
            running = _join(running, buckets[j])
            window = _join(window, running)
        result = _join(result, window)
    _encode(result, out)


@compiled
def weighted(points, weights, out):  # type: ignore[no-untyped-def]
    """Encode ``sum_j weights[j] * points[j, i]`` into ``out`` uint64 (n, 4) for each i.

    ``points`` uint64 (t, n, 15); ``weights`` int64 (t,): small, so a few doublings do.
    """
    top = 0
    for weight in weights:
        top = max(top, abs(weight))
    bits = 0
    while top >> bits:
        bits += 1
    for i in range(points.shape[1]):
        result = (ZERO, ONE, ONE, ZERO)
        for bit in range(bits - 1, -1, -1):
            result = _twice(result)
            for j in range(points.shape[0]):
                if abs(weights[j]) >> bit & 1:
                    row = points[j, i]
                    if weights[j] > 0:
                        result = _plus(result, _take(row, 0), _take(row, 5), _take(row, 10))
                    else:
                        result = _plus(result, _take(row, 5), _take(row, 0), neg(_take(row, 10)))
        _encode(result, out[i])
