"""Signed statements between members: closed shapes (``statements.json``), canonical bytes, one signature (DSSE).

The kind is part of the signed type, so a statement of one kind never passes as another. A statement's id is the SHA-256
of its canonical payload; the signature is not part of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import jsonschema_rs

from spiritsafe.attest import dsse
from spiritsafe.attest.canonical import jcs, read
from spiritsafe.errors import AttestError, SharingError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from spiritsafe.sharing.matching.roster import Roster

LARGEST = 64 * 2**20
"""Bytes of one statement; each route of the hub sets a smaller limit."""


class Statement(NamedTuple):
    """What ``by`` signed: ``body`` in its closed shape, ``id`` and the ``envelope`` as evidence."""

    kind: str
    by: str
    body: dict[str, Any]
    id: str
    envelope: dict[str, Any]


def media_type(kind: str) -> str:
    """The DSSE payload type of a kind."""
    return f"application/vnd.spiritsafe.match.{kind}+json"


def sign(kind: str, body: dict[str, Any], key: Ed25519PrivateKey) -> Statement:
    """Sign ``body``. Raises SharingError when it has not the closed shape of its kind."""
    payload = _payload(kind, body)
    return Statement(kind, body["by"], body, _hash(payload), dsse.sign(payload, media_type(kind), key))


def opened(kind: str, envelope: object, roster: Roster) -> Statement:
    """The statement in ``envelope``, signed by the member of ``roster`` that it says it is by.

    Raises SharingError (without the content) for a wrong kind, shape, member or signature.
    """
    try:
        payload, signers = dsse.verified(envelope, roster.keys, media_type(kind))
        body = read(payload) if len(payload) <= LARGEST else None
        same = body is not None and jcs(body) == payload
    except AttestError as error:
        raise SharingError(f"a {kind} is malformed: {error.message}") from None
    if not same or not isinstance(body, dict):
        raise SharingError(f"a {kind} is not in canonical form")
    checked(kind, body)
    fields = cast("dict[str, Any]", body)
    member = roster.member(fields["by"])
    if all(roster.owners[name] != member.id for name in signers):
        raise SharingError(f"a {kind} is not signed by the member that it names", where=member.id)
    return Statement(kind, member.id, fields, _hash(payload), cast("dict[str, Any]", envelope))


def body_id(kind: str, body: dict[str, Any]) -> str:
    """The id of a body of a kind, signed or not. Raises SharingError when it has not its shape."""
    return _hash(_payload(kind, body))


def checked(kind: str, body: object) -> None:
    """Raise SharingError, naming the field, when ``body`` has not the closed shape of ``kind``."""
    error = next(_validator(kind).iter_errors(body), None)
    if error is not None:
        where = "/".join(str(part) for part in error.instance_path)[:100]
        raise SharingError(f"a {kind} has not its shape", where=where or None)


def b64(data: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(data).decode()


def raw(text: str) -> bytes:
    """The bytes of base64 text, in its only form. Raises SharingError."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if b64(data) != text:
        raise SharingError("this is not base64")
    return data


def _payload(kind: str, body: dict[str, Any]) -> bytes:
    checked(kind, body)
    return jcs(body)


def _hash(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


@cache
def _validator(kind: str) -> Any:
    shapes = json.loads(
        resources.files("spiritsafe.sharing.matching").joinpath("statements.json").read_bytes()
    )
    return jsonschema_rs.validator_for({"$defs": shapes["$defs"], "$ref": f"#/$defs/{kind}"})
