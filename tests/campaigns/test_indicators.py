"""Indicators: anchors of an accused campaign's templates, and nothing that names anybody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.evidence import View
from spiritsafe.campaigns.indicators import indicators
from spiritsafe.campaigns.verdict import Verdict
from spiritsafe.features.inline import Inline
from spiritsafe.features.lookup import Index, token
from spiritsafe.model import Indicator

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]
    MakeLayer = Callable[..., Layer]


def told(rows: list[int]) -> Verdict:
    none = np.zeros(0, np.int64)
    made = Verdict(Candidate("template", none, none), View(none, none, none, none), 0.0, 1.0)
    made.rows = np.array(rows, np.int64)
    return made


def record(*entries: tuple[str, str]) -> dict[str, Any]:
    return {
        "campaigns": [
            {"campaign_id": name, "label": label, "first_seen": "2026-03-01T00:00:00Z"}
            for name, label in entries
        ]
    }


def test_each_template_of_a_campaign_gives_one_indicator(make_log: MakeLog):
    # Two members only sent the third text: it may be an item that each of them met.
    log = make_log(
        [0, 0, 1, 1, 2, 2, 3, 4, 4, 0, 1],
        template=[0, 1, 0, 1, 0, 1, 0, 0, 1, 2, 2],
        live=[1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1],
    )
    log.template_anchors[1] = np.array([77], np.uint64)
    found = indicators(log, record(("c-1", "campaign")), [told([0, 1, 2, 3, 4, 5, 9, 10])], version=7)
    assert (found["schema"], found["fingerprint_version"]) == (1, 7)
    first, second = found["indicators"]
    assert first["anchors"] == [f"{1000 + i:016x}" for i in (1, 2, 3)]
    # Four live exchanges have the template: three of the campaign, one of others; a duplicate does not count.
    assert (first["exchanges"], first["elsewhere"], first["least"]) == (3, 1, 2)
    assert second["anchors"] == [f"{77:016x}"]
    assert (second["exchanges"], second["elsewhere"], second["least"]) == (3, 1, 1), (
        "all that a text has suffices"
    )
    for one in (first, second):
        assert (one["kind"], one["campaign_id"]) == ("template", "c-1")
        assert one["valid_from"] == "2026-03-01T00:00:00Z"
    assert first["indicator_id"] != second["indicator_id"]
    assert not any(name in json.dumps(found) for name in log.accounts)


@pytest.mark.parametrize(("prompts", "told_of"), [(24, True), (23, False)])
def test_a_wording_that_one_member_has_in_many_prompts_is_the_campaigns_too(
    make_log: MakeLog, prompts: int, told_of: bool
):
    log = make_log([0] * 60, template=[0] * 60, item=np.arange(60) % prompts)
    found = indicators(log, record(("c-1", "campaign")), [told(list(range(60)))], version=1)["indicators"]
    assert [one["exchanges"] for one in found] == ([60] if told_of else [])


@pytest.mark.parametrize(("others", "told_of"), [(2, True), (3, False)])
def test_a_text_that_a_popular_one_swallows_is_the_campaigns_if_it_hardly_stands_elsewhere(
    make_log: MakeLog, others: int, told_of: bool
):
    # Text 0 wins everywhere; text 1 stands in what the campaign sends, and in a few exchanges of others.
    log = make_log(np.arange(200) % 50, template=[0] * 200)
    log.template_key = np.array([1000, 2000], np.uint64)
    log.template_anchors.append(np.array([2001, 2002], np.uint64))
    log.outvoted = [(1, np.arange(40 + others))]
    found = indicators(log, record(("c-1", "campaign")), [told(list(range(40)))], version=1)["indicators"]
    assert [(one["anchors"][0], one["exchanges"], one["elsewhere"]) for one in found] == (
        [(f"{2001:016x}", 40, others)] if told_of else []
    )


def test_what_a_text_loses_inside_the_campaign_is_not_elsewhere(make_log: MakeLog):
    # Two frames of the same instruction: in each of them it stands in too little to stand for it.
    log = make_log(np.arange(100) % 10, template=np.repeat([0, 1, 2], [40, 40, 20]))
    log.outvoted = [(2, np.concatenate([np.arange(15), np.arange(40, 55)]))]
    found = indicators(log, record(("c-1", "campaign")), [told(list(range(100)))], version=1)["indicators"]
    assert [(one["exchanges"], one["elsewhere"]) for one in found] == [(40, 0), (40, 0), (20, 0)]


def test_only_campaigns_give_indicators(make_log: MakeLog):
    log = make_log([0, 1, 2], template=[0, 0, 0])
    entries = [(f"c-{label}", label) for label in ("pool", "campaign", "reseller", "insufficient")]
    found = indicators(log, record(*entries), [told([0, 1, 2])] * 4, version=1)
    assert [one["campaign_id"] for one in found["indicators"]] == ["c-campaign"]


def test_a_campaign_without_shared_text_or_a_scan_without_rows_has_none(make_log: MakeLog):
    log = make_log([0, 1, 2])
    assert indicators(log, record(("c-1", "campaign")), [told([0, 1, 2])], version=1)["indicators"] == []
    assert indicators(None, record(), [], version=1)["indicators"] == []


def test_the_same_campaign_has_the_same_indicators_and_another_one_others(make_log: MakeLog):
    log = make_log([0, 1, 2], template=[0, 0, 0])
    first, again, other = (
        indicators(log, record((name, "campaign")), [told([0, 1, 2])], version=1)["indicators"][0][
            "indicator_id"
        ]
        for name in ("c-1", "c-1", "c-2")
    )
    assert first == again
    assert first != other


def test_of_a_long_template_the_smallest_anchors_stand_for_all(make_log: MakeLog):
    log = make_log([0, 1, 2], template=[0, 0, 0])
    log.template_anchors[0] = np.arange(1, 500, dtype=np.uint64)
    (one,) = indicators(log, record(("c-1", "campaign")), [told([0, 1, 2])], version=1)["indicators"]
    assert [int(anchor, 16) for anchor in one["anchors"]] == list(range(1, 65))


def test_devices_and_addresses_that_only_members_hold_are_told_as_tokens(
    make_log: MakeLog, make_layer: MakeLayer
):
    log = make_log(list(range(8)), template=[0] * 8)
    held = [(party, "d-campaign") for party in range(4)] + [(party, "d-shared") for party in range(8)]
    layers = {
        "device": make_layer("device", [*held, (0, "d-own"), (1, "d-own")], 8),
        "network": make_layer("network", [(5, "10.0.0.1"), (6, "10.0.0.1"), (7, "10.0.0.1")], 8),
        "payment": make_layer("payment", [(party, "card") for party in range(4)], 8),
    }
    verdict = told([0, 1, 2, 3])
    verdict.parties = np.arange(4)
    found = indicators(log, record(("c-1", "campaign")), [verdict], layers, version=1)["indicators"]
    (device,) = [one for one in found if one["kind"] != "template"]
    assert (device["kind"], device["least"], device["parties"], device["elsewhere"]) == ("device", 1, 4, 0)
    assert device["values"] == [token("d-campaign")]
    text = json.dumps(found)
    assert not any(name in text for name in ("d-campaign", "d-shared", "10.0.0.1", "card"))
    # What the scan writes is what the gateway matches.
    index = Index([Indicator("i", "c-1", "device", tuple(device["values"]), 1, 0)])
    assert index.match(None, device="d-campaign", now=1) == (0,)
    assert index.match(None, device="d-shared", now=1) == ()


def test_skeletons_that_members_share_and_nobody_else_has_are_told(make_log: MakeLog):
    log = make_log([0, 1, 2, 3, 0, 1, 2, 4, 5, 4], live=[1] * 9 + [0])
    # 11: four members; 22: three, and an innocent; 33: two only; 0: no text. A duplicate (the last) is nobody's.
    skeletons = np.array([11, 11, 11, 11, 22, 22, 22, 22, 33, 11], np.uint64)
    verdict = told([0, 1, 2, 3, 4, 5, 6, 8])
    found = indicators(log, record(("c-1", "campaign")), [verdict], None, skeletons, version=1)["indicators"]
    (one,) = found
    assert (one["kind"], one["values"], one["least"]) == ("skeleton", [f"{11:016x}"], 1)
    assert (one["exchanges"], one["elsewhere"]) == (4, 0)
    index = Index([Indicator("i", "c-1", "skeleton", tuple(one["values"]), 1, 0)])
    sketch = Inline().sketch("Hello")
    assert index.match(sketch._replace(skeleton=11), now=1) == (0,)
    assert index.match(sketch._replace(skeleton=22), now=1) == ()
    none = indicators(log, record(("c-1", "campaign")), [verdict], None, np.zeros(10, np.uint64), version=1)
    assert none["indicators"] == []
