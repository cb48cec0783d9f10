"""How a member shows who it is: a token for one request, signed with its own key.

``Authorization: Spiritsafe PAYLOAD.KEYID.SIGNATURE``, payload and signature in base64url. The payload is canonical JSON:
audience (the hub's origin), method, path with query, SHA-256 of the body, expiry, nonce. So a token that is seen fits no
other hub, no other request and no second time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from spiritsafe.attest import dsse, keys
from spiritsafe.attest.canonical import jcs, read
from spiritsafe.errors import AttestError, SharingError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SCHEME: Final = "Spiritsafe"
PAYLOAD_TYPE: Final = "application/vnd.spiritsafe.token+json"
LIFETIME: Final = 120_000_000
"""Microseconds that a token made here holds."""
LONGEST: Final = 300_000_000
"""Microseconds from now to its expiry that a hub allows."""
SKEW: Final = 30_000_000
"""Microseconds that clocks may differ."""
_FIELDS: Final = {"audience": str, "body": str, "expires": int, "method": str, "nonce": str, "path": str}
_NONCE: Final = 22  # letters: 16 bytes


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart; nothing about it is known to be true before `Token.check`."""

    keyid: str
    payload: bytes
    signature: str

    def signed(self, key: Ed25519PublicKey) -> bool:
        """Whether it is ``key``'s."""
        return dsse.fits(key, dsse.pae(PAYLOAD_TYPE, self.payload), self.signature)

    def check(self, *, audience: str, method: str, path: str, body: bytes, now: int) -> bytes:
        """The nonce, to be taken once, if this token, known to be signed, is for this request now. Raises SharingError."""
        fields = self._fields()
        wanted = {
            "audience": audience, "method": method, "path": path, "body": hashlib.sha256(body).hexdigest(),
        }  # fmt: skip
        for name, value in wanted.items():
            if fields[name] != value:
                raise SharingError(f"the token is for another {name}")
        if not now - SKEW < fields["expires"] <= now + LONGEST + SKEW:
            raise SharingError("the token has expired, or holds too long", hint="set the clock")
        return f"{self.keyid}:{fields['nonce']}".encode()

    @property
    def expires(self) -> int:
        """Until when it holds, microseconds since the epoch."""
        return self._fields()["expires"]

    def _fields(self) -> dict[str, Any]:
        try:
            found = read(self.payload, depth=2)
        except AttestError as error:
            raise SharingError("the token is malformed") from error
        fields = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if fields.keys() != _FIELDS.keys() or any(
            type(fields[name]) is not kind for name, kind in _FIELDS.items()
        ):
            raise SharingError("the token is malformed")
        if len(fields["nonce"]) != _NONCE:
            raise SharingError("the nonce of a token is 16 bytes in base64url")
        return fields


def make(
    key: Ed25519PrivateKey,
    *,
    audience: str,
    method: str,
    path: str,
    body: bytes = b"",
    now: int,
    nonce: str | None = None,
) -> str:
    """The value of the header ``Authorization`` for one request.

    ``path`` with the query, as it is sent; ``audience`` is the origin of the hub's log; ``nonce`` random when None.
    """
    payload = jcs(
        {
            "audience": audience,
            "body": hashlib.sha256(body).hexdigest(),
            "expires": now + LIFETIME,
            "method": method,
            "nonce": nonce or secrets.token_urlsafe(16),
            "path": path,
        }
    )
    signature = key.sign(dsse.pae(PAYLOAD_TYPE, payload))
    return f"{SCHEME} {_text(payload)}.{keys.keyid(key.public_key())}.{_text(signature)}"


def parse(text: str) -> Token:
    """The token in what stands behind the scheme. Raises SharingError."""
    parts = text.split(".")
    try:
        payload, keyid, signature = parts
        raw = payload.encode("ascii") + b"=" * (-len(payload) % 4)
        return Token(
            keyid, base64.b64decode(raw, b"-_", validate=True), signature + "=" * (-len(signature) % 4)
        )
    except (ValueError, binascii.Error) as error:
        raise SharingError("the token is malformed") from error


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
