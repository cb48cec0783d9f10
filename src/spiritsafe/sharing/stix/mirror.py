"""The key facts said twice: name, description, labels and references that follow from an object's extension.

Tools that drop extensions (MISP, OpenCTI) keep these. As they are a function of the facts, the gate makes them anew and
refuses anything else: no free text can hide in them. Texts that a person wrote stand beside a release (`scope`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spiritsafe.sharing.stix import atlas
from spiritsafe.sharing.stix.ids import DISTILLATION
from spiritsafe.sharing.stix.markings import PAP_BY_ID, TLP_BY_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS = {
    "template": "requests with the campaign's fixed text",
    "skeleton": "requests worded exactly as the campaign's",
    "address": "requests from addresses of the campaign",
    "asn": "networks that the campaign comes through: context, never enough alone",
}
_OUTCOMES = {
    "seen": "Seen here, too",
    "false-positive": "False positive here",
    "expired": "No longer seen here",
}
_UNITS = ("accounts", "exchanges", "input_tokens", "output_tokens")
_NAMED = {
    "campaign": "distillation-campaign",
    "indicator": "distillation-indicator",
    "infrastructure": "distillation-infrastructure",
    "course-of-action": "distillation-measure",
    "grouping": "distillation-case",
}


def name(stix: Mapping[str, Any]) -> str | None:
    """The name that an object of this type must have; None for types whose name is not ours to say."""
    prefix = _NAMED.get(stix["type"])
    return None if prefix is None else f"{prefix}-{stix['id'].partition('--')[2][:8]}"


def labels(stix: Mapping[str, Any]) -> list[str]:
    """The facts as machine tags (``namespace:predicate="value"``), in the order in which they must stand."""
    facts = stix["extensions"][DISTILLATION]
    tlp, pap = stix["object_marking_refs"]
    found = [
        "distillation",
        f"tlp:{TLP_BY_ID[tlp]}",
        f"PAP:{PAP_BY_ID[pap].upper()}",
        f'distillation:subject="{facts["subject"]}"',
        f'distillation:purpose="{facts["purpose"]}"',
        f'distillation:legal-basis="{facts["legal_basis"]}"',
        f'distillation:valid-until="{facts["valid_until"]}"',
    ]
    said = ("kind", "outcome", "response", "address_class")
    found += [f'distillation:{key.replace("_", "-")}="{facts[key]}"' for key in said if key in facts]
    found += [f'mitre-atlas:id="{one}"' for one in facts.get("atlas", ())]
    found += [f'distillation:role="{one}"' for one in facts.get("roles", ())]
    volume = facts.get("volume", {})
    found += [
        f'distillation:{unit.replace("_", "-")}="1e{volume[unit]}"' for unit in _UNITS if unit in volume
    ]
    if "evidence" in facts:
        found.append(f'distillation:coordination-bits="{facts["evidence"]["coordination_bits"]}"')
    redress = facts.get("redress", {})
    found += [
        f'distillation:{key}="{redress[key]}"' for key in ("step", "ground", "decision") if key in redress
    ]
    if "revocation" in facts:
        found.append(f'distillation:revoked="{facts["revocation"]["reason"]}"')
    return found


def references(stix: Mapping[str, Any]) -> list[dict[str, str]] | None:
    """The external references: the ATLAS ids of the extension. None where there are none."""
    listed = stix["extensions"][DISTILLATION].get("atlas")
    if not listed:
        return None
    return [{"source_name": "mitre-atlas", "external_id": one, "url": atlas.url(one)} for one in listed]


def description(stix: Mapping[str, Any]) -> str | None:
    """The description that follows from the facts; None for types that have none. A person may release another."""
    facts = stix["extensions"][DISTILLATION]
    kind = stix["type"]
    if kind == "campaign":
        what = (
            ", ".join(one.replace("_", " ") for one in facts.get("roles", ()))
            or "work of a kind that no role names"
        )
        layers = facts.get("layers")
        carried = f" Each alone carries the decision: {', '.join(layers)}." if layers else ""
        return (
            f"Accounts that look unrelated act under one hand to harvest a model: {what}. {_size(facts)}{carried}"
            " This describes a network of accounts and says nothing of who stands behind it."
        )
    if kind == "indicator":
        return f"Matches {_KINDS[facts['kind']]}. A match is a lead for an investigation, never proof.{_size(facts, ' ')}"
    if kind == "infrastructure":
        return f"Proxies and relays through which a campaign's accounts come. {_size(facts)}".rstrip()
    if kind == "sighting":
        return f"{_OUTCOMES[facts['outcome']]}.{_size(facts, ' ')}"
    if kind == "course-of-action":
        return f"What the author did against it: {facts['response'].replace('_', ' ')}. Nobody else has a duty to act."
    return None


def _size(facts: Mapping[str, Any], lead: str = "") -> str:
    volume = facts.get("volume", {})
    told = [f"10^{volume[unit]} {unit.replace('_', ' ')}" for unit in _UNITS if unit in volume]
    return f"{lead}Order of magnitude: {', '.join(told)}." if told else ""
