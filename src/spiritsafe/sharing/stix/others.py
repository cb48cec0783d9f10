"""Other tools' STIX, out and in: a bundle that MISP or OpenCTI can take, and what their objects say in standard words.

What goes out this way stays in the house of its receiver: no marking is changed by a file. What comes in keeps every property
that we do not know, and is never signed or shared as ours.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spiritsafe.attest.canonical import jcs
from spiritsafe.sharing.stix import definitions, patterns
from spiritsafe.sharing.stix.atlas import snapshot
from spiritsafe.sharing.stix.ids import NAMESPACE
from spiritsafe.sharing.stix.markings import PAP, PAP_BY_ID, TLP, TLP_BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ATLAS_URL: Final = "https://atlas.mitre.org/"
_REFS: Final = ("source_ref", "target_ref", "sighting_of_ref")


@dataclass(frozen=True, slots=True)
class Told:
    """What an object of another tool says: ATLAS ids of the snapshot, colours of TLP 2.0 and PAP; "" where it says none."""

    atlas: tuple[str, ...]
    tlp: str
    pap: str


def bundle(objects: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A STIX bundle for other tools, with the markings and definitions it uses.

    Indicators whose pattern type is ours stay out, with what refers to them alone: MISP's converter takes any pattern type
    that it does not know for STIX's own, marks it for detection, and breaks at the next export.
    """
    kept: dict[str, Mapping[str, Any]] = {}
    dropped: set[str] = set()
    listed = list(objects)
    for stix in listed:
        if stix["type"] == "indicator" and stix.get("pattern_type") in (patterns.TEMPLATE, patterns.SKELETON):
            dropped.add(stix["id"])
    for stix in listed:
        if stix["id"] in dropped or any(stix.get(field) in dropped for field in _REFS):
            continue
        named = stix.get("object_refs")
        if named is not None:
            left = [one for one in named if one not in dropped]
            if not left:
                continue
            kept[stix["id"]] = {**stix, "object_refs": left}
        else:
            kept[stix["id"]] = stix
    known = definitions.by_id()
    used = {
        one
        for stix in kept.values()
        for one in (*stix.get("object_marking_refs", ()), *stix.get("extensions", ()))
    }
    used |= {known[one]["created_by_ref"] for one in used if "created_by_ref" in known.get(one, ())}
    body = [*(known[one] for one in sorted(used) if one in known), *kept.values()]
    return {"type": "bundle", "id": f"bundle--{uuid.uuid5(NAMESPACE, jcs(body).decode())}", "objects": body}


def told(stix: Mapping[str, Any]) -> Told:
    """What an object says in standard words, whoever made it. Unknown properties are passed over, never an error."""
    known = snapshot().names
    found: set[str] = set()
    references, labels, markings = (
        _list(stix.get(key)) for key in ("external_references", "labels", "object_marking_refs")
    )
    for one in references:
        if isinstance(one, dict):
            url = str(one.get("url", ""))
            named = {
                str(one.get("external_id", "")),
                url.rpartition("/")[2] if url.startswith(_ATLAS_URL) else "",
            }
            found |= named & known.keys()
    lowered = [one.lower() for one in labels if isinstance(one, str)]
    return Told(
        atlas=tuple(one for one in known if one in found or f'mitre-atlas:id="{one.lower()}"' in lowered),
        tlp=_strictest(
            TLP,
            [*(TLP_BY_ID.get(one, "") for one in markings if isinstance(one, str)), *_tagged(lowered, "tlp")],
        ),
        pap=_strictest(
            PAP,
            [*(PAP_BY_ID.get(one, "") for one in markings if isinstance(one, str)), *_tagged(lowered, "pap")],
        ),
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _tagged(labels: list[str], family: str) -> list[str]:
    return [one.removeprefix(f"{family}:") for one in labels if one.startswith(f"{family}:")]


def _strictest(colours: Mapping[str, str], named: list[str]) -> str:
    """Where an object has several, the strictest holds."""
    return next((one for one in reversed([*colours]) if one in named), "")
