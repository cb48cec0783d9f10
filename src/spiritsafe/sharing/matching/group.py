"""The group ristretto255 (RFC 9496) for whatever is secret: libsodium through rbcl, constant time.

A point is its 32-byte encoding, a scalar its 32 little-endian bytes below ``ORDER``. Points that came from others go
through `point` or `sums.Points` first; the identity, non-canonical and invalid encodings are refused there.
Python cannot wipe what it held: a scalar lives until its memory is used again.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import SharingError

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDER = 2**252 + 27742317777372353535851937790883648493
SIZE = 32
IDENTITY = bytes(SIZE)
WIDE = 64
"""Bytes of a uniform string that becomes a point or a scalar."""
_TOP = 0x80
_BLOCK = hashlib.sha512(bytes(hashlib.sha512().block_size))


@cache
def _sodium() -> Any:
    """Libsodium. rbcl unpacks it to a temporary file when it is imported, so it is not imported before it is needed."""
    import rbcl  # noqa: PLC0415

    return rbcl


def point(encoded: bytes, where: str | None = None) -> bytes:
    """``encoded``, once it is known to be a point other than the identity. Raises SharingError."""
    # The libsodium inside rbcl 1.1.2 ignores the top bit, which would give each point a second encoding.
    if (
        len(encoded) != SIZE
        or encoded[-1] & _TOP
        or not _sodium().crypto_core_ristretto255_is_valid_point(encoded)
    ):
        raise SharingError("this is no point of the group", where=where)
    if encoded == IDENTITY:
        raise SharingError("the identity is not allowed here", where=where)
    return encoded


def scalar(encoded: bytes, where: str | None = None) -> bytes:
    """``encoded``, once it is known to be a scalar in its only form. Raises SharingError."""
    if len(encoded) != SIZE or int.from_bytes(encoded, "little") >= ORDER:
        raise SharingError("this is no scalar of the group", where=where)
    return encoded


def number(value: int) -> bytes:
    """The scalar of an integer, modulo the order. For public values."""
    return (value % ORDER).to_bytes(SIZE, "little")


def random_scalar() -> bytes:
    """A uniform scalar other than zero."""
    return _sodium().crypto_core_ristretto255_scalar_random()


def base(factor: bytes) -> bytes:
    """``factor`` times the generator; the identity for zero."""
    return _sodium().crypto_scalarmult_ristretto255_base_allow_scalar_zero(factor)


def multiply(factor: bytes, of: bytes) -> bytes:
    """``factor`` times a point. Raises SharingError for an invalid point or the identity as result."""
    try:
        return _sodium().crypto_scalarmult_ristretto255(factor, of)
    except (RuntimeError, ValueError):
        raise SharingError("this product is no point of the group") from None


def add(*points: bytes) -> bytes:
    """Sum of valid points."""
    total = points[0]
    for one in points[1:]:
        total = _sodium().crypto_core_ristretto255_add(total, one)
    return total


def plus(a: bytes, b: bytes) -> bytes:
    """Sum of two scalars."""
    return _sodium().crypto_core_ristretto255_scalar_add(a, b)


def minus(a: bytes, b: bytes) -> bytes:
    """Difference of two scalars."""
    return _sodium().crypto_core_ristretto255_scalar_sub(a, b)


def times(a: bytes, b: bytes) -> bytes:
    """Product of two scalars."""
    return _sodium().crypto_core_ristretto255_scalar_mul(a, b)


def inverses(scalars: Sequence[bytes]) -> list[bytes]:
    """1 / s of each scalar, none of them zero: one inversion and three products a scalar (Montgomery's trick)."""
    running, before = number(1), list[bytes]()
    for one in scalars:
        before.append(running)
        running = times(running, one)
    left, out = _sodium().crypto_core_ristretto255_scalar_invert(running), list[bytes]()
    for one, product in zip(reversed(scalars), reversed(before), strict=True):
        out.append(times(left, product))
        left = times(left, one)
    return out[::-1]


def expand(message: bytes, tag: bytes) -> bytes:
    """64 uniform bytes of ``message`` under the domain ``tag``: expand_message_xmd with SHA-512 (RFC 9380, 5.3.1)."""
    suffix = tag + len(tag).to_bytes(1, "big")
    first = _BLOCK.copy()
    first.update(message + b"\x00\x40\x00" + suffix)
    return hashlib.sha512(first.digest() + b"\x01" + suffix).digest()


def hash_to_group(message: bytes, tag: bytes) -> bytes:
    """The point of ``message`` under the domain ``tag`` (RFC 9497, 4.1)."""
    return _sodium().crypto_core_ristretto255_from_hash(expand(message, tag))


def hash_to_scalar(message: bytes, tag: bytes) -> bytes:
    """The scalar of ``message`` under the domain ``tag`` (RFC 9497, 4.1)."""
    return _sodium().crypto_core_ristretto255_scalar_reduce(expand(message, tag))
