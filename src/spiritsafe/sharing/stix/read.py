"""From objects of the forum back to what this house works with. Nothing here acts: a receiver's own policy comes after.

Objects that other tools made are read as far as standard STIX goes; every property that we do not know stays in the object as
it came. They are kept and shown, never signed or sent on as ours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import SharingError
from spiritsafe.model import Indicator
from spiritsafe.sharing.stix import patterns
from spiritsafe.sharing.stix.ids import DISTILLATION
from spiritsafe.sharing.stix.terms import micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(slots=True)
class Received:
    """What objects say, by kind. ``indicators``: those that a gateway can match. ``unusable``: (id, why) of the others.

    ``authors`` by STIX id. ``foreign``: objects without this project's facts, whole. ``gone``: ids that their author revoked.
    """

    indicators: list[Indicator] = field(default_factory=list[Indicator])
    campaigns: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, "Mapping[str, Any]"])
    sightings: list[Mapping[str, Any]] = field(default_factory=list["Mapping[str, Any]"])
    opinions: list[Mapping[str, Any]] = field(default_factory=list["Mapping[str, Any]"])
    other: list[Mapping[str, Any]] = field(default_factory=list["Mapping[str, Any]"])
    foreign: list[Mapping[str, Any]] = field(default_factory=list["Mapping[str, Any]"])
    unusable: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    networks: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """Numbers of autonomous systems by indicator: context for a person, nothing that is matched."""
    authors: dict[str, str] = field(default_factory=dict[str, str])
    gone: set[str] = field(default_factory=set[str])


def from_stix(objects: Iterable[Mapping[str, Any]], *, fingerprint_version: int) -> Received:
    """Sort objects into what can be matched, judged or only kept. The newest version of an id counts.

    ``fingerprint_version``: of this installation; fingerprints of another do not compare and are ``unusable``.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    for stix in objects:
        before = newest.get(stix["id"])
        if before is None or _version(stix) > _version(before):
            newest[stix["id"]] = stix
    found = Received()
    for key, stix in newest.items():
        if "created_by_ref" in stix:
            found.authors[key] = stix["created_by_ref"]
        if stix.get("revoked") is True:
            found.gone.add(key)
        elif facts(stix) is None:
            found.foreign.append(stix)
        elif stix["type"] == "indicator":
            _indicator(found, stix, fingerprint_version)
        elif stix["type"] == "campaign":
            found.campaigns[key] = stix
        else:
            {"sighting": found.sightings, "opinion": found.opinions}.get(stix["type"], found.other).append(
                stix
            )
    return found


def facts(stix: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The extension of this project in an object, if it has one."""
    extensions = stix.get("extensions")
    told = extensions.get(DISTILLATION) if isinstance(extensions, dict) else None
    return told if isinstance(told, dict) else None


def _indicator(found: Received, stix: Mapping[str, Any], version: int) -> None:
    key, told = stix["id"], stix["extensions"][DISTILLATION]
    kind = told["kind"]
    try:
        listed = patterns.read(kind, stix["pattern"], stix["pattern_version"])
    except SharingError as error:
        found.unusable.append((key, error.message))
        return
    if kind == "asn":
        found.networks[key] = tuple(map(int, listed.values))
        return
    if kind == "address":
        values = tuple(sorted(hashlib.sha256(one.encode()).hexdigest() for one in listed.values))
    elif listed.version != str(version):
        found.unusable.append((key, f"fingerprints of version {listed.version}, not {version}"))
        return
    else:
        values = listed.values
    found.indicators.append(
        Indicator(
            indicator_id=key,
            campaign_id=told["campaign_ref"],
            kind="network" if kind == "address" else kind,
            values=values,
            least=listed.least,
            valid_from=micros(stix["valid_from"]),
            valid_until=micros(stix["valid_until"]),
        )
    )


def _version(stix: Mapping[str, Any]) -> int:
    return micros(stix.get("modified", stix.get("created", "1970-01-01T00:00:00Z")))
