"""The joint decision: found together what none finds alone, asked for the same as a scan asks, at the stated rate."""

from __future__ import annotations

import json
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.sharing.joint.rules import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Any]

SOME = {"taken_in_turn": 7.5, "even_arrivals": 7.0, "even_load": 2.0, "swept_items": 0.5}
WEAK = {"taken_in_turn": -1.0, "even_arrivals": 0.0, "even_load": -3.0, "swept_items": 0.0}


def crowd(f: Any, labs: str, many: int = 10) -> None:
    """Innocent candidates that match at all labs: templates that customers of each use."""
    for lab in labs:
        for number in range(many):
            f.add(lab, WEAK, tags={"run": [f"i{number}-{run}" for run in range(3)]})


def campaign(f: Any, labs: str, tests: dict[str, float], **more: Any) -> None:
    for lab in labs:
        f.add(lab, tests, tags={"run": ["c1", "c2", "c3"]}, **more)


def of(result: dict[str, Any], *labels: str | None) -> list[dict[str, Any]]:
    return [group for group in result["groups"] if group["label"] in labels]


def best(result: dict[str, Any]) -> dict[str, Any]:
    return max(result["groups"], key=lambda group: group["bits"])


def test_a_campaign_that_no_lab_could_accuse_is_accused_by_three(forum: Make):
    f = forum()
    crowd(f, "abc")
    campaign(f, "abc", SOME)
    result = f.decide()
    assert (result["hypotheses"], result["campaigns"]) == (11, 1)
    (group,) = of(result, "campaign")
    assert len(group["members"]) == 3
    assert all(one["bits"] < result["bar_bits"] for one in group["members"])
    assert group["bits"] >= result["bar_bits"]
    assert group["common"] == {"run": 3}


def test_two_labs_may_not_suffice_where_three_do(forum: Make):
    f = forum()
    crowd(f, "ab")
    campaign(f, "ab", {name: bits - 3 for name, bits in SOME.items()})
    assert of(f.decide(), "campaign", "insufficient") == []


def test_how_many_liars_an_accusation_would_bear_is_told(forum: Make):
    f = forum()
    crowd(f, "abcde")
    campaign(f, "abcde", SOME)
    (group,) = of(f.decide(), "campaign")
    bits = [row["bits"] for row in group["robust"]]
    assert bits == sorted(bits, reverse=True)
    assert group["tolerates"] == max(row["liars"] for row in group["robust"] if row["campaign"]) >= 2


def test_one_lab_alone_cannot_convict_whatever_it_claims(forum: Make):
    f = forum()
    crowd(f, "abc")
    campaign(f, "ab", {**WEAK, "taken_in_turn": 0.0})
    f.add("c", dict.fromkeys(SOME, 64.0), tags={"run": ["c1", "c2", "c3"]})
    result = f.decide()
    group = best(result)
    assert group["label"] is None
    assert not next(one for one in group["members"] if one["by"] == f.identity("c"))["could_make"]


def test_what_each_lab_could_have_changed_is_told(forum: Make):
    f = forum(rules=Rules(liars=0))
    crowd(f, "ab")
    campaign(f, "ab", {**SOME, "taken_in_turn": 9.0, "even_arrivals": 9.0})
    (group,) = of(f.decide(), "campaign")
    assert [one["could_stop"] for one in group["members"]] == [True, True]
    for one in group["members"]:
        assert one["least_bits"] < group["bits"] < one["most_bits"]
    g = forum(rules=Rules(liars=1))
    crowd(g, "abcdef")
    campaign(g, "abcdef", {**SOME, "taken_in_turn": 9.0, "even_arrivals": 9.0})
    (group,) = of(g.decide(), "campaign")
    assert [one["could_stop"] for one in group["members"]] == [False] * 6


def test_a_lab_that_stays_silent_counts_as_the_least_and_stops_nothing_by_it(forum: Make):
    f = forum()
    crowd(f, "abcd")
    campaign(f, "abcd", SOME)
    (group,) = of(f.decide(silent="d"), "campaign")
    states = {one["by"]: one["state"] for one in group["members"]}
    assert states[f.identity("d")] == "silent"
    whole = of(f.decide(), "campaign")[0]["bits"]
    assert group["bits"] < whole
    assert f.decide(silent="d")["hypotheses"] == f.decide()["hypotheses"]


def test_an_excuse_costs_as_much_as_silence_and_withholds_where_half_have_it(forum: Make):
    f = forum()
    crowd(f, "abcd")
    campaign(f, "abc", SOME)
    f.add("d", SOME, tags={"run": ["c1", "c2", "c3"]}, excused=True)
    assert of(f.decide(), "campaign")[0]["bits"] == of(f.decide(silent="d"), "campaign")[0]["bits"]
    g = forum()
    crowd(g, "abcdef")
    campaign(g, "abc", {name: bits + 3 for name, bits in SOME.items()})
    campaign(g, "def", SOME, excused=True)
    result = g.decide()
    assert of(result, "campaign") == []
    assert "innocent explanation" in best(result)["why"]


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        ({"taken_in_turn": 9.0, "even_load": 0.0}, "two kinds"),
        ({"even_load": 9.0, "exchangeable_topics": 9.0}, "bar is not reached"),
        ({"taken_in_turn": 9.0, "even_load": 9.0}, "two kinds"),
    ],
)
def test_one_kind_of_evidence_is_not_enough(forum: Make, tests: dict[str, float], why: str):
    """Turns and even loads are both of the load; loads and topics a crowd of clones could give."""
    f = forum()
    crowd(f, "abc")
    campaign(f, "abc", tests)
    result = f.decide()
    assert of(result, "campaign") == []
    (group,) = [one for one in result["groups"] if one["tests"].keys() == tests.keys()]
    assert why in group["why"]


def test_cards_in_common_across_labs_are_a_fact_of_another_kind_and_no_evidence(forum: Make):
    f = forum()
    crowd(f, "abc")
    for lab in "abc":
        tags = {"run": ["c1", "c2", "c3"], "payment": ["card"]}
        f.add(lab, {"taken_in_turn": 9.0, "shared_payment": 60.0}, tags=tags)
    (group,) = of(f.decide(), "campaign")
    assert group["facts"] == {"payment": 3}
    assert "shared_payment" not in group["tests"]


def test_without_a_role_more_is_asked(forum: Make):
    def label(tests: dict[str, float], labs: str = "abcde", **more: Any) -> Any:
        f = forum()
        crowd(f, labs)
        campaign(f, labs, tests, intent="elimination", **more)
        return best(f.decide())

    firm = {"swept_items": 7.0, "taken_in_turn": 7.0}
    assert label(firm)["label"] == "campaign"
    assert "fewer than two kinds" in label({"swept_items": 4.0, "taken_in_turn": 4.0})["why"]
    assert "clocks" in label({"stepped_parameters": 7.0, "taken_in_turn": 7.0})["why"]
    assert "not shared out" in label({"redeemed_by_another": 7.0, "retried_by_another": 7.0})["why"]
    assert "one hand" in label({**firm, "even_load": -25.0})["why"]
    assert "pool" in label({"taken_in_turn": 7.0, "redeemed_by_another": 7.0}, kind="items")["why"]
    assert label(firm, kind="items")["label"] == "campaign"


def test_a_role_at_one_lab_alone_is_none(forum: Make):
    f = forum()
    crowd(f, "abc")
    f.add("a", SOME, tags={"run": ["c1", "c2", "c3"]})
    for lab in "bc":
        f.add(lab, SOME, tags={"run": ["c1", "c2", "c3"]}, intent="elimination")
    assert "fewer than two kinds" in best(f.decide())["why"], "20 bits of each kind are asked for"


def test_one_campaign_that_matches_in_several_ways_counts_once_and_does_not_lower_the_bar(forum: Make):
    f = forum()
    crowd(f, "abc")
    strong = {name: bits + 4 for name, bits in SOME.items()}
    for kind in ("template", "tied", "infrastructure"):
        for lab in "abc":
            f.add(lab, strong, tags={"run": ["c1", "c2", "c3"]}, kind=kind, family="home")
    result = f.decide()
    assert len(of(result, "campaign")) == 3
    assert result["campaigns"] == 1
    assert result["bar_bits"] == pytest.approx(np.log2(13 / 0.01), abs=1e-3)


def test_mirrored_traffic_is_one_voice(forum: Make):
    """The same customers send the same prompts to two labs: the same order gives the same e-value twice."""
    f = forum()
    crowd(f, "ab")
    prompts = [f"p{number}" for number in range(20)]
    for lab in "ab":
        f.add(lab, dict.fromkeys(SOME, 9.0), tags={"run": ["c1", "c2", "c3"], "sample": prompts})
    group = best(f.decide())
    assert (group["voices"], group["label"]) == (1, None)


def test_the_result_is_the_same_in_any_order_and_with_statements_twice(forum: Make):
    f = forum()
    crowd(f, "abc")
    campaign(f, "abc", SOME)
    statements = f.envelopes(silent="c")
    straight = json.dumps(f.decide(statements))
    rng = np.random.default_rng(0)
    for _ in range(5):
        mixed = [statements[place] for place in rng.permutation(len(statements))]
        assert json.dumps(f.decide(mixed + mixed[:2])) == straight


def test_no_statements_no_groups(forum: Make):
    f = forum()
    f.add("a", SOME, tags={"run": "x"})
    result = f.decide([])
    assert (result["hypotheses"], result["groups"], result["campaigns"], result["labs"]) == (0, [], 0, [])
    assert f.decide()["groups"] == []


def test_the_false_discovery_rate_is_kept_over_200_seeds(forum: Make):
    """Three labs, 12 innocent groups whose tests depend on each other within a lab, three campaigns of several strengths."""
    fdr = 0.1
    shares, found = np.zeros(200), 0
    for seed in range(shares.size):
        rng = np.random.default_rng(seed)
        f = forum(rules=Rules(fdr=fdr, cap=0.9))
        for number in range(15):
            shift = 0.0 if number < 12 else float(rng.uniform(1.5, 4))
            tags = {"run": [f"{'true' if shift else 'null'}{number}-{run}" for run in range(3)]}
            common = rng.normal(size=3)
            for lab, shock in zip("abc", common, strict=True):
                z = shift + 0.6 * shock + 0.8 * rng.normal(size=3)
                bits = (2 * z - 2) / log(2)
                names = ("taken_in_turn", "even_arrivals", "swept_items")
                f.add(lab, dict(zip(names, bits.tolist(), strict=True)), tags=tags)
        told = of(f.decide(), "campaign")
        true = {one.name for one in f.own("a") if any("true" in tag for _, tag in one.tags)}
        right = [any(one["candidate"] in true for one in group["members"]) for group in told]
        shares[seed] = (len(right) - sum(right)) / max(1, len(right))
        found += sum(right)
    assert shares.mean() <= fdr
    assert found >= 60
