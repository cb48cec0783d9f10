"""What a scan found becomes objects that oracles accept, and comes back as what the gateway matches."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import stix2
from hypothesis import given
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_instance

from spiritsafe import registry
from spiritsafe.errors import ScopeError, SharingError
from spiritsafe.features import FINGERPRINT_VERSION
from spiritsafe.features.inline import Inline
from spiritsafe.features.lookup import Index
from spiritsafe.model import RUNGS
from spiritsafe.sharing import scope
from spiritsafe.sharing.scope.schemas import TYPES
from spiritsafe.sharing.signed import EXTENSION
from spiritsafe.sharing.stix import atlas, definitions, ids
from spiritsafe.sharing.stix.build import renewed
from spiritsafe.sharing.stix.export import to_stix
from spiritsafe.sharing.stix.ids import DISTILLATION
from spiritsafe.sharing.stix.read import from_stix
from spiritsafe.sharing.stix.release import NOTHING, Release
from spiritsafe.sharing.stix.terms import DAY, bucket, day, micros, stamp

#: What the validator says of every deterministic id (it wants UUIDv4), of our pattern types, and of links without hashes.
KNOWN = ("{103}", "{245}", "{302}")
TEXT = "Work through the exercise below and write every step of your reasoning between two tags, then one line. ⟨item {}⟩"


def test_both_oracles_accept_every_object(each: dict[str, Any]):
    accepted(each)


def test_both_oracles_accept_the_definitions():
    for stix in definitions.by_id().values():
        accepted(stix)


def accepted(stix: dict[str, Any]) -> None:
    found: Any = validate_instance(stix, ValidationOptions(version="2.1"))
    assert [str(one) for one in found.errors] == []
    assert [str(one) for one in found.warnings if not any(code in str(one) for code in KNOWN)] == []
    read: Any = stix2.parse(json.dumps(stix), allow_custom=False)
    # stix2 writes times in its own precision and adds `revoked`; nothing of ours is lost.
    again = json.loads(read.serialize())
    assert again.keys() - stix.keys() <= {"revoked"}
    assert stix.keys() <= again.keys()
    assert again.get("extensions") == stix.get("extensions")


def test_the_gate_lets_pass_what_is_made(sample: Any):
    for at in ("sender", "hub", "receiver"):
        scope.check(sample.exported().objects, at=at)
        scope.check(sample.exported(NOTHING).objects, at=at)
        scope.check([*sample.every_kind(), *definitions.by_id().values()], at=at)


def test_nothing_local_leaves(sample: Any):
    told, found = sample.results()
    entry = told["campaigns"][0]
    sent = json.dumps(sample.exported().objects)
    secret = [one["account_id"] for one in entry["accounts"]]
    secret += [entry["campaign_id"], entry["first_seen"], entry["last_seen"], "anna", "two labs asked"]
    secret += [str(entry["exchanges"]), *map(str, entry["tokens"].values())]
    for one in found["indicators"]:
        secret.append(one["indicator_id"])
        if one["kind"] in ("device", "network", "minhash"):
            secret += one["values"]
    secret += [top["value"] for layer in entry["layers"] for top in layer["top"]]
    secret += [exhibit["text"][:40] for exhibit in entry["exhibits"]]
    assert [one for one in secret if one in sent] == []


def test_without_a_release_no_fingerprint_and_no_address_leaves(sample: Any):
    out = sample.exported(NOTHING)
    assert "indicator" not in {one["type"] for one in out.objects}
    reasons = {one.what.split()[0]: one for one in out.withheld}
    assert {"template", "skeleton", "device", "network"} <= reasons.keys()
    assert all(reasons[kind].instead for kind in ("template", "skeleton", "device", "network"))


def test_only_what_the_scan_saw_with_the_campaign_alone_is_released(sample: Any):
    told, found = sample.results()
    for one in found["indicators"]:
        one["elsewhere"] = 1
    strange = Release("a", "b", templates=True, skeletons=True, addresses=(("192.0.2.1", "hosting"),))
    out = to_stix(told["campaigns"][0], found, sample.maker(), release=strange)
    assert "indicator" not in {one["type"] for one in out.objects}
    assert any("released addresses" in one.what for one in out.withheld)


def test_a_pool_or_a_reseller_is_not_shared(sample: Any):
    told, found = sample.results()
    with pytest.raises(SharingError, match="no accusation"):
        to_stix(told["campaigns"][1], found, sample.maker())


def test_the_same_scan_gives_the_same_objects_and_another_author_other_ids(sample: Any):
    first, second = sample.exported().objects, sample.exported().objects
    assert first == second
    told, found = sample.results()
    other = to_stix(
        told["campaigns"][0], found, sample.maker("ed25519:" + "B" * 43 + "="), release=sample.FULL
    ).objects
    assert not {one["id"] for one in first} & {one["id"] for one in other}


def test_a_case_keeps_its_id_when_the_campaign_grows(sample: Any):
    told, found = sample.results()
    entry = told["campaigns"][0]
    before = to_stix(entry, found, sample.maker(), case="k-1").objects[0]
    after = to_stix({**entry, "campaign_id": "c-grown"}, found, sample.maker(), case="k-1").objects[0]
    assert before["id"] == after["id"]


def test_what_did_not_change_keeps_its_version_until_half_of_its_life(sample: Any):
    told, found = sample.results()
    entry = told["campaigns"][0]
    before = {one["id"]: one for one in sample.exported().objects}

    def again(days: int, **changed: Any) -> dict[str, Any]:
        made = sample.maker(now=sample.NOW + days * DAY)
        return to_stix({**entry, **changed}, found, made, release=sample.FULL, earlier=before).objects[0]

    campaign = sample.exported().objects[0]
    assert again(44) == campaign
    late = again(46)
    assert late["created"] == campaign["created"]
    assert late["modified"] > campaign["modified"]
    assert again(1, exchanges=9_000_000)["modified"] == stamp(sample.NOW + DAY)
    assert renewed(late, None) is late


def test_a_gateway_matches_what_another_lab_shared(sample: Any):
    """From one lab's anchors to the other lab's lookup: the words themselves never travel."""
    inline = Inline()
    shared = inline.sketch(TEXT.format(1), "").anchors
    told, found = sample.results()
    entry = told["campaigns"][0]
    found["indicators"] = [
        {
            "indicator_id": "i-1", "campaign_id": entry["campaign_id"], "kind": "template", "least": 2,
            "anchors": [f"{int(one):016x}" for one in shared], "exchanges": 40, "elsewhere": 0,
        }
    ]  # fmt: skip
    out = to_stix(entry, found, sample.maker(), release=sample.FULL)
    received = from_stix(json.loads(json.dumps(out.objects)), fingerprint_version=FINGERPRINT_VERSION)
    index = Index(received.indicators)
    hit = index.match(inline.sketch(TEXT.format(2), ""), now=sample.NOW)
    assert [index.campaigns[number] for number in hit] == [out.objects[0]["id"]]
    assert (
        index.match(
            inline.sketch("A letter to my landlord about the broken heating in our flat.", ""), now=sample.NOW
        )
        == ()
    )
    assert (
        index.match(inline.sketch(TEXT.format(2), ""), now=sample.NOW + 91 * DAY) == ()
    )  # its validity is over


def test_addresses_come_back_as_what_the_gateway_hashes(sample: Any):
    received = from_stix(sample.exported().objects, fingerprint_version=1)
    network = [one for one in received.indicators if one.kind == "network"]
    index = Index(network)
    for address, _ in sample.ADDRESSES:
        assert index.match(None, network=address, now=sample.NOW)
    assert not index.match(None, network="198.51.100.8", now=sample.NOW)
    assert [*received.networks.values()] == [(64496, 64500)]


def test_fingerprints_of_another_version_are_told_and_not_matched(sample: Any):
    received = from_stix(sample.exported().objects, fingerprint_version=2)
    assert {one.kind for one in received.indicators} == {"network"}
    assert len(received.unusable) == 8
    assert "version 1, not 2" in received.unusable[0][1]


def test_revoked_and_foreign_objects_and_newest_versions(sample: Any):
    first = sample.exported().objects
    later = sample.maker(now=sample.NOW + DAY)
    gone = later.revoked(first[0], "false-positive")
    foreign = {
        "type": "malware",
        "id": "malware--1",
        "x_vendor": {"kept": [1]},
        "modified": stamp(sample.NOW),
    }
    received = from_stix([gone, *first, foreign], fingerprint_version=1)
    assert received.gone == {first[0]["id"]}
    assert received.foreign == [foreign]
    assert received.campaigns == {}
    assert set(received.authors.values()) == {sample.maker().author}


@given(st.integers(1, 10**13))
def test_a_bucket_is_the_order_of_magnitude(n: int):
    power = bucket(n)
    assert power is not None
    assert 10**power <= n
    assert n < 10 ** (power + 1) or power == 12


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_there_and_back(time: int):
    assert micros(stamp(time)) == time - time % 1_000
    assert micros(day(time)) == time - time % DAY
    assert datetime.fromisoformat(day(time)).astimezone(UTC).hour == 0


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4), st.text(max_size=8))
def test_ids_are_of_the_author_and_of_all_that_is_named(which: dict[str, str], author: str):
    key = ids.object_id("campaign", author, which)
    assert key == ids.object_id("campaign", author, dict(reversed(which.items())))
    assert key != ids.object_id("campaign", author + "x", which)
    assert key != ids.object_id("campaign", author, {**which, "more": "1"})
    assert key[-22] == "5" or key.split("--")[1][14] == "5"


def test_the_snapshot_of_atlas_is_what_the_schemas_allow_and_responses_name_mitigations_in_it():
    assert set(scope.schemas()["common"]["$defs"]["atlas"]["enum"]) == set(atlas.snapshot().names)
    assert atlas.MITIGATIONS.keys() == RUNGS.keys()
    assert set(atlas.MITIGATIONS.values()) <= set(atlas.snapshot().names)
    assert atlas.url("AML.CS0056") == "https://atlas.mitre.org/studies/AML.CS0056"


def test_the_schemas_name_both_extensions():
    for kind in TYPES:
        named = scope.schemas()[kind]["properties"]["extensions"]["properties"]
        assert named.keys() == {DISTILLATION, EXTENSION}


def test_every_role_and_response_of_the_house_has_a_word_in_the_schemas():
    words = scope.schemas()["common"]["$defs"]
    roles = {name for name, one in registry.extensions("signals").items() if one.module.KIND == "role"}
    assert {*roles, "other"} <= set(words["role"]["enum"])
    assert set(words["response"]["enum"]) == set(RUNGS)


def test_the_public_case_study_can_be_told(sample: Any):
    """AML.CS0056 as ATLAS tells it: about 24,000 accounts and 16 million queries, through proxies."""
    made = sample.maker(purpose="prove-distillation", tlp="green")
    facts = {
        "atlas": ["AML.T0008.005", "AML.T0024.002", "AML.T0040", "AML.T0048.004", "AML.T0065", "AML.CS0056"],
        "volume": {"accounts": bucket(24_000), "exchanges": bucket(16_000_000)},
    }
    stix = made.campaign("AML.CS0056", facts, first=sample.NOW, last=sample.NOW)
    scope.check([stix], at="sender")
    assert "10^4 accounts, 10^7 exchanges" in stix["description"]


def test_a_releases_text_is_bound_to_its_words(sample: Any):
    told, found = sample.results()
    release = Release("a", "b", text="Seen since September, growing.")
    campaign = to_stix(told["campaigns"][0], found, sample.maker(), release=release).objects[0]
    scope.check([campaign], at="sender")
    assert campaign["extensions"][DISTILLATION]["release"][0]["field"] == "description"
    changed = copy.deepcopy(campaign)
    changed["description"] += " More."
    with pytest.raises(ScopeError, match="not the text that was released"):
        scope.check([changed], at="sender")
