"""Signed envelopes: DSSE 1.0 with Ed25519, over the raw bytes of a payload and its type.

The type is signed too, so an envelope made for one use never fits another. ``keyid`` only narrows which keys are tried;
what counts is which key's signature holds.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, cast

from cryptography.exceptions import InvalidSignature

from spiritsafe.attest.keys import keyid as name_of
from spiritsafe.errors import AttestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MOST = 64
"""Signatures looked at in one envelope."""
_LENGTH = 88  # of a 64-byte signature in padded base64


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: the Pre-Authentication Encoding of DSSE 1.0."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(
    payload: bytes, payload_type: str, key: Ed25519PrivateKey, *others: Ed25519PrivateKey
) -> dict[str, Any]:
    """The envelope of ``payload``, signed by ``key`` and each of ``others``: JSON-ready."""
    message = pae(payload_type, payload)
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [
            {"keyid": name_of(one.public_key()), "sig": base64.b64encode(one.sign(message)).decode()}
            for one in (key, *others)
        ],
    }


def verify(
    envelope: object, keys: Mapping[str, Ed25519PublicKey], payload_type: str, *, threshold: int = 1
) -> bytes:
    """The payload of ``envelope``, once ``threshold`` different keys of ``keys`` (by key id) have signed it.

    Raises AttestError when it is malformed, of another type, or too few signatures hold.
    """
    payload, signers = verified(envelope, keys, payload_type)
    if len(signers) < max(threshold, 1):
        raise AttestError(
            f"{len(signers)} of {threshold} signatures hold",
            hint="ask the sender, or fetch the keys of the members anew",
        )
    return payload


def verified(
    envelope: object, keys: Mapping[str, Ed25519PublicKey], payload_type: str
) -> tuple[bytes, frozenset[str]]:
    """The payload, and the key ids whose signatures hold: perhaps none. Raises AttestError when it is malformed."""
    payload, found = _opened(envelope, payload_type)
    message = pae(payload_type, payload)
    holds: dict[bytes, str] = {}  # by the key itself: one key under two names is one signer
    for claimed, signature in found:
        tried = [claimed] if claimed in keys else ([] if claimed else list(keys))
        for name in tried:
            if fits(keys[name], message, signature):
                holds.setdefault(keys[name].public_bytes_raw(), name)
    return payload, frozenset(holds.values())


def fits(key: Ed25519PublicKey, message: bytes, signature: str) -> bool:
    """Whether ``signature`` (base64, either alphabet) is ``key``'s over ``message``, which is a `pae`."""
    try:
        key.verify(_bytes(signature), message)
    except (InvalidSignature, AttestError):
        return False
    return True


def _opened(envelope: object, payload_type: str) -> tuple[bytes, list[tuple[str, str]]]:
    if not isinstance(envelope, dict):
        raise AttestError("this is no envelope")
    fields = cast("dict[str, Any]", envelope)
    if fields.get("payloadType") != payload_type:
        raise AttestError(f"this is no envelope of {payload_type}")
    payload, signatures = fields.get("payload"), fields.get("signatures")
    if not isinstance(payload, str) or not isinstance(signatures, list) or not signatures:
        raise AttestError("an envelope has a payload and signatures")
    if len(signatures) > MOST:
        raise AttestError(f"an envelope has at most {MOST} signatures")
    found: list[tuple[str, str]] = []
    for one in cast("list[Any]", signatures):
        entry = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        claimed, signature = entry.get("keyid", ""), entry.get("sig")
        if not isinstance(claimed, str) or not isinstance(signature, str) or len(signature) > _LENGTH:
            raise AttestError("a signature has a key id and base64 of 64 bytes")
        found.append((claimed, signature))
    return _bytes(payload), found


def _bytes(text: str) -> bytes:
    try:
        raw = text.encode("ascii").replace(b"-", b"+").replace(b"_", b"/")
        return base64.b64decode(raw, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise AttestError("this is no base64") from error
