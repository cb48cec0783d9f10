"""Membership: planted bystanders are told from members; a probability, whoever the parties are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.campaigns import members, rotation, spacing
from spiritsafe.campaigns.log import HOUR
from spiritsafe.campaigns.members import membership

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]
    MakeLayer = Callable[..., Layer]

SEEDS = 100
MINUTE = HOUR // 60


def planted(
    rng: np.random.Generator, *, members: int, beside: int, load: float, role: float, shape: float
) -> dict[str, Any]:
    """Members 0, 1, … with gamma loads that nearly all play the role; then bystanders with a geometric few that do not."""
    many = np.maximum(1, rng.poisson(rng.gamma(shape, load / shape, members)))
    who = np.repeat(np.arange(members + beside), np.concatenate([many, rng.geometric(0.6, beside)]))
    plays = np.where(who < members, rng.random(who.size) < role, rng.random(who.size) < 0.1)
    order = rng.permutation(who.size)
    return {"who": who[order], "roles": plays[order].astype(int)}


# Expected precision and recall, and why it is not one.
CASES: dict[str, tuple[dict[str, Any], float, float]] = {
    "a small campaign": ({"members": 30, "beside": 10, "load": 40, "role": 0.95, "shape": 8}, 0.99, 0.99),
    "nobody beside": ({"members": 50, "beside": 0, "load": 40, "role": 0.95, "shape": 8}, 1.0, 0.99),
    "many beside": ({"members": 20, "beside": 100, "load": 40, "role": 0.95, "shape": 8}, 0.97, 0.99),
    "light members": ({"members": 200, "beside": 20, "load": 3, "role": 0.95, "shape": 10}, 0.97, 0.96),
    "very unequal members": ({"members": 50, "beside": 20, "load": 40, "role": 0.95, "shape": 1}, 0.99, 0.94),
    "half of the work has no role": (
        {"members": 50, "beside": 20, "load": 20, "role": 0.5, "shape": 4},
        0.98,
        0.96,
    ),
    "no role at all": ({"members": 30, "beside": 10, "load": 40, "role": 0.0, "shape": 8}, 0.99, 0.96),
}


@pytest.mark.parametrize("name", CASES)
def test_members_are_told_from_bystanders(make_log: MakeLog, name: str):
    case, precise, complete = CASES[name]
    precision, recall = [], []
    for seed in range(SEEDS):
        log = make_log(**planted(np.random.default_rng(seed), **case))
        parties, probability = membership(log, np.arange(log.acc.size))
        chosen = parties[probability >= 0.5]
        precision.append((chosen < case["members"]).mean())
        recall.append(np.isin(np.arange(case["members"]), chosen).mean())
    assert np.mean(precision) >= precise
    assert np.mean(recall) >= complete


def test_of_all_that_tied_parties_send_only_the_role_tells_members(make_log: MakeLog):
    # Members' own work is half of their traffic; ordinary customers of any size hardly ever play the role.
    precision, recall = [], []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        many = 1 + np.floor(rng.pareto(1.0, 60) * 10).astype(int).clip(0, 500)
        who = np.repeat(np.arange(60), many)
        log = make_log(who, roles=rng.random(who.size) < np.where(who < 20, 0.5, 0.003))
        parties, probability = membership(log, np.arange(who.size), whole=True)
        chosen = parties[probability >= 0.5]
        seen = np.flatnonzero(many[:20] >= 10)
        precision.append((chosen < 20)[many[chosen] >= 10].mean())
        recall.append(np.isin(seen, chosen).mean())
    assert np.mean(precision) >= 0.97
    assert np.mean(recall) >= 0.98


def test_probabilities_mean_what_they_say_where_members_and_bystanders_are_hard_to_tell(make_log: MakeLog):
    said, true = [], []
    for seed in range(SEEDS):
        log = make_log(
            **planted(np.random.default_rng(seed), members=60, beside=40, load=5, role=0.9, shape=1.5)
        )
        parties, probability = membership(log, np.arange(log.acc.size))
        said.append(probability)
        true.append(parties < 60)
    chance, member = np.concatenate(said), np.concatenate(true)
    assert member[chance > 0.9].mean() >= 0.9
    assert member[chance < 0.1].mean() <= 0.1
    assert abs(chance.mean() - member.mean()) <= 0.1


def test_who_has_nothing_of_the_text_that_all_others_have_is_beside(make_log: MakeLog):
    # Two hundred share a template; four were gathered with them for one exchange of their own that plays the role by chance.
    wrong, missed = [], []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        many = np.concatenate([1 + rng.poisson(3, 200), np.ones(4, int)])
        who = np.repeat(np.arange(204), many)
        log = make_log(who, roles=np.ones(who.size), template=np.where(who < 200, 0, -1))
        parties, probability = membership(log, np.arange(who.size))
        wrong.append((probability[parties >= 200] >= 0.5).mean())
        missed.append((probability[parties < 200] < 0.5).mean())
    assert np.mean(wrong) <= 0.01
    assert np.mean(missed) <= 0.02


def test_a_judge_in_other_words_is_no_member_and_the_busiest_member_is_one(make_log: MakeLog):
    # Every exchange plays the role: 200 light accounts of one template, and four honest judges with another, far busier.
    rng = np.random.default_rng(0)
    many = np.concatenate([1 + rng.poisson(3, 199), [40], np.full(4, 50)])
    who = np.repeat(np.arange(204), many)
    log = make_log(who, roles=np.ones(who.size), template=np.where(who < 200, 0, 1))
    parties, probability = membership(log, np.arange(who.size))
    assert probability[parties < 200].min() > 0.5
    assert probability[parties >= 200].max() < 0.5


def test_a_role_that_few_play_makes_nobody_a_member(make_log: MakeLog):
    # No role is the campaign's; a harness on the same items asks for steps in all of its 200 exchanges.
    rng = np.random.default_rng(0)
    many = np.concatenate([1 + rng.poisson(26, 100), [200]])
    who = np.repeat(np.arange(101), many)
    log = make_log(who, roles=who == 100, template=np.zeros(who.size))
    parties, probability = membership(log, np.arange(who.size))
    assert probability[parties < 100].min() > 0.5
    assert probability[parties == 100].max() < 0.5


def test_three_with_other_text_and_most_traffic_elsewhere_do_not_shelter_each_other(make_log: MakeLog):
    # 50 members send one template; two harnesses and a student have 30 % of their traffic in an item pool near it.
    who = np.concatenate([np.repeat(np.arange(50), 26), np.full(24, 50), np.full(48, 51), np.full(18, 52)])
    inside = who.size
    elsewhere = np.concatenate([np.full(56, 50), np.full(112, 51), np.full(60, 52)])
    everything = np.concatenate([who, elsewhere])
    log = make_log(everything, roles=np.zeros(everything.size), template=np.where(everything < 50, 0, 1))
    parties, probability = membership(log, np.arange(inside))
    assert probability[parties < 50].min() > 0.5
    assert probability[parties >= 50].max() < 0.5


def test_who_shares_nothing_where_all_others_do_needs_more_to_belong(
    make_log: MakeLog, make_layer: MakeLayer
):
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(60), 1 + rng.poisson(5, 60))
    log = make_log(who, roles=rng.random(who.size) < 0.5, template=np.zeros(who.size))
    cards = make_layer("payment", ((party, f"card {party % 4}") for party in range(58)), 60)
    without = membership(log, np.arange(who.size))[1]
    with_ties = membership(log, np.arange(who.size), layers={"payment": cards})[1]
    assert (with_ties[58:] < without[58:]).all()
    assert ((with_ties[:58] > 0.5) == (without[:58] > 0.5)).all()


@pytest.mark.parametrize("worded", ["each its own words", "a few wordings"])
def test_where_text_differs_anyway_it_speaks_against_nobody(make_log: MakeLog, worded: str):
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(40), 5)
    template = np.full(who.size, -1) if worded == "each its own words" else rng.integers(0, 8, 40)[who]
    _, probability = membership(
        make_log(who, roles=np.ones(who.size), template=template), np.arange(who.size)
    )
    assert probability.min() > 0.9


ROWS = st.lists(st.tuples(st.integers(0, 7), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=60)
@given(ROWS, st.randoms(), st.permutations(range(8)))
def test_neither_the_order_of_exchanges_nor_the_names_of_parties_matter(
    make_log: MakeLog, rows: list[tuple[int, bool]], random: Any, name: list[int]
):
    who, plays = np.array([p for p, _ in rows]), np.array([r for _, r in rows], int)
    order = np.array(random.sample(range(who.size), who.size))
    time = np.arange(who.size) * 60_000_000
    parties, plain = membership(make_log(who, roles=plays, time=time), np.arange(who.size))
    named = make_log(np.array(name)[who][order], roles=plays[order], time=time[order])
    others, moved = membership(named, np.arange(who.size))
    assert np.array_equal(parties, np.unique(who))
    assert ((plain >= 0) & (plain <= 1)).all()
    told = dict(zip(others.tolist(), moved.tolist(), strict=True))
    np.testing.assert_allclose([told[name[p]] for p in parties], plain, atol=1e-9)


def test_two_parties_are_too_few_to_tell_apart(make_log: MakeLog):
    log = make_log([0] * 50 + [1], roles=[1] * 50 + [0])
    parties, probability = membership(log, np.arange(51))
    assert parties.tolist() == [0, 1]
    assert probability.tolist() == [1.0, 1.0]


def test_all_the_same_are_all_members(make_log: MakeLog):
    for each in (1, 2, 50, 5000):
        log = make_log(np.repeat(np.arange(6), each), roles=np.ones(6 * each, int))
        assert (membership(log, np.arange(6 * each))[1] > 0.5).all()


def test_one_giant_does_not_push_the_others_out(make_log: MakeLog):
    who = np.concatenate([np.zeros(100_000, int), np.repeat(np.arange(1, 30), 40)])
    log = make_log(who, roles=np.ones(who.size, int))
    parties, probability = membership(log, np.arange(who.size))
    assert np.isfinite(probability).all()
    assert (probability[1:] > 0.5).all()
    assert parties.size == 30


def test_rows_of_others_do_not_count(make_log: MakeLog):
    rng = np.random.default_rng(0)
    columns = planted(rng, members=20, beside=10, load=30, role=0.9, shape=8)
    size = columns["who"].size
    alone = membership(make_log(**columns), np.arange(size))
    more = {
        "who": np.concatenate([columns["who"], rng.integers(30, 60, 500)]),
        "roles": np.concatenate([columns["roles"], rng.integers(0, 2, 500)]),
    }
    among = membership(make_log(**more), np.arange(size))
    assert np.array_equal(alone[0], among[0])
    assert np.array_equal(alone[1], among[1])


def mixing(rng: np.random.Generator, *, own: float) -> dict[str, Any]:
    """Forty members draw 20 of 30 templates each, with this Dirichlet concentration of their own; one asks one 14 times."""
    members, kinds = 40, 30
    taken = [rng.choice(kinds, 20, p=rng.dirichlet(np.full(kinds, own / kinds))) for _ in range(members)]
    who = np.concatenate([np.repeat(np.arange(members), 20), np.full(14, members)])
    template = np.concatenate([*taken, np.zeros(14, np.int64)])
    return {"who": who, "template": template, "roles": np.zeros(who.size, np.int64)}


def test_who_asks_one_thing_again_and_again_is_no_member_where_members_draw_from_one_mix(make_log: MakeLog):
    kept = []
    for seed in range(SEEDS):
        log = make_log(**mixing(np.random.default_rng(seed), own=1e6))
        parties, probability = membership(log, np.arange(log.acc.size))
        assert probability[parties == 40][0] < 0.5
        kept.append((probability[parties < 40] >= 0.5).mean())
    assert np.mean(kept) > 0.995


def test_where_members_have_texts_of_their_own_the_mix_excludes_nobody(make_log: MakeLog):
    for seed in range(20):
        log = make_log(**mixing(np.random.default_rng(seed), own=2.0))
        parties, probability = membership(log, np.arange(log.acc.size))
        assert (probability[parties < 40] >= 0.5).mean() > 0.97


def test_a_card_in_common_speaks_for_who_sends_little_or_much(make_log: MakeLog, make_layer: MakeLayer):
    # No role; loads over three orders of magnitude; four accounts a card. Strangers use the text once or twice.
    lost, wrong = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        many = 1 + rng.poisson(rng.lognormal(2, 1.5, 60))
        who = np.repeat(np.arange(80), np.concatenate([many, rng.geometric(0.6, 20)]))
        log = make_log(who, party=np.arange(1000))
        holds = [(p, f"card {p // 4}" if p < 60 else f"own {p}") for p in range(1000)]
        parties, probability = membership(
            log, np.arange(who.size), layers={"payment": make_layer("payment", holds, 1000)}
        )
        chosen = parties[probability >= 0.5]
        lost.append(60 - (chosen < 60).sum())
        wrong.append((chosen >= 60).sum())
    assert np.mean(lost) <= 1
    assert np.mean(wrong) <= 1


@pytest.mark.parametrize(("hasty", "stay"), [(3, False), (12, True)])
def test_a_benchmarks_run_of_the_campaigns_items_makes_no_member_unless_many_are_hasty(
    make_log: MakeLog, hasty: int, stay: bool
):
    # Each of twenty sends the text through the day; some others send it, with the role, eighty times in six minutes.
    rng = np.random.default_rng(0)
    slow, day, run = 20, 24 * 3_600_000_000, 360_000_000
    who = np.concatenate([np.repeat(np.arange(slow), 26), np.repeat(slow + np.arange(hasty), 80)])
    time = np.concatenate([rng.integers(0, day, slow * 26), day // 2 + rng.integers(0, run, hasty * 80)])
    order = np.argsort(time, kind="stable")
    log = make_log(
        who[order],
        time=time[order],
        template=np.zeros(who.size, np.int64),
        roles=np.ones(who.size, np.int64),
    )
    parties, probability = membership(log, np.arange(who.size))
    kept = probability >= 0.5
    assert kept[:slow].all()
    assert kept[slow:].all() == stay
    assert kept[slow:].any() == stay
    assert parties.size == slow + hasty


def in_turns(*, students: int, together: bool) -> tuple[dict[str, Any], list[tuple[int, object]]]:
    """Forty members dealt to in turn, twelve rounds; students who ask ten of the items within the hour, each when it suits him.

    Most members hold cards by pairs, students none or, ``together``, one between them.
    """
    rng = np.random.default_rng(11)
    members, rounds = 40, 12
    time = np.arange(members * rounds) * 60_000_000
    late = np.sort(
        rng.integers(0, time[-1], (students, 1)) + rng.exponential(3e8, (students, 10)).astype(np.int64)
    )
    who = np.concatenate([np.tile(np.arange(members), rounds), np.repeat(members + np.arange(students), 10)])
    when = np.concatenate([time, late.ravel()])
    held: list[tuple[int, object]] = [(p, f"card {p // 2 if p < 24 else p}") for p in range(members)]
    held += [(members + p, "class" if together else f"own {p}") for p in range(students)]
    order = np.argsort(when, kind="stable")
    return {"who": who[order], "time": when[order], "template": np.zeros(who.size, np.int32)}, held


@pytest.mark.parametrize("together", [False, True])
def test_where_members_take_turns_who_takes_none_is_beside(
    make_log: MakeLog, make_layer: MakeLayer, *, together: bool
):
    columns, held = in_turns(students=3, together=together)
    log = make_log(**columns)
    rows, layers = np.arange(log.acc.size), {"payment": make_layer("payment", held, log.parties)}
    shown = rotation.turns(log, rows)
    assert (shown[:40] > np.log(100)).all()
    assert (shown[40:] < 0).all()
    blind = membership(log, rows, layers=layers)[1]
    parties, probability = membership(log, rows, layers=layers, turns=shown)
    assert (blind[40:] >= 0.5).any()  # load and text alone do not tell them
    assert parties[probability >= 0.5].tolist() == list(range(40))


def test_turns_speak_against_nobody_where_hardly_anybody_takes_any(make_log: MakeLog, make_layer: MakeLayer):
    rng = np.random.default_rng(3)
    who = rng.permutation(np.repeat(np.arange(40), 12))
    log = make_log(who, time=np.arange(who.size) * 60_000_000, template=np.zeros(who.size, np.int32))
    layers = {"payment": make_layer("payment", [(p, p // 2) for p in range(40)], 40)}
    rows = np.arange(who.size)
    with_turns = membership(log, rows, layers=layers, turns=rotation.turns(log, rows))[1]
    assert np.array_equal(with_turns, membership(log, rows, layers=layers)[1])


@pytest.mark.parametrize("gap", [20, 48])
@pytest.mark.parametrize("uses", [1, 2, 3])
@pytest.mark.parametrize("crowd", [10, 40])
def test_light_members_of_an_uneven_queue_stay_where_they_keep_out_of_the_way(
    make_log: MakeLog, uses: int, crowd: int, gap: int
):
    """Sixty accounts of very unequal loads share one paced stream; bystanders use the text a few times, when they like."""
    without, told, beside = [], [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        time = np.sort((np.arange(1_800) + rng.random(1_800)) * gap * MINUTE // 60)
        weight = rng.lognormal(0, 1.5, 60)
        who = rng.choice(60, time.size, p=weight / weight.sum())
        who = np.concatenate([who, np.repeat(60 + np.arange(crowd), uses)])
        time = np.concatenate([time, rng.uniform(0, time[-1], crowd * uses)]).astype(np.int64)
        order = np.argsort(time, kind="stable")
        log = make_log(who[order], time=time[order], template=np.zeros(who.size, np.int32))
        rows = np.arange(who.size)
        parties, blind = membership(log, rows)
        shown = membership(log, rows, apart=spacing.apart(log, rows))[1]
        member = parties < 60
        without.append((blind[member] >= 0.5).mean())
        told.append((shown[member] >= 0.5).mean())
        beside.append((shown[~member] >= 0.5).mean() - (blind[~member] >= 0.5).mean())
    assert np.mean(told) >= np.mean(without)
    assert uses > 1 or np.mean(told) >= np.mean(without) + 0.03
    assert np.mean(beside) <= 0.01, "hardly more of those beside than without"


def test_who_sent_once_has_no_rhythm_and_a_little_is_chance(make_log: MakeLog):
    who = np.repeat(np.arange(40), 10)
    who = np.concatenate([who, [40], [41, 41]])
    log = make_log(who, template=np.zeros(who.size, np.int32))
    rows = np.arange(who.size)
    blind = membership(log, rows)[1]
    for shown in (0.0, 2.0, 4.0, -4.0):
        told = membership(log, rows, apart=np.full(42, shown))[1]
        assert told[40] == blind[40]
        assert (told[41] > blind[41]) == (shown > 2)
        assert (told[41] < blind[41]) == (shown < 0)


@pytest.mark.parametrize("seed", range(10))
def test_of_accounts_that_harvest_in_part_the_rest_is_other_people_s_unless_it_is_paced(
    make_log: Callable[..., Log], seed: int
):
    rng = np.random.default_rng(seed)
    day, parties, total = 24 * HOUR, 40, 1_600
    even = ((np.arange(total) + rng.random(total)) / total * day).astype(np.int64)
    known = rng.random(total) < 0.5
    all_dealt = make_log(rng.integers(parties, size=total), time=even, roles=known.astype(np.uint64))
    rows = np.arange(total)
    assert members.working(all_dealt, rows).tolist() == rows.tolist(), (
        "one queue: what plays no role is its work, too"
    )
    # The same harvest, and as much of what customers ask, each when he likes, in sittings of four.
    sitting = np.repeat(rng.random((total - known.sum()) // 4 + 1) * day, 4)[: total - known.sum()]
    time = even.copy()
    time[~known] = np.minimum(sitting + rng.exponential(60e6, sitting.size), day)
    order = np.argsort(time, kind="stable")
    resold = make_log(
        rng.integers(parties, size=total), time=time[order], roles=known[order].astype(np.uint64)
    )
    assert members.working(resold, rows).tolist() == np.flatnonzero(known[order]).tolist()
