"""Through MISP and back: the campaign, its ATLAS ids and its marking survive; nothing that comes back is ours."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import stix2
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.errors import ScopeError
from spiritsafe.sharing import scope
from spiritsafe.sharing.stix import others
from spiritsafe.sharing.stix.read import from_stix

if TYPE_CHECKING:
    from collections.abc import Mapping


def through_misp(bundle: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The MISP event of a bundle, and the STIX that MISP's converter makes of it."""
    program = Path(__file__).with_name("through_misp.py")
    ended = subprocess.run(
        [sys.executable, program], input=json.dumps(bundle), capture_output=True, text=True, check=True
    )
    found = json.loads(ended.stdout)
    return found["event"], found["back"]


def test_campaign_atlas_ids_and_markings_survive(sample: Any):
    objects = sample.exported().objects
    campaign = objects[0]
    event, back = through_misp(others.bundle(objects))
    tags = {one["name"] for one in event["Tag"]}
    assert {"tlp:amber+strict", "pap:amber", 'distillation:purpose="detect-distillation"'} <= tags
    assert 'distillation:subject="fraudulent-account-network"' in tags
    returned = next(one for one in back if one["type"] == "campaign")
    for field in ("name", "description", "first_seen", "last_seen"):
        assert returned[field] == campaign[field]
    assert (
        others.told(returned).atlas
        == others.told(campaign).atlas
        == ("AML.T0008.005", "AML.T0024.002", "AML.T0040")
    )
    case = next(one for one in back if one["type"] == "grouping")
    assert (others.told(case).tlp, others.told(case).pap) == ("amber+strict", "amber")
    addresses = {one["value"] for one in back if one["type"] in ("ipv4-addr", "ipv6-addr")}
    assert "203.0.113.9" in addresses


def test_what_comes_back_is_kept_and_is_not_ours(sample: Any):
    _, back = through_misp(others.bundle(sample.exported().objects))
    before = copy.deepcopy(back)
    kept = from_stix(back, fingerprint_version=1)
    assert kept.indicators == []
    assert sorted(kept.foreign, key=str) == sorted(before, key=str)  # every property as it came
    for one in back:
        if one["type"] != "marking-definition":
            with pytest.raises(ScopeError):
                scope.check([one], at="sender")


def test_patterns_that_misp_would_take_for_its_own_stay_out(sample: Any):
    made = others.bundle(sample.every_kind())
    assert {one["pattern_type"] for one in made["objects"] if one["type"] == "indicator"} == {"stix"}
    left = {one["id"] for one in made["objects"]}
    out = {one["id"] for one in sample.every_kind() if one["type"] == "indicator"} - left
    assert out
    for one in made["objects"]:
        named = [one.get(field) for field in ("source_ref", "target_ref", "sighting_of_ref")]
        assert not out & {*named, *one.get("object_refs", ())}
    assert made == others.bundle(sample.every_kind())
    stix2.parse(made, allow_custom=False)


def told_of(**fields: Any) -> others.Told:
    given_object: Mapping[str, Any] = {"type": "report", "id": "report--1", **fields}
    return others.told(given_object)


def test_other_tools_words_are_read_where_they_stand():
    assert told_of(labels=['mitre-atlas:id="AML.T0040"', "TLP:RED", "tlp:green"]).tlp == "red"
    assert told_of(labels=['mitre-atlas:id="AML.T0040"']).atlas == ("AML.T0040",)
    attack = [
        {"source_name": "mitre-attack", "external_id": "T1595"},
        {"source_name": "mitre-attack", "external_id": "AML.T0040"},
    ]
    assert told_of(external_references=attack).atlas == ("AML.T0040",)
    assert told_of() == others.Told((), "", "")


@given(
    st.dictionaries(
        st.sampled_from(["labels", "external_references", "object_marking_refs", "x"]),
        st.recursive(
            st.none() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
        ),
    )
)
def test_no_foreign_object_is_an_error(fields: dict[str, Any]):
    others.told(fields)
