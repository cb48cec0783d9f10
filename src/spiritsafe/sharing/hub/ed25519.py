"""Signatures of many objects, checked by libsodium.

It takes half of OpenSSL's time and does not hold Python's lock, so that a hub that takes ten thousand objects answers others
meanwhile. Of the two it is the stricter one: what it accepts, OpenSSL accepts.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_SIZE = 64


def fits(key: Ed25519PublicKey, message: bytes, signature: str) -> bool:
    """Whether ``signature`` (base64) is ``key``'s over ``message``: as `attest.dsse.fits`."""
    try:
        raw = base64.b64decode(signature, validate=True)
        if len(raw) != _SIZE:
            return False
        crypto_sign_open(raw + message, key.public_bytes_raw())
    except (BadSignatureError, ValueError):
        return False
    return True
