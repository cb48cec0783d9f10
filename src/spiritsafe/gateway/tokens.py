"""Signed identity tokens: compact JWS (RFC 7515, RFC 8037) with EdDSA or HS256, and nothing else.

A key is good for one algorithm only, so that a public key can never be used as a shared secret (the classic confusion).
"""

from __future__ import annotations

import binascii
import hmac
import json
import re
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from spiritsafe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LONGEST = 8_192
_PART = re.compile(rb"[A-Za-z0-9_-]+")


class BadToken(Exception):  # noqa: N818 - reads as the fact it states
    """A token that is not believed; ``reason`` is machine-readable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Key:
    """What verifies: an Ed25519 public key (32 bytes) or a shared secret (at least 32 bytes)."""

    algorithm: Literal["EdDSA", "HS256"]
    secret: bytes

    def fits(self, message: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is this key's over ``message``."""
        if self.algorithm == "HS256":
            return hmac.compare_digest(hmac.digest(self.secret, message, "sha256"), signature)
        try:
            Ed25519PublicKey.from_public_bytes(self.secret).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def read(path: Path) -> dict[str, Key]:
    """Keys by id: ``{"keys": {"2026-11": {"algorithm": "EdDSA", "key": "BASE64"}}}``. Raises UsageError."""
    try:
        held = json.loads(path.read_bytes())["keys"]
        made = {
            name: Key(one["algorithm"], b64decode(one["key"], validate=True)) for name, one in held.items()
        }
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            "these are no token keys",
            where=str(path),
            hint='{"keys": {"a-name": {"algorithm": "EdDSA", "key": "BASE64"}}}',
        ) from error
    for name, key in made.items():
        if key.algorithm not in {"EdDSA", "HS256"}:
            raise UsageError(
                f"the key {name!r} has no known algorithm", where=str(path), hint="EdDSA or HS256"
            )
        if len(key.secret) != 32 and (key.algorithm == "EdDSA" or len(key.secret) < 32):
            raise UsageError(
                f"the key {name!r} has a wrong length", where=str(path), hint="32 bytes, as base64"
            )
    return made


def verified(token: bytes, keys: Mapping[str, Key], now: int, leeway: int = 0) -> dict[str, Any]:
    """The claims of a token whose signature and time fit; ``now`` and ``leeway`` in seconds. Raises BadToken."""
    parts = token.split(b".")
    if len(token) > LONGEST or len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        raise BadToken("token_malformed", "this is no token")
    head, claims = _json(parts[0]), _json(parts[1])
    key = keys.get(str(head.get("kid"))) if "kid" in head else (_only(keys))
    if key is None:
        raise BadToken("token_key_unknown", "the token's key is not known here")
    if head.get("alg") != key.algorithm or "crit" in head:
        raise BadToken("token_algorithm", "the token's algorithm is not the key's")
    if not key.fits(parts[0] + b"." + parts[1], _bytes(parts[2])):
        raise BadToken("token_forged", "the token's signature does not fit")
    expires, begins = claims.get("exp"), claims.get("nbf", 0)
    if not _number(expires) or not _number(begins):
        raise BadToken("token_without_expiry", "a token needs an expiry")
    if now > cast("float", expires) + leeway:
        raise BadToken("token_expired", "the token has expired")
    if now < cast("float", begins) - leeway:
        raise BadToken("token_too_early", "the token is not good yet")
    return claims


def _only(keys: Mapping[str, Key]) -> Key | None:
    return next(iter(keys.values())) if len(keys) == 1 else None


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**53


def _bytes(part: bytes) -> bytes:
    try:
        return b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise BadToken("token_malformed", "this is no token") from error


def _json(part: bytes) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(part))
    except (ValueError, RecursionError) as error:
        raise BadToken("token_malformed", "this is no token") from error
    if not isinstance(value, dict):
        raise BadToken("token_malformed", "this is no token")
    return cast("dict[str, Any]", value)
