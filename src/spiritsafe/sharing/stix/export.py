"""From a scan's results to objects of the forum, and what was withheld on the way, with the reason for each.

What may leave, by class of identifier (why: docs/sharing/scope.md):

* roles, layers, volumes as orders of magnitude, days: they describe behaviour;
* anchors and skeletons: only by a person's release, thinned, of texts that nobody outside the campaign has;
* addresses of hosting and proxies, numbers of networks: only by a person's release;
* devices, other addresses, MinHash, means of payment, accounts: never in clear; as tokens through private matching.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from spiritsafe.errors import SharingError
from spiritsafe.sharing.scope.schemas import words
from spiritsafe.sharing.stix import atlas, patterns
from spiritsafe.sharing.stix.build import Maker, renewed
from spiritsafe.sharing.stix.release import NOTHING, Release
from spiritsafe.sharing.stix.terms import bucket, micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MOST_BITS, _STEP = 100, 10
_TOKENS = "as tokens only: spiritsafe share match"


@dataclass(frozen=True, slots=True)
class Withheld:
    """Something that stays: what it is (never its value), how many, and why."""

    what: str
    many: int
    why: str
    instead: str = ""


@dataclass(slots=True)
class Export:
    """``objects`` may leave once the gate has passed them. ``local``: id here by STIX id; it stays."""

    objects: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    withheld: list[Withheld] = field(default_factory=list[Withheld])
    local: dict[str, str] = field(default_factory=dict[str, str])

    def keep(self, what: str, many: int, why: str, instead: str = "") -> None:
        """Note something withheld."""
        if many:
            self.withheld.append(Withheld(what, many, why, instead))


def to_stix(
    entry: Mapping[str, Any],
    found: Mapping[str, Any],
    maker: Maker,
    *,
    release: Release = NOTHING,
    fdr: float = 0.01,
    case: str | None = None,
    earlier: Mapping[str, Mapping[str, Any]] | None = None,
) -> Export:
    """The objects about one campaign. ``entry``: of ``campaigns.json``; ``found``: ``indicators.json``.

    ``case``: the id that a watch follows it by, which outlives a campaign's id. ``earlier``: what was shared before, by id.
    Raises SharingError when the entry accuses nobody: pools and resellers are not shared.
    """
    if entry["label"] != "campaign":
        raise SharingError(
            f"{entry['campaign_id']} is no campaign but {entry['label']}, which is no accusation",
            hint="only campaigns are shared",
        )
    out = Export()
    first, last = micros(entry["first_seen"]), micros(entry["last_seen"])
    campaign = maker.campaign(
        case or entry["campaign_id"], _facts(entry, fdr), first=first, last=last, text=release.text
    )
    out.local[campaign["id"]] = entry["campaign_id"]
    out.objects.append(campaign)
    _not_said(out, entry)
    network = next((one for one in entry["layers"] if one["layer"] == "network" and one["accounts"]), None)
    if network:
        facts = {"volume": {"accounts": bucket(network["accounts"])}}
        proxies = maker.infrastructure(campaign["id"], facts, first=first, last=last)
        out.objects += [proxies, maker.relationship("uses", campaign["id"], proxies["id"])]
    mine = [one for one in found["indicators"] if one["campaign_id"] == entry["campaign_id"]]
    version = str(found["fingerprint_version"])
    for one in mine:
        for made in _indicator(out, one, maker, campaign["id"], release, version, first):
            out.local[made["id"]] = one["indicator_id"]
            out.objects.append(made)
    if release.asns:
        values = [str(one) for one in release.asns]
        out.objects.append(maker.indicator("asn", campaign["id"], values, {"kind": "asn"}, valid_from=first))
    out.objects += [
        maker.relationship("indicates", one["id"], campaign["id"])
        for one in out.objects
        if one["type"] == "indicator"
    ]
    out.objects.append(maker.grouping(campaign["id"], [one["id"] for one in out.objects]))
    known = earlier or {}
    out.objects = [renewed(one, known.get(one["id"])) for one in out.objects]
    return out


def _facts(entry: Mapping[str, Any], fdr: float) -> dict[str, Any]:
    listed = words("atlas")
    roles, layers = entry["roles"], entry["independent_layers"]
    techniques = {"AML.T0024.002", "AML.T0040", *(one["technique"] for one in roles)}
    if any(one["layer"] == "network" and one["accounts"] for one in entry["layers"]):
        techniques.add("AML.T0008.005")
    volume = {
        "accounts": bucket(len(entry["accounts"])),
        "exchanges": bucket(entry["exchanges"]),
        "input_tokens": bucket(entry["tokens"]["input"]),
        "output_tokens": bucket(entry["tokens"]["output"]),
    }
    bits = entry["coordination"]["bits"]
    return {
        "atlas": [one for one in listed if one in techniques and one in atlas.snapshot().names],
        "roles": _known((one["role"] for one in roles), "role"),
        "layers": _known(layers, "layer"),
        "volume": {unit: value for unit, value in volume.items() if value is not None},
        "evidence": {
            "coordination_bits": max(0, min(int(bits) // _STEP * _STEP, _MOST_BITS)),
            "intent": entry["intent"]["by"],
            "fdr_log10": max(-9, min(math.ceil(math.log10(fdr)), -1)),
        },
    }


def _known(names: Iterable[str], vocabulary: str) -> list[str]:
    """In the order of the vocabulary; what it does not have (a signal of somebody's own) is "other"."""
    given, listed = set(names), words(vocabulary)
    return [one for one in listed if one in given or (one == "other" and not given <= set(listed))]


def _not_said(out: Export, entry: Mapping[str, Any]) -> None:
    out.keep("accounts", len(entry["accounts"]), "who a customer is never leaves", "their order of magnitude")
    out.keep(
        "counts of exchanges and tokens",
        3,
        "exact volumes tell a rival too much",
        "their orders of magnitude",
    )
    out.keep(
        "times of the first and the last exchange", 2, "seconds can be joined with others' logs", "their days"
    )
    out.keep("exhibits", len(entry["exhibits"]), "they show texts, loads and links of customers")
    out.keep("tests and hypotheses", len(entry["coordination"]["tests"]) + len(entry["hypotheses"]),
             "they hold exact counts", "bits in tens, the layers that carry it alone")  # fmt: skip
    for layer in entry["layers"]:
        out.keep(
            f"values of the layer {layer['layer']}", layer["values"], "identifiers of customers", _TOKENS
        )
    out.keep("the order proposed", 1, "no commands between rivals: nobody has a duty to act")


def _indicator(
    out: Export,
    one: Mapping[str, Any],
    maker: Maker,
    campaign: str,
    release: Release,
    version: str,
    first: int,
) -> list[dict[str, Any]]:
    kind, name = one["kind"], f"{one['kind']} indicator {one['indicator_id']}"
    values = one.get("values", one.get("anchors", []))
    if kind == "network":
        return _addresses(out, set(values), maker, campaign, release, name, first)
    if kind not in ("template", "skeleton"):
        out.keep(name, len(values), "small spaces are enumerable, so a hash is as good as the value", _TOKENS)
        return []
    if not (release.templates if kind == "template" else release.skeletons):
        out.keep(
            name,
            len(values),
            "to who can guess the words, they are the words: no person released them",
            _TOKENS,
        )
        return []
    if one.get("elsewhere", 1):
        out.keep(
            name, len(values), "others in the log have it, too: it may be an innocent customer's", _TOKENS
        )
        return []
    chosen = sorted(values)[: patterns.MOST[kind]]
    least = max(2, one["least"]) if kind == "template" else 1
    if kind == "template" and len(chosen) < patterns.LEAST_ANCHORS:
        out.keep(name, len(values), "so few anchors are a phrase that innocent prompts have", _TOKENS)
        return []
    out.keep(
        f"more values of {name}",
        len(values) - len(chosen),
        "matching needs no more, and each tells some words",
    )
    facts: dict[str, Any] = {"kind": kind, "exclusive": True}
    size = bucket(one.get("exchanges", 0))
    if size is not None:
        facts["volume"] = {"exchanges": size}
    return [
        maker.indicator(
            one["indicator_id"], campaign, chosen, facts, valid_from=first, least=least, version=version
        )
    ]


def _addresses(
    out: Export, held: set[str], maker: Maker, campaign: str, release: Release, name: str, first: int
) -> list[dict[str, Any]]:
    """An indicator for each class of released addresses, of those that the scan saw with the campaign alone."""
    made: list[dict[str, Any]] = []
    shared = 0
    for group in sorted({one for _, one in release.addresses}):
        wanted = [value for value, of in release.addresses if of == group]
        fits = [
            value for value in wanted if hashlib.sha256(value.encode()).hexdigest() in held and _proper(value)
        ]
        out.keep(
            f"released addresses of class {group}",
            len(wanted) - len(fits),
            "not among those that at least three members and nobody else in the log hold",
        )
        fits = fits[: patterns.MOST["address"]]
        shared += len(fits)
        if fits:
            facts = {"kind": "address", "exclusive": True, "address_class": group}
            made.append(maker.indicator(f"address {group}", campaign, fits, facts, valid_from=first))
    out.keep(
        name,
        len(held) - shared,
        "all of IPv4 can be hashed in minutes: a hash is as good as the address",
        _TOKENS,
    )
    return made


def _proper(value: str) -> bool:
    try:
        return str(ip_address(value)) == value
    except ValueError:
        return False
