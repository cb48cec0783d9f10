"""What a member says of the hub's log: the newest head that it has checked, signed with its own key.

Members leave these words with the hub for each other (gossip of heads; RFC 9162, section 8.3, C2SP tlog-witness). The hub cannot
make one, so a hub that shows two logs must withhold the words of one half from the other, for good: that is seen as silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from spiritsafe.attest import dsse
from spiritsafe.attest.canonical import jcs, read
from spiritsafe.errors import AttestError, SharingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KIND: Final = "application/vnd.spiritsafe.seen+json"
LONGEST: Final = 4_096
"""Characters of a head."""
_FIELDS: Final = {"audience", "head", "time"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A signed head's text, and when its member had checked it, in microseconds since the epoch."""

    head: str
    time: int


def statement(head: str, key: Ed25519PrivateKey, *, audience: str, now: int) -> dict[str, Any]:
    """The envelope in which the holder of ``key`` says that the log ``audience`` showed it ``head``."""
    return dsse.sign(jcs({"audience": audience, "head": head, "time": now}), KIND, key)


def opened(envelope: object, known: Mapping[str, Ed25519PublicKey], *, audience: str) -> Seen:
    """What one of the keys ``known`` signed. Raises SharingError; the head in it is still to be verified."""
    try:
        found = read(dsse.verify(envelope, known, KIND), depth=2)
    except AttestError as error:
        raise SharingError(error.message) from error
    if not isinstance(found, dict):
        raise SharingError("this is no word about a log")
    fields = cast("dict[str, Any]", found)
    head, time = fields.get("head"), fields.get("time")
    if (
        fields.keys() != _FIELDS
        or fields["audience"] != audience
        or not isinstance(head, str)
        or len(head) > LONGEST
        or type(time) is not int
        or time < 0
    ):
        raise SharingError("this is no word about this log")
    return Seen(head, time)
