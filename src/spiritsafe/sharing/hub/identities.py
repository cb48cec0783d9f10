"""Names of members, the same on each side."""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

from spiritsafe.attest.canonical import jcs

_NAMESPACE: Final = uuid.UUID("8f2b1c6e-3d0a-4f57-9b1e-6a4c2d9e7f13")


def identity_id(public: str) -> str:
    """The identity of the member who signs with ``public`` ("ed25519:" and base64)."""
    named = {"type": "identity", "created_by_ref": "", "which": {"key": public}}
    return f"identity--{uuid.uuid5(_NAMESPACE, jcs(named).decode())}"


def pseudonym(public_raw: bytes) -> str:
    """The name of the member with this public key (32 bytes): ``member-7f3a9c``."""
    return f"member-{hashlib.sha256(public_raw).hexdigest()[:6]}"
