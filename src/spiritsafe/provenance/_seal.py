"""Commitments: a Merkle tree over salted leaves, so that one digest binds many secrets and each can be shown alone.

Leaves and nodes are hashed as in RFC 9162, section 2.1 (SHA-256, prefixes 0 and 1). A leaf hides what it commits to by
32 secret bytes of salt; whoever is given salt, content and path checks it against the root without seeing the rest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SALT = b"spiritsafe provenance 1"


def canonical(value: Any) -> bytes:
    """JSON in one form only: keys sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def digest(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def secret(root: bytes, *name: str) -> bytes:
    """32 bytes derived from the root key by HKDF-SHA256: shown, they say nothing of the root or of other names."""
    return HKDF(algorithm=SHA256(), length=32, salt=_SALT, info="\0".join(name).encode()).derive(root)


def salted(kind: str, name: str, content: str, salt: bytes) -> str:
    """Hash of one leaf, hexadecimal. ``content``: digest (hex) of what is committed to."""
    told = f"{kind}\0{name}\0{content}\0".encode()
    return digest(b"\0" + told + salt)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One commitment: ``content`` is the digest (hex) of what is committed to, ``salt`` 32 secret bytes."""

    kind: str
    name: str
    content: str
    salt: bytes = field(repr=False)

    @property
    def hash(self) -> str:
        """What may be shown."""
        return salted(self.kind, self.name, self.content, self.salt)


def root(leaves: Sequence[str]) -> str:
    """The tree's root over leaf hashes (hex), in their order; of no leaves, the digest of nothing."""
    return _root([bytes.fromhex(one) for one in leaves]).hex()


def path(leaves: Sequence[str], index: int) -> list[str]:
    """The sibling hashes (hex) from leaf ``index`` up to the root."""
    return [one.hex() for one in _path([bytes.fromhex(leaf) for leaf in leaves], index)]


def fits(leaf: str, index: int, count: int, siblings: Sequence[str], top: str) -> bool:
    """Whether ``leaf`` is the leaf ``index`` of ``count`` under the root ``top`` (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < count:
        return False
    at, last, hashed = index, count - 1, bytes.fromhex(leaf)
    for one in siblings:
        if last == 0:
            return False
        if at & 1 or at == last:
            hashed = _node(bytes.fromhex(one), hashed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            hashed = _node(hashed, bytes.fromhex(one))
        at, last = at >> 1, last >> 1
    return last == 0 and hashed.hex() == top


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _root(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    cut = _cut(len(leaves))
    return _node(_root(leaves[:cut]), _root(leaves[cut:]))


def _path(leaves: list[bytes], index: int) -> list[bytes]:
    if len(leaves) < 2:
        return []
    cut = _cut(len(leaves))
    if index < cut:
        return [*_path(leaves[:cut], index), _root(leaves[cut:])]
    return [*_path(leaves[cut:], index - cut), _root(leaves[:cut])]


def _cut(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << (count - 1).bit_length() - 1
