"""Candidates for joint evidence: named alike in any order, rounded down, and with nothing that points at one party."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns import candidates, evidence, identifiers, naming
from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.coordination import Test
from spiritsafe.campaigns.hypotheses import Hypothesis
from spiritsafe.campaigns.verdict import Verdict
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]
    MakeLayer = Callable[..., Layer]

BIT = float(np.log(2))
RECORD = {"campaigns": [], "scanned": {"first": "a", "last": "b"}}


def bet(name: str, bits: float, weight: float = 1.0, note: str = "") -> Test:
    return Test(name, "?", "null", "statistic", 0.0, 0.0, bits * BIT, 10, weight, note)


def verdict(log: Log, rows: Any, *tests: Test, kind: str = "template", fits: str | None = "no") -> Verdict:
    """A candidate of ``rows``, screened unless ``fits`` is None."""
    rows = np.asarray(rows, np.int64)
    one = Candidate(kind, rows, np.unique(log.template[rows]))
    heard = [] if fits is None else [Hypothesis("one task", fits, "because")]
    return Verdict(one, evidence.view(log, one), 1.0, 0.01, list(tests), 3.456 * BIT, 10 * BIT, heard)


def content(log: Log, heard: list[Verdict], skeletons: dict[int, Any] | None = None) -> dict[str, Any]:
    head, entries = candidates.candidates(
        log,
        heard,
        RECORD,
        [],
        naming.names(log, heard),
        candidates.templates(log, heard),
        skeletons or {},
        {},
        settings=Settings(),
        version=1,
    )
    return {**head, "candidates": list(entries)}


def lines(log: Log, heard: list[Verdict], layers: dict[str, Layer], runs: Any = None) -> dict[str, list[str]]:
    seen = identifiers.samples(log, heard)
    found: dict[str, list[str]] = {}
    ids, mine = naming.names(log, heard), candidates.templates(log, heard)
    for line in identifiers.identifiers(heard, ids, mine, runs or {}, seen, layers, version=7):
        one = json.loads(line)
        assert line == json.dumps(one) + "\n"
        assert list(one) == ["candidate_id", "class", "value"]
        found.setdefault(one["class"], []).append(one["value"])
    return found


@pytest.fixture
def log(make_log: MakeLog) -> Log:
    """Twelve parties, forty exchanges each, one a minute; the first six in template 0."""
    who = np.tile(np.arange(12), 40)
    return make_log(who, template=np.where(who < 6, 0, -1), item=np.arange(1, who.size + 1))


def test_evidence_is_told_test_by_test_rounded_down_and_apart_from_intent(log: Log):
    tests = [
        bet("even_load", 2.999),
        bet("taken_in_turn", -0.001),
        bet("shared_payment", 5.0, weight=0.0),
        bet("shared_client", 9.0),
        bet("began_after_bans", 1.0, note="all hours: no choice depends on it"),
        bet("shared_device", 4.0),
    ]
    made = content(log, [verdict(log, np.arange(240), *tests), verdict(log, [0, 1], fits=None)])
    assert (made["groups"], made["screened"], made["joint_only"], made["bar_bits"]) == (2, 1, 0, 10.0)
    first, second = made["candidates"]
    assert first["coordination"]["bits"] == 3.45
    assert [(t["name"], t["nature"], t["bits"], t["window"]) for t in first["coordination"]["tests"]] == [
        ("even_load", "marginal", 2.99, "slots of the test"),
        ("taken_in_turn", "orderly", -0.01, "slots of the test"),
        ("began_after_bans", "firm", 1.0, "all slots"),
        ("shared_device", "firm", 4.0, "all slots"),
    ], "what chose the candidate or is context only is no evidence"
    assert first["intent"] == {"score": 1.0, "p_value": 0.01, "by": "role"}
    assert (second["tested"], second["family"], second["skeletons"]) == (None, None, [])


def test_an_excuse_is_told(log: Log):
    told = content(log, [verdict(log, np.arange(100), fits=fits) for fits in ("yes", "partly", "no")])
    assert [one["excused"] for one in told["candidates"]] == [True, False, False]


def test_a_name_does_not_depend_on_the_order_of_the_log_and_does_on_who_sent_what(make_log: MakeLog):
    rng = np.random.default_rng(0)
    who, item = rng.integers(0, 8, 300), rng.integers(1, 50, 300).astype(np.uint64)
    time = np.arange(300) * 60_000_000

    def name(order: Any, who: Any = who, item: Any = item) -> str:
        log = make_log(who[order], item=item[order], time=time[order])
        one = verdict(log, np.arange(order.size))
        return naming.names(log, [one])[id(one)]

    same = name(np.arange(300))
    assert name(rng.permutation(300)) == same
    assert name(np.arange(299)) != same
    swapped = who.copy()
    swapped[:2] = who[:2] + 1
    assert name(np.arange(300), who=swapped) != same
    assert name(np.arange(300), item=item + np.uint64(1)) != same


def test_one_campaign_that_is_proposed_many_times_is_one_family(log: Log):
    whole = np.flatnonzero(log.acc < 6)
    part, other = np.flatnonzero(log.acc < 5), np.flatnonzero(log.acc >= 6)
    heard = [verdict(log, rows) for rows in (part, whole, other)]
    a, b, c = content(log, heard)["candidates"]
    assert a["family"] == b["family"] == b["candidate_id"]
    assert c["family"] == c["candidate_id"]


def test_only_values_that_several_parties_hold_and_few_others_are_named(log: Log, make_layer: MakeLayer):
    inside = np.flatnonzero(log.acc < 6)
    held = [
        *((p, "iban:ours") for p in range(4)),
        *((p, "iban:two hold it") for p in range(2)),
        *((p, "iban:everybody's") for p in range(3, 12)),
        *((p, "already a hash") for p in range(6)),
        (11, "iban:ours"),
    ]
    found = lines(log, [verdict(log, inside)], {"payment": make_layer("payment", held, 12)})
    assert found["payment"] == ["iban:ours"]


def test_addresses_have_the_class_of_their_version_and_private_ones_none(log: Log, make_layer: MakeLayer):
    held = [
        (p, value) for p in range(6) for value in ("10.0.0.1", "8.8.8.8", "2001:4860:4860::8888", "hashed")
    ]
    found = lines(
        log, [verdict(log, np.flatnonzero(log.acc < 6))], {"network": make_layer("network", held, 12)}
    )
    assert (found["ipv4"], found["ipv6"]) == (["8.8.8.8"], ["2001:4860:4860::8888"])
    assert "network" not in found


def test_what_is_named_comes_from_the_slots_of_the_choice(make_log: MakeLog, log: Log):
    inside = np.flatnonzero(log.acc < 6)
    runs = {0: np.array([5, 9], np.uint64)}
    found = lines(log, [verdict(log, inside)], {}, runs)["skeleton"]
    assert found[:2] == [f"fp7:{5:016x}", f"fp7:{9:016x}"]
    assert len(found) == 2 + 32
    item = log.exact.copy()
    tested = inside[~log.screening(inside)]
    item[tested] += np.uint64(1 << 40)
    other = make_log(log.acc, template=log.template, item=item)
    assert lines(other, [verdict(other, inside)], {}, runs)["skeleton"] == found


def test_a_sample_is_common_where_the_same_prompts_come_at_the_same_time_only(make_log: MakeLog):
    who = np.tile(np.arange(12), 40)
    time = np.arange(who.size) * 60_000_000

    def sample(item: Any, shift: int = 0) -> set[int]:
        log = make_log(who, item=item, time=time + shift * 7 * 24 * 3_600_000_000)
        one = verdict(log, np.arange(who.size))
        return set(identifiers.samples(log, [one])[id(one)].tolist())

    here = sample(np.arange(who.size))
    assert sample(np.arange(who.size)) == here
    assert not sample(np.arange(who.size), shift=1) & here, "a week later"
    assert not sample(np.arange(who.size)[::-1]) & here, "the same pool in another order"


def test_nothing_of_a_group_that_was_not_tested_can_be_matched(log: Log):
    one = verdict(log, np.flatnonzero(log.acc < 6), fits=None)
    assert lines(log, [one], {}, {0: np.array([5], np.uint64)}) == {}
    one.label = "pool"
    assert lines(log, [one], {}, {0: np.array([5], np.uint64)})["skeleton"][0] == f"fp7:{5:016x}"


def test_a_log_without_exchanges_has_no_candidates():
    head = {"campaigns": [], "scanned": {}}
    made = candidates.candidates(None, [], head, [], {}, {}, {}, {}, settings=Settings(), version=1)
    read = json.loads("".join(candidates.text(*made)))
    assert (read["groups"], read["candidates"]) == (0, [])
    assert list(identifiers.identifiers([], {}, {}, {}, {}, {}, version=1)) == []
