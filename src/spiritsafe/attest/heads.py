"""Signed heads of a log, as checkpoints (C2SP tlog-checkpoint in a signed note), which witnesses of other logs read too.

::

    forum.example/log
    1000
    tW3…base64 of the root…=
    time 1764000000000000

    — forum.example/log tC0…base64 of four bytes of key hash and the Ed25519 signature…=

The fourth line is ours: microseconds since the epoch, UTC, so that a reader sees when a log holds back its new heads.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature

from spiritsafe.errors import AttestError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LONGEST = 65_536
_DASH = "— "
_ED25519 = b"\x01"
_ROOT = 32
_ORIGIN = re.compile(r"[^\s+]{1,256}\Z")
_BODY = re.compile(
    r"([^\n]+)\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n(?:time (0|[1-9][0-9]{0,15})\n)?\Z"
)


@dataclass(frozen=True, slots=True)
class Head:
    """A log at one moment: its name, number of leaves, root hash (32 bytes), and time in microseconds; 0: not said."""

    origin: str
    size: int
    root: bytes
    time: int


def sign(head: Head, key: Ed25519PrivateKey) -> str:
    """The signed text of ``head``. Raises AttestError when the origin has spaces or a plus."""
    if not _ORIGIN.match(head.origin):
        raise AttestError("the origin of a log is a name without spaces and without +", where=head.origin)
    time = f"time {head.time}\n" if head.time else ""
    body = f"{head.origin}\n{head.size}\n{base64.b64encode(head.root).decode()}\n{time}"
    mark = _hint(head.origin, key.public_key()) + key.sign(body.encode())
    return f"{body}\n{_DASH}{head.origin} {base64.b64encode(mark).decode()}\n"


def verify(text: str, key: Ed25519PublicKey, origin: str) -> Head:
    """The head in ``text``, once ``key`` has signed it for ``origin``. Raises AttestError."""
    body, gap, marks = text.rpartition("\n\n")
    if len(text) > LONGEST or not gap:
        raise AttestError("this is no signed head of a log", where=origin)
    body += "\n"
    if not any(_holds(line, body.encode(), key, origin) for line in marks.split("\n")):
        raise AttestError("the head of the log is not signed by this key", where=origin)
    found = _BODY.match(body)
    if found is None or found[1] != origin:
        raise AttestError("the head of the log is malformed or of another log", where=origin)
    root = base64.b64decode(found[3])
    if base64.b64encode(root).decode() != found[3]:
        raise AttestError("the head of the log is malformed", where=origin)
    return Head(origin, int(found[2]), root, int(found[4] or 0))


def _holds(line: str, body: bytes, key: Ed25519PublicKey, origin: str) -> bool:
    name, _, mark = line.removeprefix(_DASH).partition(" ")
    try:
        raw = base64.b64decode(mark, validate=True)
        if not line.startswith(_DASH) or name != origin or raw[:4] != _hint(origin, key):
            return False
        key.verify(raw[4:], body)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _hint(name: str, key: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:4]
