"""The side of who enrols."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.attest import keys
from spiritsafe.errors import SharingError, UsageError
from spiritsafe.sharing.hub import members

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_LONGEST = 65_536
_SECONDS = 30.0


def enrol(
    url: str,
    key: Ed25519PrivateKey,
    code: str,
    *,
    now: int,
    others: Mapping[str, str] | None = None,
    trust: Path | None = None,
) -> dict[str, Any]:
    """Enrol at the hub at ``url``; the pseudonym, identity, roles, the log's ``origin`` and ``log_key``. Raises SharingError.

    ``trust`` is a file of the authority of the hub's certificate, where the system does not know it.
    """
    import ssl  # noqa: PLC0415 - a client only

    import httpx  # noqa: PLC0415

    try:
        context = ssl.create_default_context(cafile=str(trust)) if trust else ssl.create_default_context()
    except (ssl.SSLError, OSError) as error:
        raise UsageError("this authority cannot be read", where=str(trust)) from error
    try:
        with httpx.Client(base_url=url, verify=context, timeout=_SECONDS, trust_env=False) as http:
            about = _content(http.get("/forum/", headers={"accept": "application/json"}), url)
            keys.parse(str(about.get("log_key")), url)
            envelope = members.enrolment(key, code, audience=str(about.get("origin")), now=now, others=others)
            made = _content(
                http.post("/forum/enrol", json=envelope, headers={"accept": "application/json"}), url
            )
    except httpx.HTTPError as error:
        raise SharingError(f"the hub cannot be reached: {type(error).__name__}", where=url) from error
    return made | {"origin": about["origin"], "log_key": about["log_key"]}


def certificate_key(path: Path) -> str:
    """The name of the key in a certificate, as a hub keeps it. Raises UsageError."""
    from cryptography import x509  # noqa: PLC0415 - only with mTLS
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    try:
        key = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    except (OSError, ValueError) as error:
        raise UsageError("this is no certificate", where=str(path)) from error
    info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(info).hexdigest()}"


def _content(answer: Any, url: str) -> dict[str, Any]:
    if len(answer.content) > _LONGEST:
        raise SharingError("this is no hub of a forum", where=url)
    try:
        found = answer.json()
    except ValueError as error:
        raise SharingError("this is no hub of a forum", where=url) from error
    if not isinstance(found, dict):
        raise SharingError("this is no hub of a forum", where=url)
    fields = cast("dict[str, Any]", found)
    if answer.is_error:
        raise SharingError(f"the hub refuses: {fields.get('description', answer.status_code)}", where=url)
    return fields
