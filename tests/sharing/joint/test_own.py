"""A lab's own side: all that was tested is committed, nothing tells how much, and only what matched is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.errors import SharingError
from spiritsafe.sharing.joint import own
from spiritsafe.sharing.joint.statements import statement_id

if TYPE_CHECKING:
    from collections.abc import Callable


def test_every_tested_candidate_is_committed_and_the_number_is_hidden(forum: Callable[..., Any]):
    f = forum()
    for number in range(5):
        f.add("a", {"taken_in_turn": float(number)})
    f.add("a", screened=False)
    body = f.commitment("a")
    assert len(body["candidates"]) == 8
    assert {one.name for one in f.own("a")} < set(body["candidates"])
    assert body["candidates"] == sorted(body["candidates"])


def test_the_same_secret_gives_the_same_commitment_and_another_one_another(forum: Callable[..., Any]):
    f = forum()
    f.add("a", {"taken_in_turn": 3.0}, tags={"run": "xyz"})
    again = own.prepared({"candidates": f.tested["a"]}, f.tags["a"], b"another secret of thirty-two byt")
    assert [one.name for one in f.own("a")] == [one.name for one in f.own("a")]
    assert not {one.name for one in again} & {one.name for one in f.own("a")}


def test_equal_evidence_has_different_commitments(forum: Callable[..., Any]):
    f = forum()
    for _ in range(2):
        f.add("a", {"taken_in_turn": 3.0}, family="one")
    first, second = f.own("a")
    assert first.evidence == second.evidence
    assert first.name != second.name


@pytest.mark.parametrize(
    ("bits", "said"), [(3.999, 39), (-0.01, -1), (1e6, 640), (-1e6, -640), (float("-inf"), -640), (0.0, 0)]
)
def test_what_is_said_is_at_most_what_was_seen_and_tells_no_volume(bits: float, said: int):
    assert own.tenths(bits) == said
    assert own.told(said) <= bits or bits > 64
    assert own.told(-640) == float("-inf")


def test_only_what_matched_is_opened_with_those_tags_alone(forum: Callable[..., Any]):
    f = forum()
    f.add("a", {"taken_in_turn": 3.0}, tags={"run": ["shared", "mine"], "device": ["card"]})
    f.add("a", {"taken_in_turn": 9.0}, tags={"run": ["other"]})
    f.add("b", {"taken_in_turn": 1.0}, tags={"run": ["shared"]})
    (one,) = f.opening("a")["candidates"]
    assert [(tag["class"], tag["tag"].strip("-")) for tag in one["tags"]] == [("run", "shared")]
    assert one["tags"][0]["met"] == [{"by": f.identity("b"), "name": f.own("b")[0].name}]
    assert {kind: len(hashes) for kind, hashes in one["evidence"]["listed"].items()} == {
        "run": 2,
        "device": 1,
    }
    assert "mine" not in str(one)


def test_an_opening_names_its_commitment(forum: Callable[..., Any]):
    f = forum()
    f.add("a", tags={"run": "x"})
    f.add("b", tags={"run": "x"})
    assert f.opening("a")["commitment"] == statement_id("commitment", f.commitment("a"))


def test_what_was_not_committed_cannot_be_opened(forum: Callable[..., Any]):
    f = forum()
    f.add("a", {"taken_in_turn": 3.0}, tags={"run": "x"})
    f.add("b", tags={"run": "x"})
    early = f.commitment("a")
    f.tested["a"][0]["coordination"]["tests"][0]["bits"] = 30.0
    with pytest.raises(SharingError, match="not committed"):
        f.opening("a", commitment=early)
