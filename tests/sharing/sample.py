"""A scan's results (a campaign and a reseller of the demo, cut short) and what may be made of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from spiritsafe.sharing.stix import ids
from spiritsafe.sharing.stix.build import Maker
from spiritsafe.sharing.stix.export import Export, to_stix
from spiritsafe.sharing.stix.release import Release
from spiritsafe.sharing.stix.terms import Terms

RESULTS = Path(__file__).parent / "results"
NOW = 1_795_651_200_000_000  # 2026-11-26
PUBLIC = "ed25519:" + "A" * 43 + "="
ADDRESSES = (("198.51.100.7", "proxy-service"), ("2001:db8::7", "proxy-service"), ("203.0.113.9", "hosting"))
FULL = Release(
    "anna", "two labs asked", templates=True, skeletons=True, asns=(64500, 64496), addresses=ADDRESSES
)


def maker(public: str = PUBLIC, now: int = NOW, **terms: Any) -> Maker:
    return Maker(ids.identity_id(public), now, Terms(**terms))


def results() -> tuple[dict[str, Any], dict[str, Any]]:
    """campaigns.json and indicators.json, with addresses of documentation ranges among those held, and a skeleton."""
    told, found = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("campaigns", "indicators"))
    network = next(one for one in found["indicators"] if one["kind"] == "network")
    network["values"] += [hashlib.sha256(value.encode()).hexdigest() for value, _ in ADDRESSES]
    found["indicators"].append(
        {
            **{key: network[key] for key in ("campaign_id", "valid_from", "elsewhere")},
            "indicator_id": "i-5ce1e70000000000",
            "kind": "skeleton",
            "least": 1,
            "exchanges": 12,
            "values": ["00000000000000a1", "00000000000000b2"],
        }
    )
    return told, found


def exported(release: Release = FULL, **terms: Any) -> Export:
    told, found = results()
    return to_stix(told["campaigns"][0], found, maker(**terms), release=release)


def every_kind() -> list[dict[str, Any]]:
    """At least one object of each type and kind that the gate knows, by one author."""
    out = exported()
    made = maker()
    campaign = out.objects[0]["id"]
    indicator = next(one["id"] for one in out.objects if one["type"] == "indicator")
    dispute = made.opinion(
        [indicator], "strongly-disagree", redress={"step": "dispute", "ground": "evaluation"},
        text="These requests are an evaluation under contract.",
    )  # fmt: skip
    measure = made.measure(campaign, "budget")
    return [
        *out.objects,
        made.identity(b"k" * 32),
        made.sighting(indicator, first=NOW, last=NOW, volume={"accounts": 1, "exchanges": 2}),
        made.sighting(indicator, "false-positive", first=NOW, last=NOW),
        dispute,
        made.opinion([campaign], "agree"),
        made.note([campaign], "We attribute this campaign to a company.", subject="extracting-entity"),
        measure,
        made.relationship("mitigates", measure["id"], indicator),
        made.revoked(out.objects[0], "appeal-upheld", dispute["id"]),
    ]
