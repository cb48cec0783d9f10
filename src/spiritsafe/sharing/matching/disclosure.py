"""The second round: what members tell each other about candidates that enough of them have already.

One sealed message for each counterpart, not one for each tag: the hub sees its padded size. In it, for each candidate
that shares a disclosed tag with *this* counterpart, a random reference, bucketed facts from a closed list, and the tags
by which both know it. Nothing is said of tags that the counterpart does not have, or that fewer than k members have.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

from spiritsafe.attest.canonical import read
from spiritsafe.errors import AttestError, ScopeError, SharingError
from spiritsafe.sharing.matching import sealed
from spiritsafe.sharing.matching.statements import Statement, b64, checked, opened, raw, sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from spiritsafe.sharing.matching.roster import Roster
    from spiritsafe.sharing.matching.tags import Place

SMALLEST = 4_096
LARGEST = 16 * 2**20
_LENGTH = 4


def reference(secret: bytes, candidate: str) -> str:
    """The name of a candidate towards others in this epoch: random to who has not ``secret``."""
    return hmac.digest(secret, b"spiritsafe match candidate\0" + candidate.encode(), "sha256").hex()[:32]


def facts(found: object, where: str) -> dict[str, Any]:
    """Facts of a candidate that may be disclosed. Raises ScopeError that names the field which may not."""
    try:
        checked("facts", found)
    except SharingError as error:
        raise ScopeError(
            "this may not be disclosed",
            where=f"{where}{'/' + error.where if error.where else ''}",
            hint="facts: exchanges and accounts (log10), first_seen and last_seen (YYYY-MM), contact, commitment",
        ) from None
    return dict(found) if isinstance(found, dict) else {}


def write(
    place: Place,
    member: str,
    key: Ed25519PrivateKey,
    to: str,
    shared: Mapping[str, Iterable[bytes]],
    known: Mapping[str, Mapping[str, Any]],
    secret: bytes,
) -> bytes:
    """The message to one counterpart, not sealed yet: ``shared`` gives the disclosed tags by own candidate.

    ``known``: facts by candidate. Raises ScopeError.
    """
    body = {
        "by": member,
        "to": to,
        "epoch": place.epoch,
        "purpose": place.purpose,
        "candidates": [
            {
                "reference": reference(secret, candidate),
                "tags": sorted(b64(tag) for tag in tags),
                "facts": facts(dict(known.get(candidate, {})), candidate),
            }
            for candidate, tags in sorted(shared.items(), key=lambda item: reference(secret, item[0]))
        ],
    }
    return json.dumps(sign("disclosure", body, key).envelope).encode()


def seal(
    message: bytes,
    place: Place,
    member: str,
    key: Ed25519PrivateKey,
    to: str,
    to_key: bytes,
    about: str,
    *,
    now: int,
) -> tuple[Statement, bytes]:
    """Pad and seal a message to a counterpart's key of the epoch; the signed cover for the hub, and the box."""
    size = sealed.padme(len(message) + _LENGTH, SMALLEST)
    padded = (len(message).to_bytes(_LENGTH, "big") + message).ljust(size, b"\0")
    box = sealed.seal(padded, to_key, _bound(place, member, to, about))
    body = {
        "by": member,
        "to": to,
        "epoch": place.epoch,
        "purpose": place.purpose,
        "about": about,
        "sealed": sealed_digest(box),
        "made": now,
    }
    return sign("message", body, key), box


def unseal(
    cover: object, box: bytes, place: Place, member: str, key: X25519PrivateKey, about: str, roster: Roster
) -> tuple[Statement, bytes]:
    """The signed cover and the message in a box that was meant for ``member``. Raises SharingError."""
    statement = opened("message", cover, roster)
    body = statement.body
    if (body["epoch"], body["purpose"]) != place or body["to"] != member or body["about"] != about:
        raise SharingError("the message is meant for another, or for another epoch", where=statement.by)
    if body["sealed"] != sealed_digest(box) or len(box) > LARGEST:
        raise SharingError("the message is not what its author signed", where=statement.by)
    padded = sealed.unseal(box, key, _bound(place, statement.by, member, about))
    length = int.from_bytes(padded[:_LENGTH], "big")
    if length > len(padded) - _LENGTH:
        raise SharingError("the message is malformed", where=statement.by)
    return statement, padded[_LENGTH : _LENGTH + length]


def read_disclosure(
    message: bytes, place: Place, sender: str, member: str, own: Mapping[bytes, set[str]], roster: Roster
) -> list[dict[str, Any]]:
    """The candidates that ``sender`` tells of, with the tags that both were shown to have. Raises SharingError.

    ``own``: the shared tags and who else holds them; a tag that is not among them for this sender is refused.
    """
    try:
        envelope = read(message)
    except AttestError as error:
        raise SharingError("the message is malformed", where=sender) from error
    statement = opened("disclosure", envelope, roster)
    body = statement.body
    if statement.by != sender or body["to"] != member or (body["epoch"], body["purpose"]) != place:
        raise SharingError("the disclosure is another's, or meant for another", where=sender)
    told: list[dict[str, Any]] = []
    for entry in body["candidates"]:
        tags = [raw(one) for one in entry["tags"]]
        if any(sender not in own.get(tag, ()) for tag in tags):
            raise SharingError("the disclosure names a tag that is not shared with its author", where=sender)
        told.append({"reference": entry["reference"], "tags": tags, "facts": entry["facts"]})
    return told


def sealed_digest(box: bytes) -> str:
    """How a box is named in its cover."""
    return hashlib.sha256(box).hexdigest()


def _bound(place: Place, sender: str, to: str, about: str) -> dict[str, str]:
    return {"epoch": place.epoch, "purpose": place.purpose, "from": sender, "to": to, "about": about}
