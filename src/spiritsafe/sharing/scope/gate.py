"""What an object must be to pass: a closed schema, then what a schema cannot say.

The order is by cost: the compiled schema (a few microseconds) refuses nearly all that is wrong; then come the rules beside it.
Beyond an object's type nothing of it is read before its schema has accepted it, so the rules may rely on types and lengths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, cast

from spiritsafe.attest.canonical import jcs
from spiritsafe.attest.canonical import read as parse
from spiritsafe.errors import AttestError, ScopeError
from spiritsafe.sharing.scope import hints, rules
from spiritsafe.sharing.scope.hints import refuse
from spiritsafe.sharing.scope.schemas import validators
from spiritsafe.sharing.signed import EXTENSION as SIGNATURE
from spiritsafe.sharing.stix import definitions
from spiritsafe.sharing.stix.ids import DISTILLATION
from spiritsafe.sharing.stix.markings import AMBER_STRICT, STRICTNESS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

At = Literal["sender", "hub", "receiver"]

MOST_OBJECTS: Final = 100_000
"""In one call."""
MOST_BYTES: Final = 64_000_000
"""Of one message; with ``MOST_OBJECTS`` it bounds what one call may cost."""
_DEPTH = 16
_MOST_FOREIGN = 16_384
"""Canonical bytes of other vendors' extensions in one object."""
_OWN = frozenset({DISTILLATION, SIGNATURE})


def read(data: bytes, *, at: At) -> list[dict[str, Any]]:
    """The objects in a message: a JSON array, or an object (bundle, envelope) whose ``objects`` are one. Checked.

    Raises ScopeError.
    """
    if len(data) > MOST_BYTES:
        raise ScopeError(
            "the message is too large", where="$", hint=f"at most {MOST_BYTES:,} bytes; send it in parts"
        )
    try:
        found = parse(data, depth=_DEPTH + 2)
    except AttestError as error:
        raise ScopeError(error.message, where="$", hint=error.hint) from error
    objects: object = cast("dict[str, Any]", found).get("objects") if isinstance(found, dict) else found
    if not isinstance(objects, list):
        raise ScopeError("no list of objects", where="$", hint='an array, or an object with "objects"')
    listed = cast("list[dict[str, Any]]", objects)
    check(listed, at=at)
    return listed


def check(objects: Sequence[Mapping[str, Any]], *, at: At) -> None:
    """Whether every object may pass. Raises ScopeError for the first that may not, with the field's path and a hint.

    At the sender all objects are of one author. At sender and hub nothing outside the schemas passes; at the receiver other
    vendors' extensions do, as opaque ballast of bounded size, since its author signed them: they are kept and never sent on.
    """
    if len(objects) > MOST_OBJECTS:
        raise ScopeError(f"more than {MOST_OBJECTS:,} objects", where="$", hint="send them in parts")
    compiled = validators()
    known = definitions.by_id()
    author: object = None
    for number, stix in enumerate(objects):
        if not isinstance(stix, dict):
            hints.no_type(number, stix)
        key, kind = stix.get("id"), stix.get("type")
        if isinstance(key, str) and key in known and stix == known[key]:
            continue  # an official marking or a definition of this project, to the letter
        validator = compiled.get(kind) if isinstance(kind, str) else None
        if validator is None:
            hints.no_type(number, stix)
        bare = _without_foreign(stix, number) if at == "receiver" else stix
        try:
            fits = validator.is_valid(bare)
        except Exception as error:
            raise ScopeError("this is not JSON", where=f"$[{number}]") from error
        if not fits:
            hints.no_fit(number, bare, validator)
        rules.fits(number, bare)
        if at == "sender":
            if author is not None and stix["created_by_ref"] != author:
                refuse(
                    number,
                    "created_by_ref",
                    "objects of another author",
                    "share your own; others share theirs",
                )
            author = stix["created_by_ref"]
    _together(objects)


def _without_foreign(stix: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    """The object without other vendors' extensions, whose number and size are bounded."""
    extensions = stix.get("extensions")
    if not isinstance(extensions, dict) or extensions.keys() <= _OWN:
        return stix
    mine = {key: value for key, value in extensions.items() if key in _OWN}
    foreign = {key: value for key, value in extensions.items() if key not in _OWN}
    try:
        size = len(jcs(foreign, depth=_DEPTH))
    except AttestError as error:
        raise ScopeError(error.message, where=f"$[{number}].extensions") from error
    if size > _MOST_FOREIGN or not all(hints.is_extension(key) for key in foreign):
        refuse(
            number,
            "extensions",
            "other extensions are too large or have no id",
            "an extension has a definition",
        )
    return {**stix, "extensions": mine}


def _together(objects: Sequence[Mapping[str, Any]]) -> None:
    """What objects say of each other: who refers to a stricter object must be as strict."""
    strict = {
        stix["id"]: STRICTNESS[stix["object_marking_refs"][0]]
        for stix in objects
        if "object_marking_refs" in stix and STRICTNESS[stix["object_marking_refs"][0]] > AMBER_STRICT
    }
    if not strict:
        return
    for number, stix in enumerate(objects):
        if "object_marking_refs" not in stix:
            continue
        mine = STRICTNESS[stix["object_marking_refs"][0]]
        for field in ("source_ref", "target_ref", "sighting_of_ref", "object_refs"):
            named = stix.get(field, ())
            for one in [named] if isinstance(named, str) else named:
                if strict.get(one, mine) > mine:
                    refuse(
                        number, "object_marking_refs[0]", f"more open than what {field} names", "no downgrade"
                    )
