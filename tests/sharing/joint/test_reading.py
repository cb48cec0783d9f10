"""Statements of a round: what is forged, replayed, altered or malformed is set aside, and stops nobody."""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.attest import dsse
from spiritsafe.attest.canonical import jcs
from spiritsafe.errors import SharingError
from spiritsafe.sharing.joint import own, reading
from spiritsafe.sharing.joint.rules import Rules
from spiritsafe.sharing.joint.statements import media_type, opened, sign

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Any]

RUNS = ("x", "y", "z")


@pytest.fixture
def round_of(forum: Make) -> Make:
    """Three labs with one common candidate each, and one of its own."""

    def made(**more: Any) -> Any:
        f = forum(**more)
        for lab in "abc":
            f.add(lab, {"taken_in_turn": 5.0}, tags={"run": RUNS})
            f.add(lab, {"taken_in_turn": 1.0}, tags={"run": [f"own {lab}"]})
        return f

    return made


def read(f: Any, statements: list[Any]) -> reading.Round:
    return reading.read(statements, f.members(), f.rules, forum=f.forum, round=f.round)


def states(found: reading.Round) -> dict[str, list[str]]:
    kept: dict[str, list[str]] = {}
    for one in found.held:
        kept.setdefault(one.state, []).append(one.match.lab)
    return {state: sorted(labs) for state, labs in kept.items()}


def test_all_that_matched_is_opened(round_of: Make):
    f = round_of()
    found = read(f, f.envelopes())
    assert states(found) == {"opened": sorted(f.members())}
    assert (found.refused, found.double) == ([], [])


def test_altered_evidence_is_not_what_was_committed_to_and_counts_as_silence(round_of: Make):
    f = round_of()
    body = f.opening("c")
    body["candidates"][0]["evidence"]["tests"]["taken_in_turn"] = 640
    statements = [*f.envelopes(silent="c"), own.signed_opening(body, f.key("c"))]
    found = read(f, statements)
    assert [one["why"] for one in found.refused] == ["it is not what was committed to"]
    assert states(found) == {"opened": [f.identity(lab) for lab in "ab"], "silent": [f.identity("c")]}


def test_a_tag_that_was_not_committed_to_joins_no_group(round_of: Make):
    f = round_of()
    body = f.opening("c")
    body["candidates"][0]["tags"][0]["tag"] = "another tag that is long enough".replace(" ", "-")
    found = read(f, [*f.envelopes(silent="c"), own.signed_opening(body, f.key("c"))])
    assert [one["why"] for one in found.refused] == ["a tag is not among those committed to"]


def test_who_commits_twice_opens_nothing_and_does_not_get_rid_of_it(round_of: Make):
    f = round_of()
    second = own.signed_commitment(f.commitment("c", now=2), f.key("c"))
    found = read(f, [*f.envelopes(), second])
    assert found.double == [f.identity("c")]
    assert states(found)["silent"] == [f.identity("c")]
    assert [one["why"] for one in found.refused] == ["it opens no commitment of this round"]


def test_a_statement_of_another_lab_round_or_rule_does_not_count(round_of: Make, forum: Make):
    f = round_of()
    stranger = forum(tested={"x": []}, tags={"x": {}})
    other_round = round_of(round="2026-11")
    other_rules = round_of(rules=Rules(fdr=0.5))
    forged = own.signed_commitment(f.commitment("b"), f.key("a"))
    extra = [
        *stranger.envelopes(),
        other_round.envelopes()[0],
        other_rules.envelopes()[0],
        forged,
    ]
    found = read(f, [*f.envelopes(), *extra])
    whys = {one["why"] for one in found.refused}
    assert whys == {
        "the commitment is not signed by the member that it names",
        "the opening is not signed by the member that it names",
        "it belongs to another round",
        "it was made under other rules",
    }
    assert states(found) == states(read(f, f.envelopes()))


def test_nobody_can_make_up_a_candidate_for_another(round_of: Make):
    f = round_of()
    body = f.opening("a")
    for tag in body["candidates"][0]["tags"]:
        tag["met"] = [{"by": f.identity("c"), "name": "0" * 64}]
    found = read(f, [*f.envelopes(silent="ac"), own.signed_opening(body, f.key("a"))])
    assert states(found)["silent"] == [f.identity("c")], "only the one that b met, and c committed to"


def test_hearsay_is_what_one_lab_alone_met(round_of: Make):
    f = round_of()
    assert [one.match.hearsay for one in read(f, f.envelopes(silent="c")).held if one.state == "silent"] == [
        False
    ]
    found = read(f, f.envelopes(silent="bc"))
    assert [one.match.hearsay for one in found.held if one.state == "silent"] == [True, True]


def test_two_openings_of_one_commitment_add_up(round_of: Make):
    f = round_of()
    parts = []
    for place in range(len(RUNS)):
        body = copy.deepcopy(f.opening("c"))
        body["candidates"][0]["tags"] = [body["candidates"][0]["tags"][place]]
        parts.append(own.signed_opening(body, f.key("c")))
    (one,) = [
        held.match
        for held in read(f, [*f.envelopes(silent="c"), *parts]).held
        if held.match.lab == f.identity("c")
    ]
    assert len(one.tags["run"]) == len(RUNS)


@pytest.mark.parametrize(
    "rubbish", [None, 3, "text", [], {}, {"payload": "x"}, float("nan"), {"payloadType": 7}]
)
def test_rubbish_is_refused_by_name(round_of: Make, rubbish: Any):
    f = round_of()
    found = read(f, [*f.envelopes(), rubbish])
    assert len(found.refused) == 1
    assert states(found) == states(read(f, f.envelopes()))


@settings(max_examples=300)
@given(data=st.data())
def test_mutated_statements_never_raise_and_never_count(data: st.DataObject):
    """A changed byte of a payload breaks its signature; a changed shape under a good signature is refused."""
    f = _FORUM[0]
    statements = f.envelopes()
    victim = data.draw(st.integers(0, len(statements) - 1))
    envelope = copy.deepcopy(statements[victim])
    body = json.loads(base64.b64decode(envelope["payload"]))
    path: Any = body
    key: Any = data.draw(st.sampled_from(sorted(body)))
    while isinstance(path[key], dict | list) and path[key] and data.draw(st.booleans()):
        path = path[key]
        key = data.draw(st.sampled_from(sorted(path) if isinstance(path, dict) else list(range(len(path)))))
    path[key] = data.draw(
        st.one_of(
            st.none(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(max_size=5), st.lists(st.integers(0, 3))
        )
    )
    lab = "abc"[victim % 3]
    signed = data.draw(st.booleans())
    payload = jcs(body)
    changed = (
        dsse.sign(payload, envelope["payloadType"], f.key(lab))
        if signed
        else {**envelope, "payload": base64.b64encode(payload).decode()}
    )
    result = read(f, [*statements[:victim], changed, *statements[victim + 1 :]])
    if payload != base64.b64decode(envelope["payload"]) and not signed:
        assert result.refused
    assert all(one.evidence is None or one.match.name in _names(result) for one in result.held)


def _names(found: reading.Round) -> set[str]:
    return {name for one in found.commitments.values() for name in one.body["candidates"]}


_FORUM: list[Any] = []


@pytest.fixture(autouse=True)
def _one_forum(round_of: Make) -> None:
    _FORUM[:] = [round_of()]


def test_shapes_are_closed(round_of: Make):
    f = round_of()
    with pytest.raises(SharingError, match="has not its shape"):
        sign("commitment", {**f.commitment("a"), "customers": 12}, f.key("a"))
    body = f.opening("a")
    body["candidates"][0]["evidence"]["volume"] = 1
    with pytest.raises(SharingError, match="has not its shape") as told:
        own.signed_opening(body, f.key("a"))
    assert told.value.where == "candidates/0/evidence"


def test_a_commitment_does_not_pass_as_an_opening(round_of: Make):
    f = round_of()
    envelope = {**f.envelopes()[0], "payloadType": media_type("opening")}
    with pytest.raises(SharingError):
        opened(envelope, f.members())


def test_a_layout_that_is_not_canonical_is_refused(round_of: Make):
    f = round_of()
    payload = json.dumps(f.commitment("a"), indent=1).encode()
    with pytest.raises(SharingError, match="canonical"):
        opened(dsse.sign(payload, media_type("commitment"), f.key("a")), f.members())
