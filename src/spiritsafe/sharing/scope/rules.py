"""The rules beside the schemas: dates, markings, patterns, releases, and the mirror of the facts.

A text is either made from the facts, and then it is made anew here and compared, or a person released it word for word.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.errors import SharingError
from spiritsafe.sharing.scope.hints import refuse
from spiritsafe.sharing.scope.text import unfit
from spiritsafe.sharing.stix import mirror, patterns
from spiritsafe.sharing.stix.ids import DISTILLATION
from spiritsafe.sharing.stix.markings import AMBER_STRICT, STRICTNESS

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST: Final = timedelta(days=400)
"""Longest validity, from the last change: what nobody renews ends."""
_FREE = {
    "campaign": "description",
    "infrastructure": "description",
    "course-of-action": "description",
    "indicator": "description",
    "note": "content",
    "opinion": "explanation",
}
_CLEAR_KINDS = ("template", "skeleton", "address")
_ENDS = {
    "indicates": ("indicator", ("campaign", "infrastructure")),
    "uses": ("campaign", ("infrastructure",)),
    "mitigates": ("course-of-action", ("indicator",)),
}


def fits(number: int, stix: Mapping[str, Any]) -> None:
    """Whether an object that fits its schema keeps the rules, too. Raises ScopeError; ``number``: its place in the message."""
    facts = stix["extensions"][DISTILLATION]
    kind = stix["type"]
    _dates(number, stix, facts)
    if bool(stix.get("revoked")) != ("revocation" in facts):
        refuse(number, "revoked", "revoked without a reason, or a reason without it", "set both")
    if facts["subject"] == "extracting-entity" and kind not in ("note", "opinion"):
        refuse(
            number, _fact("subject"), "only a person names an extracting entity", "in a note or an opinion"
        )
    if (facts["subject"] == "member") != (kind == "identity"):
        refuse(
            number,
            _fact("subject"),
            "members are identities, and only they are",
            "fraudulent-account-network",
        )
    of_type = _OF_TYPE.get(kind)
    if of_type is not None:
        of_type(number, stix, facts)
    _released(number, stix, facts)
    for field, made in (
        ("name", mirror.name), ("labels", mirror.labels), ("external_references", mirror.references),
    ):  # fmt: skip
        wanted = made(stix)
        if wanted != stix.get(field) and not (field == "name" and wanted is None):
            refuse(
                number,
                field,
                "not what follows from the extension",
                "leave it to the software that makes the object",
            )


def _dates(number: int, stix: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    created, modified = _time(number, stix, "created"), _time(number, stix, "modified")
    until = _time(number, facts, "valid_until", _fact("valid_until"))
    if modified < created:
        refuse(number, "modified", "changed before it was made", "modified is not before created")
    if not (modified < until or "revocation" in facts) or until > modified + LONGEST:
        refuse(
            number,
            _fact("valid_until"),
            "ends before it begins or too late",
            f"at most {LONGEST.days} days later",
        )
    if "first_seen" in stix and "last_seen" in stix:
        first, last = _time(number, stix, "first_seen"), _time(number, stix, "last_seen")
        if last < first:
            refuse(number, "last_seen", "ends before it begins", "first_seen is not after last_seen")
    for place, item in enumerate(facts.get("release", ())):
        _time(number, item, "day", _fact(f"release[{place}].day"))
    if "redress" in facts and "due" in facts["redress"]:
        _time(number, facts["redress"], "due", _fact("redress.due"))


def _indicator(number: int, stix: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    kind = facts["kind"]
    if stix["pattern_type"] != patterns.TYPES[kind]:
        refuse(number, "pattern_type", f"not the pattern type of {kind}", patterns.TYPES[kind])
    try:
        patterns.read(kind, stix["pattern"], stix["pattern_version"])
    except SharingError as error:
        refuse(number, "pattern", error.message, error.hint or "see docs/sharing/objects.md")
    begin, end = _time(number, stix, "valid_from"), _time(number, stix, "valid_until")
    if stix["valid_until"] != facts["valid_until"] or end <= begin:
        refuse(number, "valid_until", "not the extension's, or not after valid_from", "both end at one time")
    if kind in _CLEAR_KINDS and not facts.get("exclusive"):
        refuse(
            number,
            _fact("exclusive"),
            f"a {kind} that others have, too, or that was not looked at",
            "must be true",
        )
    if (kind == "address") != ("address_class" in facts):
        refuse(
            number,
            _fact("address_class"),
            "an address has a class, and only addresses do",
            "hosting or proxy-service",
        )
    if STRICTNESS[stix["object_marking_refs"][0]] < AMBER_STRICT and kind != "asn":
        refuse(number, "object_marking_refs[0]", f"too open for a {kind}", "TLP:AMBER+STRICT or TLP:RED")


def _relationship(number: int, stix: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    source, targets = _ENDS[stix["relationship_type"]]
    if _of(stix["source_ref"]) != source or _of(stix["target_ref"]) not in targets:
        refuse(
            number,
            "target_ref",
            f"{stix['relationship_type']} does not join these",
            f"{source} to {' or '.join(targets)}",
        )


def _identity(number: int, stix: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    if stix["id"] != stix["created_by_ref"]:
        refuse(number, "created_by_ref", "a member's identity is its own", "created_by_ref is the id")


def _sighting(number: int, stix: Mapping[str, Any], _: Mapping[str, Any]) -> None:
    if stix["where_sighted_refs"] != [stix["created_by_ref"]]:
        refuse(number, "where_sighted_refs", "a member says what it saw itself", "the author's identity")
    if stix["description"] != mirror.description(stix):
        refuse(
            number, "description", "not what follows from the extension", "a sighting has no text of its own"
        )


def _released(number: int, stix: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Every text is made from the facts or was released by a person, word for word; so are patterns with values in clear."""
    given = {one["field"]: one["sha256"] for one in facts.get("release", ())}
    needed: set[str] = set()
    field = _FREE.get(stix["type"])
    text = stix.get(field) if field else None
    if field and text is not None and text != mirror.description(stix):
        needed.add(field)
        found = unfit(text)
        if found:
            refuse(number, field, f"there is {found} in it", "such things do not leave, released or not")
    if facts.get("kind") in _CLEAR_KINDS:
        needed.add("pattern")
    if given.keys() != needed:
        missing = sorted(needed - given.keys())
        at = missing[0] if missing else _fact("release")
        refuse(
            number,
            at,
            "not released by a person" if missing else "a release of what needs none",
            "see `share preview`",
        )
    for name, digest in given.items():
        if hashlib.sha256(stix[name].encode()).hexdigest() != digest:
            refuse(number, name, "not the text that was released", "release it again as it stands")


def _time(number: int, table: Mapping[str, Any], key: str, path: str | None = None) -> datetime:
    try:
        return datetime.fromisoformat(table[key])
    except ValueError:
        refuse(number, path or key, "no day of the calendar", "2026-09-30T00:00:00Z")


def _of(reference: str) -> str:
    return reference.partition("--")[0]


def _fact(name: str) -> str:
    return f"extensions.{DISTILLATION}.{name}"


_OF_TYPE = {
    "indicator": _indicator,
    "relationship": _relationship,
    "identity": _identity,
    "sighting": _sighting,
}
