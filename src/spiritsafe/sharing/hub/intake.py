"""Objects on their way in: bytes of a request to rows of the shelf, without a look at the database.

Each object is checked on its own, so that one that is wrong does not take the others with it. What is stored, logged and
served is the canonical form, whatever layout came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from spiritsafe.attest import merkle
from spiritsafe.attest.canonical import jcs, read
from spiritsafe.errors import AttestError, ScopeError, SharingError
from spiritsafe.sharing.hub import ed25519
from spiritsafe.sharing.hub.moments import micros
from spiritsafe.sharing.signed import verify_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Gate = Callable[[Sequence[Mapping[str, Any]]], None]

DEPTH: Final = 32
SPECS: Final = ("2.0", "2.1")
#: Levels of TLP 2.0 by the ids of its markings; those of TLP 1 that mean the same beside them.
LEVELS: Final = {
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": 0,
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": 0,
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": 1,
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": 1,
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": 2,
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": 2,
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": 3,
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": 4,
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": 4,
}
CLEAR, GREEN, AMBER, STRICT, RED = range(5)
_ID = re.compile(r"([a-z][a-z0-9-]{2,249})--[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ENVELOPE: Final = {"more", "next", "objects"}


class Unprocessable(SharingError):  # noqa: N818 - reads as the fact it states
    """The request as a whole makes no sense; nothing of it was taken."""


@dataclass(slots=True)
class Item:
    """One object that may go on the shelf. ``version``, ``expires`` in microseconds; a version of 0: the time of adding."""

    id: str
    type: str
    spec: str
    version: int
    stamp: str
    level: int
    expires: int | None
    body: bytes
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """One object that may not, and why: words for its author."""

    id: str
    stamp: str
    message: str


@dataclass(frozen=True, slots=True)
class Author:
    """Whose objects a signed collection takes: the identity and its signing keys by key id."""

    identity: str
    keys: Mapping[str, Ed25519PublicKey]


def opened(body: bytes, most: int) -> list[dict[str, Any]]:
    """The objects in an envelope of at most ``most``. Raises Unprocessable when it is none."""
    try:
        found = read(body, depth=DEPTH + 2)
    except AttestError as error:
        raise Unprocessable(error.message) from error
    if not isinstance(found, dict) or not found.keys() <= _ENVELOPE or "objects" not in found:
        raise Unprocessable('an envelope is {"objects": […]}')
    objects = found["objects"]
    if not isinstance(objects, list) or not 0 < len(objects) <= most:
        raise Unprocessable(f"an envelope has 1 to {most} objects")
    for one in cast("list[Any]", objects):
        # Without an id a status could not say which object was refused.
        if not isinstance(one, dict) or not isinstance(one.get("id"), str) or not _ID.fullmatch(one["id"]):
            raise Unprocessable("an object has an id: its type, -- and a UUID in lower case")
    return cast("list[dict[str, Any]]", objects)


def checked(
    objects: Sequence[dict[str, Any]], *, author: Author | None, gate: Gate | None, longest: int, now: int
) -> list[Item | Refused]:
    """Each object as an item or a refusal, in the same order.

    With ``author`` each must be his and carry his signature, and pass ``gate``. ``longest`` bytes an object may have.
    """
    found = [_one(stix, author, longest, now) for stix in objects]
    if gate is not None:
        good = [at for at, one in enumerate(found) if isinstance(one, Item)]
        for at, error in _gated([objects[at] for at in good], good, gate):
            one = cast("Item", found[at])
            found[at] = Refused(one.id, one.stamp, error)
    return found


def _gated(objects: Sequence[Mapping[str, Any]], places: Sequence[int], gate: Gate) -> list[tuple[int, str]]:
    """Which objects the gate refuses, and why. It is asked once for all, and for each only if it refused."""
    try:
        gate(objects)
    except ScopeError:
        pass
    else:
        return []
    refused: list[tuple[int, str]] = []
    for place, stix in zip(places, objects, strict=True):
        try:
            gate([stix])
        except ScopeError as error:
            refused.append((place, f"{error.where or 'object'}: {error.message}"))
    return refused


def _one(stix: dict[str, Any], author: Author | None, longest: int, now: int) -> Item | Refused:
    stamp = ""
    try:
        found = _shaped(stix)
        stamp = found.stamp
        if author is not None:
            _signed(stix, found, author, now)
        found.body = jcs(stix, depth=DEPTH)
    except (SharingError, AttestError) as error:
        return Refused(stix["id"], stamp, error.message)
    if len(found.body) > longest:
        return Refused(stix["id"], stamp, f"an object has at most {longest} bytes")
    found.leaf = merkle.leaf_hash(found.body)
    return found


def _shaped(stix: dict[str, Any]) -> Item:
    kind = stix.get("type")
    if not isinstance(kind, str) or kind != stix["id"].partition("--")[0] or kind == "bundle":
        raise SharingError("the type is not that of the id")
    times = {name: micros(stix[name]) for name in ("created", "modified") if name in stix}
    if None in times.values():
        raise SharingError("created and modified are times as 2026-09-30T12:00:00.000Z")
    # Objects of STIX 2.0 do not say so, but have times; those of 2.1 without times, as addresses, need not say either.
    spec = stix.get("spec_version", "2.0" if times else "2.1")
    if spec not in SPECS:
        raise SharingError("the version of STIX is 2.0 or 2.1")
    stamp = stix.get("modified", stix.get("created", ""))
    version = times.get("modified", times.get("created")) or 0
    return Item(stix["id"], kind, spec, version, stamp, level(stix), expiry(stix), b"", b"")


def _signed(stix: dict[str, Any], item: Item, author: Author, now: int) -> None:
    if stix.get("spec_version") != "2.1" or not item.version:
        raise SharingError("here objects are of STIX 2.1, with created and modified")
    own = stix["id"] if item.type == "identity" else stix.get("created_by_ref")
    if own != author.identity:
        raise SharingError("a member adds only what it created itself: created_by_ref is its own identity")
    if "object_marking_refs" not in stix:
        item.level = STRICT
    if item.expires is not None and item.expires <= now:
        raise SharingError("the object has expired already")
    verify_object(stix, author.keys, fits=ed25519.fits)


def level(stix: Mapping[str, Any]) -> int:
    """The strictest TLP level among the markings; clear without any."""
    refs = stix.get("object_marking_refs")
    if not isinstance(refs, list):
        return CLEAR
    return max((LEVELS.get(ref, CLEAR) for ref in refs if isinstance(ref, str)), default=CLEAR)


def expiry(stix: Mapping[str, Any]) -> int | None:
    """The earliest ``valid_until``, of the object or of one of its property extensions; None when it has none."""
    extensions = stix.get("extensions")
    parts = [stix, *(extensions.values() if isinstance(extensions, dict) else ())]
    times = [micros(part.get("valid_until")) for part in parts if isinstance(part, dict)]
    return min((time for time in times if time is not None), default=None)
