"""Verifiable oblivious pseudorandom function, RFC 9497: ristretto255-SHA512, mode VOPRF, proofs over whole batches.

::

    member                                   key holder (secret k, public k*G)
    blind: r * H(input)      ── elements ──▶ evaluate: k * element, proof that it was this k
    verify, finalize         ◀──────────────

The holder sees uniform points; the member gets ``Hash(input, k * H(input))`` and nothing about k; what the holder
multiplied with is proven. The functions take one batch, at most ``MOST`` elements (the RFC numbers them in 16 bits).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from spiritsafe.errors import SharingError
from spiritsafe.sharing.matching import group, sums
from spiritsafe.sharing.matching.sums import Points

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTEXT = b"OPRFV1-\x01-ristretto255-SHA512"
MOST = 16_384
"""Elements of one batch: half a megabyte, a second of a holder's time."""
LONGEST = 2**16 - 1
"""Bytes of one input."""
PROOF = 64


class Blinded(NamedTuple):
    """Secret ``blinds`` and the ``elements`` (n * 32 bytes) that may be shown."""

    blinds: list[bytes]
    elements: bytes


class Evaluated(NamedTuple):
    """A holder's answer: ``elements`` (n * 32 bytes) and the ``proof`` (64 bytes) for all of them."""

    elements: bytes
    proof: bytes


def blind(inputs: Sequence[bytes], blinds: Sequence[bytes] | None = None) -> Blinded:
    """Blind each input with a fresh scalar (``blinds`` only for test vectors). Raises SharingError."""
    chosen = list(blinds) if blinds is not None else [group.random_scalar() for _ in inputs]
    out = bytearray()
    for one, secret in zip(inputs, chosen, strict=True):
        if len(one) > LONGEST:
            raise SharingError(f"an input has at most {LONGEST} bytes")
        out += group.multiply(secret, group.hash_to_group(one, b"HashToGroup-" + CONTEXT))
    return Blinded(chosen, bytes(out))


def evaluate(key: bytes, public: bytes, elements: bytes, nonce: bytes | None = None) -> Evaluated:
    """Multiply ``elements`` with ``key`` and prove it (BlindEvaluate). ``nonce`` only for test vectors.

    Raises SharingError when an element is no point, or there are none or too many.
    """
    asked = Points(elements, "elements")
    bounded(len(asked))
    answer = b"".join(group.multiply(key, asked[i]) for i in range(len(asked)))
    composite = sums.total(asked, _coefficients(public, elements, answer))
    # The prover knows k: the second composite is k times the first (ComputeCompositesFast).
    image = group.multiply(key, composite)
    secret = nonce if nonce is not None else group.random_scalar()
    challenge = _challenge(public, composite, image, group.base(secret), group.multiply(secret, composite))
    return Evaluated(answer, challenge + group.minus(secret, group.times(challenge, key)))


def verify(public: bytes, asked: Points, answered: Points, proof: bytes) -> bool:
    """Whether ``answered`` is ``asked`` times the secret of ``public`` (VerifyProof)."""
    if len(asked) != len(answered) or not 0 < len(asked) <= MOST or len(proof) != PROOF:
        return False
    try:
        challenge, response = group.scalar(proof[:32]), group.scalar(proof[32:])
        coefficients = _coefficients(public, asked.encoded, answered.encoded)
        composite, image = sums.total(asked, coefficients), sums.total(answered, coefficients)
        left = group.add(group.base(response), group.multiply(challenge, public))
        right = group.add(group.multiply(response, composite), group.multiply(challenge, image))
    except SharingError:  # a composite or challenge that honest parties meet with probability 2^-252
        return False
    return _challenge(public, composite, image, left, right) == challenge


def finalize(
    inputs: Sequence[bytes], blinds: Sequence[bytes], elements: bytes, denominator: int = 1
) -> list[bytes]:
    """The outputs, 64 bytes each, of evaluated ``elements``; these were multiplied by ``denominator`` beside the key."""
    inverse = group.inverses([*blinds, group.number(denominator)])
    shared = inverse.pop()
    outputs: list[bytes] = []
    for i, (one, undo) in enumerate(zip(inputs, inverse, strict=True)):
        clear = group.multiply(group.times(undo, shared), elements[32 * i : 32 * i + 32])
        outputs.append(_output(one, clear))
    return outputs


def direct(key: bytes, one: bytes) -> bytes:
    """The output for one input by who holds the whole key (Evaluate): in tests, as what matching must equal."""
    return _output(one, group.multiply(key, group.hash_to_group(one, b"HashToGroup-" + CONTEXT)))


def bounded(count: int) -> None:
    """Raise SharingError when a batch is empty or too large."""
    if not 0 < count <= MOST:
        raise SharingError(f"a batch has 1 to {MOST} elements, not {count}")


def _output(one: bytes, clear: bytes) -> bytes:
    size = len(one).to_bytes(2, "big")
    return hashlib.sha512(size + one + b"\x00\x20" + clear + b"Finalize").digest()


def _coefficients(public: bytes, asked: bytes, answered: bytes) -> bytes:
    """The random coefficients of ComputeComposites, n * 32 bytes."""
    domain = b"Seed-" + CONTEXT
    seed = hashlib.sha512(b"\x00\x20" + public + len(domain).to_bytes(2, "big") + domain).digest()
    tag, prefix = b"HashToScalar-" + CONTEXT, b"\x00\x40" + seed
    return b"".join(
        group.hash_to_scalar(
            prefix
            + i.to_bytes(2, "big")
            + b"\x00\x20"
            + asked[32 * i : 32 * i + 32]
            + b"\x00\x20"
            + answered[32 * i : 32 * i + 32]
            + b"Composite",
            tag,
        )
        for i in range(len(asked) // 32)
    )


def _challenge(public: bytes, composite: bytes, image: bytes, left: bytes, right: bytes) -> bytes:
    parts = (public, composite, image, left, right)
    return group.hash_to_scalar(
        b"".join(b"\x00\x20" + part for part in parts) + b"Challenge", b"HashToScalar-" + CONTEXT
    )
