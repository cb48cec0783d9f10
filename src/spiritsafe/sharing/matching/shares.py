"""Splitting a secret scalar t-of-n so that each share can be checked (Feldman's verifiable secret sharing).

The dealer's secret is the constant of a polynomial of degree t - 1; share ``i`` is its value at i, from 1; commitments
are the coefficients times the generator. From t shares the secret follows, from t - 1 nothing.
"""

from __future__ import annotations

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import group, sums

_TAG = b"spiritsafe match 1 proof of knowledge"


def polynomial(threshold: int) -> list[bytes]:
    """Random coefficients, the secret first."""
    return [group.random_scalar() for _ in range(threshold)]


def commit(coefficients: list[bytes]) -> list[bytes]:
    """The commitments to the coefficients."""
    return [group.base(one) for one in coefficients]


def share(coefficients: list[bytes], index: int) -> bytes:
    """The value at ``index``, from 1."""
    at, value = group.number(index), coefficients[-1]
    for one in reversed(coefficients[:-1]):
        value = group.plus(group.times(value, at), one)
    return value


def image(commitments: list[bytes], index: int) -> bytes:
    """The generator times share ``index``, from the commitments alone. Raises SharingError for points that are none."""
    powers = b"".join(group.number(index**power) for power in range(len(commitments)))
    return sums.total(sums.Points(b"".join(commitments)), powers)


def fits(value: bytes, commitments: list[bytes], index: int) -> bool:
    """Whether ``value`` is share ``index`` of what is committed to."""
    try:
        return group.base(group.scalar(value)) == image(commitments, index)
    except SharingError:
        return False


def prove(secret: bytes, context: bytes) -> bytes:
    """Proof of knowledge (Schnorr) of a scalar, 64 bytes, bound to ``context``.

    Without it a dealer could choose its commitment after the others', so that their secrets cancel.
    """
    nonce = group.random_scalar()
    challenge = _challenge(group.base(secret), group.base(nonce), context)
    return challenge + group.minus(nonce, group.times(challenge, secret))


def proven(public: bytes, proof: bytes, context: bytes) -> bool:
    """Whether ``proof`` shows that its maker knows the scalar of ``public``."""
    try:
        challenge, response = group.scalar(proof[:32]), group.scalar(proof[32:])
        nonce = group.add(group.base(response), group.multiply(challenge, group.point(public)))
    except SharingError:
        return False
    return _challenge(public, nonce, context) == challenge


def _challenge(public: bytes, nonce: bytes, context: bytes) -> bytes:
    return group.hash_to_scalar(len(context).to_bytes(4, "big") + context + public + nonce, _TAG)
