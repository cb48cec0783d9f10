"""What a lab signs: that it has this evidence (before the match), and what it was (after it). Closed shapes, one signature.

The kind is part of the signed type. A statement's id is the SHA-256 of its canonical payload. Numbers are whole, so that all
readers read the same.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import jsonschema_rs

from spiritsafe.attest import dsse, keys
from spiritsafe.attest.canonical import jcs, read
from spiritsafe.errors import AttestError, SharingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

COMMITMENT, OPENING = "commitment", "opening"
LARGEST = 64 * 2**20
"""Bytes of one statement."""
NOTHING = -640
"""Tenths of bits that stand for an e-value of 0. What is further away is not told: it would tell how large a log is."""


Members: TypeAlias = "Mapping[str, Sequence[Ed25519PublicKey]]"
"""The keys that a member signs with, by its identity: those who count in a forum."""


class Statement(NamedTuple):
    """What ``by`` signed: ``body`` in its closed shape, and the ``id`` of it."""

    kind: str
    by: str
    body: dict[str, Any]
    id: str


def media_type(kind: str) -> str:
    """The DSSE payload type of a kind."""
    return f"application/vnd.spiritsafe.joint.{kind}+json"


def sign(kind: str, body: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """The envelope of ``body``. Raises SharingError when it has not the closed shape of its kind."""
    plain = dict(body)
    checked(kind, plain)
    return dsse.sign(jcs(plain), media_type(kind), key)


def opened(envelope: object, members: Members) -> Statement:
    """The statement in ``envelope``, signed by the member that it names.

    Raises SharingError, without the content, for a wrong kind, shape, member or signature.
    """
    kind = _kind(envelope)
    known = {keys.keyid(key): key for held in members.values() for key in held}
    try:
        payload, signers = dsse.verified(envelope, known, media_type(kind))
        body = read(payload) if len(payload) <= LARGEST else None
        same = body is not None and jcs(body) == payload
    except AttestError as error:
        raise SharingError(f"the {kind} is malformed: {error.message}") from error
    if not same:
        raise SharingError(f"the {kind} is not in canonical form, or larger than {LARGEST} bytes")
    checked(kind, body)
    fields = cast("dict[str, Any]", body)
    if not any(keys.keyid(key) in signers for key in members.get(fields["by"], ())):
        raise SharingError(f"the {kind} is not signed by the member that it names", where=fields["by"])
    return Statement(kind, fields["by"], fields, hashlib.sha256(payload).hexdigest())


def statement_id(kind: str, body: Mapping[str, Any]) -> str:
    """The id of a body, signed or not. Raises SharingError when it has not its shape."""
    plain = dict(body)
    checked(kind, plain)
    return hashlib.sha256(jcs(plain)).hexdigest()


def checked(kind: str, body: object) -> None:
    """Raise SharingError, naming the field, when ``body`` has not the closed shape of ``kind``."""
    error = next(_validator(kind).iter_errors(body), None)
    if error is not None:
        where = "/".join(str(part) for part in error.instance_path)[:100]
        raise SharingError(f"the {kind} has not its shape", where=where or None)


def name_of(salt: bytes, evidence: Mapping[str, Any]) -> str:
    """The commitment to a candidate's evidence: SHA-256 under a salt of 32 bytes, hexadecimal. It hides and it binds."""
    return hashlib.sha256(b"spiritsafe joint candidate 1\0" + salt + jcs(dict(evidence))).hexdigest()


def listed(nonce: bytes, kind: str, tag: str) -> str:
    """What stands for a tag in evidence until it is opened: a hash under a nonce of its own."""
    return hashlib.sha256(
        b"\0".join((b"spiritsafe joint tag 1", nonce, kind.encode(), tag.encode()))
    ).hexdigest()


def derived(secret: bytes, *labels: str) -> bytes:
    """32 bytes that only the holder of ``secret`` can make: salts and nonces of a round, without a store of their own."""
    return hmac.digest(secret, json.dumps(labels).encode(), "sha256")


def _kind(envelope: object) -> str:
    wanted = cast("dict[str, Any]", envelope).get("payloadType") if isinstance(envelope, dict) else None
    for kind in (COMMITMENT, OPENING):
        if wanted == media_type(kind):
            return kind
    raise SharingError("this is no statement of joint evidence")


@cache
def _validator(kind: str) -> Any:
    shapes = json.loads(resources.files("spiritsafe.sharing.joint").joinpath("statements.json").read_bytes())
    return jsonschema_rs.validator_for({"$defs": shapes["$defs"], "$ref": f"#/$defs/{kind}"})
