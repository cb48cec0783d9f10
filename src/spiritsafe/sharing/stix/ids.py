"""Ids that anybody can compute again: UUIDv5 (RFC 9562) over the canonical JSON of the fields that say which object it is.

An id is the same in each version of an object and on each machine of its author. It tells nothing: a campaign's id in a
scan, from which its id here is made, is itself a digest.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Final

from spiritsafe.attest.canonical import jcs

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE: Final = uuid.UUID("8f2b1c6e-3d0a-4f57-9b1e-6a4c2d9e7f13")
DISTILLATION: Final = "extension-definition--b1d2c6f0-5c1e-4d7a-8f35-2a9e6b7c4d11"
"""The property extension that carries this project's facts; fixed for ever."""
PROJECT: Final = "identity--3c9a1f52-7e64-4b0d-a1c8-5d2f8e6b9a70"
"""Who defines the extension; no member."""


def object_id(kind: str, author: str | None, which: Mapping[str, str]) -> str:
    """The id of ``author``'s object of STIX type ``kind`` that ``which`` names. Texts only, so that there is one reading."""
    named = {"type": kind, "created_by_ref": author or "", "which": dict(which)}
    return f"{kind}--{uuid.uuid5(NAMESPACE, jcs(named).decode())}"


def identity_id(public: str) -> str:
    """The identity of the member who signs with ``public`` ("ed25519:" and base64)."""
    return object_id("identity", None, {"key": public})


def pseudonym(public_raw: bytes) -> str:
    """The name of the member with this public key (32 bytes): ``member-7f3a9c``. It says nothing of the company."""
    return f"member-{hashlib.sha256(public_raw).hexdigest()[:6]}"
