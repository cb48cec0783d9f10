"""Keys of marks: derived from one root key by campaign and epoch, never stored or shown but by their ids.

A key's id is a keyed digest of its own, which a model server and a ledger may show: it says nothing of the key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Scheme = Literal["green", "gumbel"]
SCHEMES: Final[tuple[Scheme, ...]] = ("green", "gumbel")
ROOT = 32
_SALT = b"spiritsafe mark 1"


@dataclass(frozen=True, slots=True)
class MarkKey:
    """The key of one campaign in one epoch, and how it marks.

    scheme: "green" raises the logits of a secret ``share`` of the vocabulary by ``strength`` (KGW, arXiv 2301.10226);
    "gumbel" samples by the exponential race (Kuditipudi et al., arXiv 2307.15593; distribution-preserving on average
    over keys). width: how many tokens before the next one choose its uniforms.
    """

    campaign_id: str
    epoch: int
    secret: bytes = field(repr=False)
    scheme: Scheme = "green"
    width: int = 3
    share: float = 0.25
    strength: float = 2.0

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise UsageError(
                f"no marking scheme is called {self.scheme!r}", hint=f"there are: {', '.join(SCHEMES)}"
            )
        if len(self.secret) != 16 or not 1 <= self.width <= 8 or not 0.0 < self.share < 1.0:
            raise UsageError("a mark key has 16 bytes, a width from 1 to 8 and a share between 0 and 1")

    @property
    def key_id(self) -> str:
        """What may be shown: it names the key and says nothing of it."""
        told = f"{self.campaign_id}\0{self.epoch}".encode()
        return "wm-" + hmac.new(self.secret, b"id\0" + told, hashlib.sha256).hexdigest()[:16]

    @property
    def words(self) -> NDArray[np.uint64]:
        """The secret as uint64 (2,), as the kernels take it."""
        return np.frombuffer(self.secret, "<u8").astype(np.uint64)

    @property
    def commitment(self) -> str:
        """Binding and hiding: SHA-256 of the secret with what it belongs to. Ledgers hold this before the first use."""
        told = f"{self.campaign_id}\0{self.epoch}\0{self.scheme}\0{self.width}\0{self.share!r}\0{self.strength!r}\0"
        return hashlib.sha256(b"spiritsafe mark commitment 1\0" + told.encode() + self.secret).hexdigest()


def derive(root: bytes, campaign_id: str, epoch: int, **how: Any) -> MarkKey:
    """The key of a campaign in an epoch: HKDF-SHA256 of the root. ``how``: scheme, width, share, strength.

    Raises UsageError for a root that is not 32 bytes.
    """
    if len(root) != ROOT:
        raise UsageError(f"a root key has {ROOT} bytes, this has {len(root)}")
    info = f"{campaign_id}\0{epoch}".encode()
    secret = HKDF(algorithm=SHA256(), length=16, salt=_SALT, info=info).derive(root)
    return MarkKey(campaign_id, epoch, secret, **how)


def new_root(path: Path) -> None:
    """Write a new root key for its owner's eyes only; never over an old one. Raises UsageError, OSError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(
            "there is a root key already", where=str(path), hint="rotate by epoch instead"
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(os.urandom(ROOT))
        file.flush()
        os.fsync(file.fileno())


def read_root(path: Path) -> bytes:
    """The root key in a file that only its owner can read. Raises UsageError."""
    try:
        mode, root = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise UsageError(f"the root key cannot be read: {error.strerror}", where=str(path)) from error
    if mode & 0o077:
        raise UsageError("others can read the root key", where=str(path), hint=f"chmod 600 {path}")
    if len(root) != ROOT:
        raise UsageError(f"a root key has {ROOT} bytes, this has {len(root)}", where=str(path))
    return root
