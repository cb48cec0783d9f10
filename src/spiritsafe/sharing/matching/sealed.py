"""Sealed messages: HPKE (RFC 9180), base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305, from `cryptography`.

Messages are sealed to keys that were made for one ceremony or one epoch and are signed by their owner, never to a
member's lasting key: the hub keeps what passes through it, and a key stolen later must not open what was sealed before.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from spiritsafe.errors import SharingError

if TYPE_CHECKING:
    from collections.abc import Mapping

OVERHEAD = 32 + 16
"""Bytes that a sealed message is longer: an ephemeral key and a tag."""


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def private(raw: bytes | None = None) -> X25519PrivateKey:
    """A private key: new, or from its 32 bytes. Raises SharingError."""
    try:
        return X25519PrivateKey.generate() if raw is None else X25519PrivateKey.from_private_bytes(raw)
    except ValueError:
        raise SharingError("this is no X25519 private key") from None


def public(key: X25519PrivateKey) -> bytes:
    """The 32 bytes of its public key."""
    return key.public_key().public_bytes_raw()


def seal(message: bytes, to: bytes, about: Mapping[str, str]) -> bytes:
    """Seal ``message`` to a public key, bound to ``about``: who, to whom, in which round.

    Raises SharingError for a key that X25519 does not take.
    """
    try:
        return _suite().encrypt(message, X25519PublicKey.from_public_bytes(to), info(about))
    except ValueError:
        raise SharingError("this is no key to seal to") from None


def unseal(box: bytes, key: X25519PrivateKey, about: Mapping[str, str]) -> bytes:
    """Open what was sealed. Raises SharingError when it was sealed to another key, about something else, or changed."""
    try:
        return _suite().decrypt(box, key, info(about))
    except (InvalidTag, ValueError):
        raise SharingError("this sealed message does not open") from None


def info(about: Mapping[str, str]) -> bytes:
    """What a message is bound to, as bytes."""
    fields: dict[str, Any] = {"domain": "spiritsafe match seal", **about}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def padme(size: int, least: int = 1) -> int:
    """``size`` rounded up so that it tells little of itself: at most 12 % more, O(log log n) bits (Padmé).

    Nikitin, Barman, Lueks, Underwood, Hubaux & Ford, "Reducing metadata leakage from encrypted files and communication
    with PURBs", PoPETs 2019.
    """
    size = max(size, least)
    if size <= 2:
        return size
    exponent = size.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-size // step) * step
