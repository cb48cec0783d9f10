"""Groups: one candidate of a lab, each candidate once, by tags alone, in any order, in bounded time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.sharing.joint import groups as grouping
from spiritsafe.sharing.joint.groups import Match
from spiritsafe.sharing.joint.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Iterable

RULES = Rules()


def one(
    lab: str, name: str, runs: Iterable[str] = (), *, kind: str = "template", **more: Iterable[str]
) -> Match:
    tags = {"run": frozenset(runs), **{name: frozenset(found) for name, found in more.items()}}
    return Match(lab, name, kind, tags, {name: len(found) for name, found in tags.items()})


def names(found: list[Match], rules: Rules = RULES) -> list[list[str]]:
    return [[match.name for match in group] for group in grouping.groups(found, rules)]


def test_the_same_skeleton_at_several_labs_is_one_group():
    assert names([one(lab, lab + "1", "xyz") for lab in "abc"] + [one("b", "b2", "uvw")]) == [
        ["a1", "b1", "c1"]
    ]


def test_most_runs_of_the_shorter_must_be_common():
    assert names([one("a", "a1", "stuvwxyz"), one("b", "b1", "yz12")]) == [["a1", "b1"]]
    assert names([one("a", "a1", "stuvwxyz"), one("b", "b1", "z1234")]) == []


def test_common_infrastructure_is_enough():
    assert names([one("a", "a1", device=["d"]), one("b", "b1", device=["d"])]) == [["a1", "b1"]]


def test_a_viral_prompt_links_many_and_each_is_counted_once():
    """Two campaigns at two labs, and one innocent candidate whose prompt has runs of both."""
    found = [
        one("a", "a1", "pqrs"), one("b", "b1", "pqrs"),
        one("a", "a2", "wxyz"), one("b", "b2", "wxyz"),
        one("c", "c1", "pqwx"),
    ]  # fmt: skip
    made = names(found)
    assert len(made) == 2
    assert sorted(name for group in made for name in group) == ["a1", "a2", "b1", "b2", "c1"]
    assert {"a1", "b1"} <= set(made[0])
    assert {"a2", "b2"} <= set(made[1])


def test_a_lab_that_proposes_one_campaign_in_several_ways_has_one_candidate_in_a_group():
    found = [
        one(lab, lab + kind[0], "xyz", kind=kind) for lab in "ab" for kind in ("template", "tied", "dense")
    ]
    assert names(found) == [["ad", "bd"], ["at", "bt"]] or names(found) == [
        ["ad", "bd"],
        ["at", "bt"],
        ["at", "bt"],
    ]


def test_what_fits_best_is_taken_first():
    found = [
        one("a", "a1", "uvwxyz"),
        one("b", "b1", "uvwxyz"),
        one("b", "b2", "uvwx12"),
        one("a", "a2", "uvwx12"),
    ]
    assert names(found) == [["a1", "b1"], ["a2", "b2"]]


@given(st.randoms(use_true_random=False))
def test_the_order_of_statements_changes_nothing(random: object):
    rng = np.random.default_rng(7)
    found = [
        one(lab, f"{lab}{number}", rng.choice(list("abcdefghij"), 4, replace=False).tolist())
        for lab in "pqrs"
        for number in range(6)
    ]
    straight = names(found)
    getattr(random, "shuffle")(found)  # noqa: B009 - hypothesis types it as an object
    assert names(found) == straight
    for group in grouping.groups(found, RULES):
        assert len({match.lab for match in group}) == len(group) > 1


def test_a_lab_that_floods_a_tag_neither_spoils_the_match_nor_costs_much():
    flood = [one("z", f"z{number:05}", "xyz") for number in range(4000)]
    made = names([*flood, one("a", "a1", "xyz"), one("b", "b1", "xyz")])
    assert len(made) == 1
    assert {"a1", "b1"} < set(made[0])


def test_hearsay_of_one_lab_makes_a_hypothesis_but_joins_no_group_of_others():
    heard = Match("c", "c1", "", {"run": frozenset("xyz")}, {"run": 3}, hearsay=True)
    assert names([one("a", "a1", "xyz"), one("b", "b1", "xyz"), heard]) == [["a1", "b1"]]
    assert names([one("a", "a1", "xyz"), heard]) == [["a1", "c1"]]


def test_labs_that_saw_the_same_prompts_are_one_voice():
    prompts = [f"s{number}" for number in range(20)]
    a, b = one("a", "a1", "xyz", sample=prompts), one("b", "b1", "xyz", sample=prompts[:8])
    c = one("c", "c1", "xyz", sample=[f"t{number}" for number in range(20)])
    made = grouping.voices([a, b, c], RULES)
    assert [[match.name for match in voice] for voice in made] == [["a1", "b1"], ["c1"]]


def test_a_sample_of_few_prompts_tells_nothing():
    a, b = (one(lab, lab, "xyz", sample=["one prompt"]) for lab in "ab")
    assert len(grouping.voices([a, b], RULES)) == 2


def test_what_is_common_is_counted_by_class():
    a, b, c = one("a", "a1", "xyz"), one("b", "b1", "xyw"), one("c", "c1", payment=["card"])
    assert grouping.common([a, b, c]) == {"run": 2}
    assert grouping.common([a, b, c, one("d", "d1", payment=["card"])]) == {"run": 2, "payment": 1}
