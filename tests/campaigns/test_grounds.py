"""Grounds: each rule of what an accusation may rest on, with a case that passes and one that just fails."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.campaigns import coordination, evidence, grounds, traces
from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.coordination import Test
from spiritsafe.campaigns.evidence import View
from spiritsafe.campaigns.grounds import UNNAMED, carried, carried_unnamed
from spiritsafe.campaigns.log import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

BAR = 12.0


def case(name: str, log_e: float = 30.0, weight: float = 1.0) -> Test:
    return Test(name, "", "", "", 0.0, 0.0, log_e, 100, weight)


def cases(*names: str, log_e: float = 30.0) -> list[Test]:
    return [case(name, log_e) for name in names]


def test_every_test_is_of_one_known_sort():
    # A new test must be put somewhere before it can accuse anybody.
    assert set(evidence.GROUPS) == {
        *("even_load", "taken_in_turn", "even_arrivals", "spaced_apart"),
        *("exchangeable_topics", "swept_items", "regular_multiplicity"),
        *traces.GROUPS,
    }
    assert (*evidence.GROUPS, "shared_payment", "shared_device") == evidence.DECISIVE
    assert set(evidence.DECISIVE) - set(evidence.GROUPS) == grounds.TIES
    assert not grounds.MARGINAL & grounds.ORDERLY
    assert set(evidence.DECISIVE) >= grounds.WORK


# Loads and turns, multiplied.


@pytest.mark.parametrize(
    ("loads", "turns", "tie", "holds"),
    [
        (7.0, 7.0, "shared_payment", True),  # each below 20 bits, 20 bits together
        (7.0, 6.8, "shared_payment", False),
        (7.0, 7.0, "shared_network", False),  # clones that tick, in one place
        (7.0, 7.0, "even_arrivals", False),  # a crowd of clocks
        (30.0, -20.0, "shared_payment", False),  # loads alone: a class with one task and one sponsor
        (500.0, -20.0, "shared_device", False),  # or in one laboratory
        (30.0, 0.1, "shared_payment", True),
        (-12.0, 25.0, "shared_payment", True),  # turns alone
        (-12.0, 13.0, "shared_payment", False),
    ],
)
def test_loads_and_turns_together_are_one_ground(loads: float, turns: float, tie: str, holds: bool):
    found = [case("even_load", loads), case("taken_in_turn", turns), case(tie, 30.0)]
    assert carried_unnamed(found, log_e=1.0) is holds


def test_with_a_role_the_product_is_no_more_than_clones_could_give():
    together = [case("even_load", 7.0), case("taken_in_turn", 7.0)]
    assert grounds.kinds(together, BAR) == {"load"}
    assert grounds.kinds([case("even_load", 7.0)], BAR) == set()
    chose = case("shared_payment", 500.0, weight=0.0)
    assert not carried([*together, chose], log_e=BAR)  # as even loads alone would not
    assert carried([*together, case("shared_payment")], log_e=BAR)


def test_the_product_of_loads_and_turns_is_an_e_value():
    """Independent customers, rates as far apart as the margin says, each order equally likely: the mean is at most one."""
    logs: list[float] = []
    for seed in range(400):
        rng = np.random.default_rng([11, seed])
        counts = rng.poisson(rng.gamma(1 / 0.25, 6.0 * 0.25, 20))
        labels = rng.permutation(np.repeat(np.arange(20), counts))
        times = np.sort(rng.integers(0, 10**12, labels.size))
        loads = coordination.even_load(counts, spread=0.25)
        logs.append(loads + coordination.taken_in_turn(labels, times))
    values = np.exp(logs)
    assert values.mean() <= 1 + 3 * values.std() / np.sqrt(values.size)
    assert np.median(values) < 1
    assert (values >= 20).mean() <= 0.05  # Markov


# Which tests count at all.


@pytest.mark.parametrize(
    "name", ["shared_network", "shared_cohort", "shared_identity", "shared_client", "shared_shape"]
)
def test_people_in_one_place_share_things_and_that_is_context_only(name: str):
    strong = case(name, 500.0)
    assert grounds.decisive([strong]) == []
    assert not carried([strong, case("taken_in_turn")], log_e=BAR)
    assert carried([case("shared_payment"), case("taken_in_turn")], log_e=BAR)
    assert grounds.combined([strong, case("taken_in_turn")]) == grounds.combined([case("taken_in_turn")])


@pytest.mark.parametrize(
    ("chosen", "tested", "holds"),
    [
        ("shared_payment", "taken_in_turn", True),
        ("shared_device", "swept_items", True),
        ("shared_payment", "even_load", False),  # a crowd of clones, with cards that chose it
        ("shared_network", "taken_in_turn", False),  # an address is context
        ("even_arrivals", "taken_in_turn", False),  # only cards and devices may choose and still be told
    ],
)
def test_cards_that_chose_the_candidate_are_a_fact_beside_a_tested_one_and_no_e_value(
    chosen: str, tested: str, holds: bool
):
    found = [case(chosen, 500.0, weight=0.0), case(tested)]
    assert carried(found, log_e=BAR) is holds
    assert not carried([case(chosen, BAR - 1e-9, weight=0.0), case(tested)], log_e=BAR)
    assert grounds.kinds(found, BAR) == {grounds.kind(case(tested))}
    assert grounds.combined(found) == pytest.approx(30.0)
    assert not carried_unnamed(found, log_e=BAR)


def test_cards_and_devices_that_chose_the_candidate_are_not_enough_together():
    both = [case("shared_payment", 500.0, weight=0.0), case("shared_device", 500.0, weight=0.0)]
    assert not carried(both, log_e=BAR)
    assert not carried([both[0], case("shared_payment", 500.0)], log_e=BAR), "of one kind"


def test_no_tests_carry_nothing_and_are_no_evidence():
    assert not carried([], log_e=0.0)
    assert not carried_unnamed([], log_e=0.0)
    assert grounds.combined([]) == 0.0
    assert grounds.kinds([], 0.0) == set()


# A recognised role: two kinds, one of them proof against clones.


@pytest.mark.parametrize(
    ("names", "holds"),
    [
        (("taken_in_turn", "exchangeable_topics"), True),
        (("swept_items", "even_load"), True),
        (("shared_payment", "even_load"), True),
        (("shared_payment", "shared_device"), True),
        (("redeemed_by_another", "even_load"), True),
        (("even_load", "exchangeable_topics"), False),  # a class of clones: one load, one topic
        (("even_load", "taken_in_turn"), False),  # two tests of one kind, the load
        (("exchangeable_topics", "swept_items", "stepped_parameters"), False),  # all content
        (("shared_payment",), False),
    ],
)
def test_two_kinds_one_of_them_proof_against_clones(names: tuple[str, ...], holds: bool):
    assert carried(cases(*names), log_e=BAR) is holds


@pytest.mark.parametrize("rule", ["named", "unnamed"])
def test_each_kind_must_reach_the_bar_alone(rule: str):
    bar = BAR if rule == "named" else 20.0
    holds = carried if rule == "named" else lambda t, *, log_e: carried_unnamed(t, log_e=log_e)
    assert holds([case("shared_payment", bar), case("taken_in_turn", bar)], log_e=bar)
    assert not holds([case("shared_payment", bar), case("taken_in_turn", bar - 1e-9)], log_e=bar)
    assert not holds([case("shared_payment", bar - 1e-9), case("taken_in_turn", bar)], log_e=bar)


# No recognised role: stronger, of shared-out work, proof against clones and clocks alike.


def test_without_a_role_each_kind_needs_twenty_bits_however_low_the_bar():
    assert pytest.approx(20 * np.log(2)) == UNNAMED
    enough, less = cases("swept_items", log_e=UNNAMED), cases("even_load", log_e=UNNAMED - 1e-9)
    assert carried([*enough, *less], log_e=1.0)
    assert not carried_unnamed([*enough, *less], log_e=1.0)
    assert carried_unnamed([*enough, case("even_load", UNNAMED)], log_e=1.0)


@pytest.mark.parametrize(
    ("names", "holds"),
    [
        (("swept_items", "even_load"), True),
        (("shared_payment", "taken_in_turn"), True),
        (("redeemed_by_another", "exchangeable_topics"), True),
        (("began_after_bans", "even_arrivals"), True),
        (("shared_payment", "shared_device"), False),  # nothing shows that work is shared out
        (("redeemed_by_another", "retried_by_another"), False),
        (("redeemed_by_another", "shared_payment"), True),  # work that passes between accounts on one card
        (("taken_in_turn", "exchangeable_topics"), False),  # clones on a clock
        (("even_arrivals", "taken_in_turn"), True),  # clocks fall at random beside each other
        (("spaced_apart", "taken_in_turn"), True),
        (("spaced_apart", "even_arrivals"), False),  # one kind, and a vendor's queue gives both
        (("spaced_apart", "even_load"), False),
        (("spaced_apart", "shared_device"), True),
        (("taken_in_turn", "turned_together", "stepped_parameters"), False),  # clocks only
        (("even_arrivals", "turned_together", "stepped_parameters"), False),
        (("swept_items", "stepped_parameters"), False),  # one kind, the content
    ],
)
def test_without_a_role_work_is_shared_out_in_a_way_no_clones_and_no_clocks_give(
    names: tuple[str, ...], holds: bool
):
    assert carried_unnamed(cases(*names), log_e=BAR) is holds


@pytest.mark.parametrize("marginal", sorted(grounds.MARGINAL))
def test_without_a_role_nothing_may_speak_against_one_hand(marginal: str):
    strong = cases("swept_items", "shared_payment")
    assert carried_unnamed([*strong, case(marginal, -UNNAMED + 1e-9)], log_e=BAR)
    assert not carried_unnamed([*strong, case(marginal, -UNNAMED)], log_e=BAR)
    assert carried([*strong, case(marginal, -UNNAMED)], log_e=BAR), "a role says what it is for"


@pytest.mark.parametrize("marginal", sorted(grounds.MARGINAL))
@pytest.mark.parametrize(
    ("names", "through", "steady", "holds"),
    [
        (("shared_payment", "taken_in_turn"), True, 0.9, True),
        (("shared_payment", "taken_in_turn"), False, 0.9, False),
        (("shared_payment", "even_arrivals"), False, grounds.STEADY, True),
        (("shared_payment", "even_arrivals"), False, grounds.STEADY + 0.01, False),
        (("swept_items", "even_arrivals"), True, 0.1, False),  # nothing ties the accounts
    ],
)
def test_camouflaged_loads_are_overruled_by_ties_of_the_lightest_or_a_steady_whole(
    names: tuple[str, ...], through: bool, steady: float, holds: bool, marginal: str
):
    found = [replace(one, value=steady) if one.name == "even_arrivals" else one for one in cases(*names)]
    found.append(case(marginal, -10 * UNNAMED))
    assert carried_unnamed(found, log_e=BAR, through=through) is holds


@pytest.mark.parametrize(
    ("load", "tie", "holds"),
    [
        (UNNAMED, "shared_payment", True),
        (UNNAMED - 0.1, "shared_payment", False),
        (UNNAMED, "shared_device", False),  # a class in its laboratory, each with a subject of its own
        (UNNAMED, "shared_network", False),
    ],
)
def test_own_topics_are_overruled_where_even_loads_show_that_no_crowd_is_around_tied_accounts(
    load: float, tie: str, holds: bool
):
    found = [*cases("swept_items", tie), case("even_load", load), case("exchangeable_topics", -10 * UNNAMED)]
    assert carried_unnamed(found, log_e=BAR) is holds


@pytest.mark.parametrize("against", sorted(grounds.MARGINAL))
@pytest.mark.parametrize(("steady", "holds"), [(grounds.STEADY, True), (grounds.STEADY + 0.01, False)])
def test_ties_that_chose_the_accounts_overrule_beside_a_steady_stream(
    steady: float, holds: bool, against: str
):
    found = [
        case("taken_in_turn", 500.0),
        replace(case("even_arrivals", 500.0), value=steady),
        case(against, -10 * UNNAMED),
        case("shared_payment", 500.0, weight=0.0),
    ]
    assert grounds.stands(found, bar=BAR, named=False, kind="swept", through=False) is holds


@pytest.mark.parametrize(
    ("names", "topics", "against", "holds"),
    [
        (("spaced_apart", "taken_in_turn"), 0.1, "even_load", True),
        (("spaced_apart", "taken_in_turn"), 0.0, "even_load", False),  # a vendor's customers have their own
        (("spaced_apart", "taken_in_turn"), -10 * UNNAMED, "even_load", False),
        (("even_arrivals", "taken_in_turn"), 0.1, "even_load", False),  # a set of clocks, and unequal ones
        (("spaced_apart", "even_arrivals"), 0.1, "even_load", False),  # one kind
    ],
)
@pytest.mark.parametrize(("kind", "may"), [("template", True), ("items", False)])
def test_uneven_loads_are_overruled_where_the_lightest_keep_apart_and_all_have_one_mix(
    names: tuple[str, ...], topics: float, against: str, holds: bool, kind: str, may: bool
):
    found = [*cases(*names), case("exchangeable_topics", topics), case(against, -10 * UNNAMED)]
    assert grounds.stands(found, bar=BAR, named=False, kind=kind, through=False) is (holds and may)
    weak = [replace(one, log_e=UNNAMED - 0.1) if one.name == "spaced_apart" else one for one in found]
    assert not grounds.stands(weak, bar=BAR, named=False, kind=kind, through=False)


def test_with_a_role_one_queue_is_one_kind():
    queue = cases("spaced_apart", "even_arrivals")
    assert not carried(queue, log_e=BAR)
    assert carried([*queue, case("taken_in_turn")], log_e=BAR)
    for marginal in grounds.MARGINAL:
        assert not carried(cases("spaced_apart", marginal), log_e=BAR), "one worker and equal customers"


@pytest.mark.parametrize(("crowd", "goes"), [(0, True), (120, False)])
def test_ties_of_a_campaign_inside_a_crowd_do_not_go_through(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer], crowd: int, goes: bool
):
    # 120 accounts on 30 cards that send a lot; around them a crowd that used the same text once, each with its own card.
    rng = np.random.default_rng(0)
    who = np.concatenate(
        [np.repeat(np.arange(120), 1 + rng.poisson(rng.lognormal(2, 1, 120))), 120 + np.arange(crowd)]
    )
    log = make_log(who, time=np.zeros(who.size))
    holds = [(p, f"{p % 30}" if p < 120 else f"own-{p}") for p in range(1000)]
    layer = make_layer("payment", holds, 1000)
    seen = evidence.view(log, Candidate("template", np.arange(who.size), np.zeros(0, np.int64)))
    assert grounds.goes_through(log, seen, {"payment": layer}) is goes


@pytest.mark.parametrize(("crowd", "goes"), [(0, True), (120, False)])
def test_turns_of_a_campaign_inside_a_crowd_do_not_go_through(
    make_log: Callable[..., Log], crowd: int, goes: bool
):
    # Sixty accounts of very unequal weights, each at evenly spaced times; around them customers with a few random ones.
    rng = np.random.default_rng(1)
    weights = 2 + rng.poisson(rng.lognormal(2, 1, 60))
    who = np.concatenate([np.repeat(np.arange(60), weights), np.repeat(60 + np.arange(crowd), 2)])
    nth = np.concatenate([np.arange(one) for one in weights])
    mine = (nth + rng.random(60)[who[: nth.size]]) / weights[who[: nth.size]]
    time = (np.concatenate([mine, rng.random(2 * crowd)]) * 24 * HOUR).astype(np.int64)
    order = np.argsort(time)
    log = make_log(who[order], time=time[order])
    seen = evidence.view(log, Candidate("template", np.arange(who.size), np.zeros(0, np.int64)))
    assert grounds.goes_through(log, seen, {}) is goes


def test_who_was_found_by_their_items_must_work_through_a_pool():
    assert carried_unnamed(cases("shared_payment", "taken_in_turn"), log_e=BAR)
    assert not carried_unnamed(cases("shared_payment", "taken_in_turn"), log_e=BAR, by_items=True)
    assert carried_unnamed(cases("shared_payment", "taken_in_turn", "swept_items"), log_e=BAR, by_items=True)
    weak = [*cases("shared_payment", "taken_in_turn"), case("swept_items", UNNAMED - 1e-9)]
    assert not carried_unnamed(weak, log_e=BAR, by_items=True)


NAMES = st.lists(st.sampled_from([*evidence.DECISIVE, "shared_network"]), unique=True, max_size=9)
SIZES = st.lists(st.floats(-5, 60), min_size=9, max_size=9)


@given(NAMES, SIZES, st.booleans())
def test_more_evidence_never_weakens_an_accusation(names: list[str], sizes: list[float], by_items: bool):
    found = [case(name, size) for name, size in zip(names, sizes, strict=False)]
    for left_out in names:
        rest = grounds.without(found, left_out)
        assert carried(found, log_e=BAR) >= carried(rest, log_e=BAR)
        assert carried_unnamed(found, log_e=BAR, by_items=by_items) >= carried_unnamed(
            rest, log_e=BAR, by_items=by_items
        )
        assert grounds.kinds(rest, BAR) <= grounds.kinds(found, BAR)


@given(NAMES, SIZES, st.booleans())
def test_what_carries_without_a_role_carries_with_one(names: list[str], sizes: list[float], by_items: bool):
    found = [case(name, size) for name, size in zip(names, sizes, strict=False)]
    if carried_unnamed(found, log_e=BAR, by_items=by_items):
        assert carried(found, log_e=BAR)
        assert len(grounds.kinds(found, BAR)) >= 2


@given(NAMES, SIZES)
def test_together_they_are_the_average_of_what_counts(names: list[str], sizes: list[float]):
    found = [case(name, size) for name, size in zip(names, sizes, strict=False)]
    counted = [test for test in found if test.name != "shared_network"]
    mean = np.mean([np.exp(test.log_e) for test in counted]) if counted else 1.0
    assert grounds.combined(found) == pytest.approx(np.log(mean))


@pytest.mark.parametrize("name", ["shared_payment", "taken_in_turn"])
def test_an_accusation_of_two_kinds_falls_without_either(name: str):
    found = cases("shared_payment", "taken_in_turn")
    assert carried(found, log_e=BAR)
    rest = grounds.without(found, name)
    assert [test.name for test in rest] == ["shared_payment", "taken_in_turn"], (
        "what is left out is still told"
    )
    assert not carried(rest, log_e=BAR)
    assert grounds.without(found, "no such test") == found


# Hubs.


def whole(log: Log) -> View:
    rows = np.arange(log.acc.size)
    early = log.screening(rows)
    return View(rows, rows[early], rows[~early], np.unique(log.row_party))


def test_the_hub_is_the_value_that_most_members_hold_not_most_parties(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer]
):
    log = make_log(np.tile(np.arange(8), 30))
    outsiders = [(p, "popular") for p in range(8, 40)]
    held = [*((p, "hub") for p in range(3)), *((p, "small") for p in range(3, 5)), (7, "popular"), *outsiders]
    layer = make_layer("payment", held, 40)
    name, left = grounds.without_hub(log, whole(log), layer) or ("", whole(log))
    assert name == "hub"
    assert left.parties.tolist() == [3, 4, 5, 6, 7]
    for rows in (left.rows, left.screen, left.test):
        assert set(log.row_party[rows].tolist()) == {3, 4, 5, 6, 7}
    assert left.rows.size == 5 * 30
    assert np.array_equal(np.sort(np.concatenate([left.screen, left.test])), left.rows)
    assert np.array_equal(left.test, whole(log).test[np.isin(log.row_party[whole(log).test], left.parties)])


def test_there_is_no_hub_where_members_share_nothing(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer]
):
    log = make_log(np.tile(np.arange(6), 30), party=range(20))
    own = make_layer("device", [(p, f"{p}") for p in range(20)], 20)
    assert grounds.without_hub(log, whole(log), own) is None
    apart = make_layer("device", [(p, "one") for p in range(5, 20)], 20)
    assert grounds.without_hub(log, whole(log), apart) is None, "one member holds it"


@pytest.mark.parametrize("holders", [4, 5, 6])
def test_a_hub_may_leave_nobody(make_log: Callable[..., Log], make_layer: Callable[..., Layer], holders: int):
    log = make_log(np.tile(np.arange(6), 30))
    layer = make_layer("payment", [(p, "card") for p in range(holders)], 6)
    left = grounds.without_hub(log, whole(log), layer)
    assert left is not None
    assert left[1].parties.tolist() == list(range(holders, 6))


@pytest.mark.parametrize(
    ("work", "tie", "holds"),
    [
        ("taken_in_turn", UNNAMED, True),
        ("even_arrivals", UNNAMED, True),
        ("shared_device", UNNAMED, False),
        ("taken_in_turn", UNNAMED - 0.1, False),
    ],
)
def test_ties_that_chose_a_doubtful_candidate_are_one_kind_beside_work_that_is_shared_out(
    work: str, tie: float, holds: bool
):
    tests = [case(work, UNNAMED), case("shared_payment", tie, weight=0.0)]
    assert carried_unnamed(tests, log_e=BAR, by_ties=True) is holds
    assert not carried_unnamed(tests, log_e=BAR)


# What tied accounts send, whatever it is.


@pytest.mark.parametrize(
    ("kind", "tests", "holds"),
    [
        ("swept", {"swept_items", "taken_in_turn"}, True),
        ("swept", {"swept_items"}, False),  # a class with an exercise for each, in its laboratory
        ("swept", {"taken_in_turn"}, False),  # a relay of real customers
        ("swept", {"taken_in_turn", "even_arrivals"}, True),  # what customers ask comes at random
        ("swept", {"even_arrivals"}, False),  # nobody deals
        ("items", {"taken_in_turn", "even_arrivals"}, False),  # a pool that nobody works through is none
        ("texts", {"taken_in_turn"}, True),
        ("texts", {"swept_items", "even_load"}, False),
        ("tied", {"swept_items"}, True),
    ],
)
def test_accounts_chosen_by_ties_alone_must_be_dealt_to(kind: str, tests: set[str], holds: bool):
    found = [*cases(*sorted(tests)), case("shared_payment", 500.0, weight=0.0)]
    assert grounds.stands(found, bar=BAR, named=False, kind=kind, through=False) is holds


@pytest.mark.parametrize(
    ("pace", "turns", "tie", "holds"),
    [
        (BAR, UNNAMED, UNNAMED, True),
        (BAR - 0.1, 500.0, 500.0, False),  # a relay may be as steady by chance
        (BAR, UNNAMED - 0.1, 500.0, False),
        (BAR, 500.0, UNNAMED - 0.1, False),
    ],
)
def test_beside_ties_and_turns_a_pace_need_only_pass_the_bar(
    pace: float, turns: float, tie: float, holds: bool
):
    found = [
        case("even_arrivals", pace),
        case("taken_in_turn", turns),
        case("shared_payment", tie, weight=0.0),
    ]
    found += [case("even_load", 500.0)]  # so that it is not the average that falls short
    assert grounds.stands(found, bar=BAR, named=False, kind="swept", through=False) is holds
    assert not grounds.stands(found, bar=BAR, named=False, kind="items", through=False)


@pytest.mark.parametrize(("name", "log_e", "holds"), [
    ("shared_payment", UNNAMED, True), ("shared_device", UNNAMED, True),
    ("shared_payment", UNNAMED - 0.1, False), ("shared_network", 500.0, False),
])  # fmt: skip
def test_one_hand_behind_all_is_asked_for_where_cards_or_devices_bind(name: str, log_e: float, holds: bool):
    assert grounds.bound([case(name, log_e)]) is holds
