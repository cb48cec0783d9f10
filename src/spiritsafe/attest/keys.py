"""Ed25519 keys of signers, approvers, members and logs: a private key is one file that only its owner may read.

Public keys are written ``ed25519:`` and 32 bytes of base64. Key material is in no error and no log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from spiritsafe.errors import AttestError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "ed25519:"


def make(path: Path) -> str:
    """Write a new private key to ``path`` (PEM, mode 0600) and return its public key.

    Raises StorageError when the file exists or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(file, "wb") as out:
                os.fchmod(out.fileno(), 0o600)  # whatever the umask takes or a default ACL gives
                out.write(pem)
                out.flush()
                os.fsync(out.fileno())
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
    except FileExistsError as error:
        raise StorageError(
            "a key file exists already and is kept", where=str(path), hint="choose another name"
        ) from error
    except OSError as error:
        raise StorageError(f"the key cannot be written: {error.strerror}", where=str(path)) from error
    return public(key)


def load(path: Path) -> Ed25519PrivateKey:
    """The private key in ``path``. Raises AttestError when others may read the file or it holds no such key."""
    try:
        file = os.open(path, os.O_RDONLY)
        with os.fdopen(file, "rb") as source:
            mode = stat.S_IMODE(os.fstat(source.fileno()).st_mode)  # of what was opened, not of the name
            if mode & 0o077:
                raise AttestError(
                    f"others can use this key: its mode is {mode:04o}",
                    where=str(path),
                    hint=f"chmod 600 {path}; if others were able to read it, make a new key",
                )
            data = source.read(10_000)
    except OSError as error:
        raise AttestError(f"the key cannot be read: {error.strerror}", where=str(path)) from error
    try:
        key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError):
        key = None  # the library's own message may quote the file
    if not isinstance(key, Ed25519PrivateKey):
        raise AttestError(
            "this is no Ed25519 private key", where=str(path), hint="make one with `spiritsafe orders key`"
        )
    return key


def public(key: Ed25519PrivateKey) -> str:
    """The public key of a private one, as text."""
    return shown(key.public_key())


def shown(key: Ed25519PublicKey) -> str:
    """A public key as text."""
    return PREFIX + base64.b64encode(key.public_bytes_raw()).decode()


def keyid(key: Ed25519PublicKey) -> str:
    """The short name of a public key: the first 16 hex digits of its SHA-256. A hint; a signature decides."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def parse(text: str, where: str) -> Ed25519PublicKey:
    """The public key in ``text``. Raises AttestError."""
    try:
        raw = base64.b64decode(text.removeprefix(PREFIX), validate=True)
        if text.startswith(PREFIX) and base64.b64encode(raw).decode() == text.removeprefix(PREFIX):
            return Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, binascii.Error):
        pass
    raise AttestError(
        "this is no public key",
        where=where,
        hint=f'it is written "{PREFIX}" and base64 of 32 bytes, as `spiritsafe orders key` prints it',
    )


def sign(key: Ed25519PrivateKey, domain: bytes, content: bytes) -> str:
    """Base64 signature over ``content`` under ``domain``: a signature for one use never fits another."""
    return base64.b64encode(key.sign(domain + content)).decode()


def fits(key: Ed25519PublicKey, domain: bytes, content: bytes, signature: object) -> bool:
    """Whether ``signature`` is this key's over ``content``."""
    try:
        key.verify(base64.b64decode(str(signature), validate=True), domain + content)
    except (InvalidSignature, ValueError):
        return False
    return True
