"""Verdicts on planted scenes: who is accused, on what it rests, and who never is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns import clusters, grounds, intent, verdicts
from spiritsafe.campaigns.coordination import Test
from spiritsafe.campaigns.evidence import Margins, View
from spiritsafe.campaigns.log import HOUR
from spiritsafe.campaigns.naming import names
from spiritsafe.campaigns.verdict import Verdict
from spiritsafe.campaigns.verdicts import stands
from spiritsafe.settings import Jointly, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]
    MakeLayer = Callable[..., Layer]

MEMBERS, OTHERS, BESIDE = 30, 300, 6
EVERYONE = MEMBERS + OTHERS
GRADE, TRANSLATE = 1, 2
REFERENCE = intent.shipped()


def scene(
    rng: np.random.Generator, *, each: int = 24, hours: int = 12, same: bool = False, beside: int = BESIDE
) -> dict[str, Any]:
    """Thirty parties take turns with one template, each on its own topic; others do as they please.

    Six of the others try the template once, without its role. ``same``: each member does the same items.
    """
    turns = np.concatenate([rng.permutation(MEMBERS) for _ in range(each)])
    other = np.repeat(np.arange(MEMBERS, EVERYONE), 1 + rng.geometric(0.2, OTHERS))
    who = np.concatenate([turns, other])
    time = np.concatenate(
        [np.sort(rng.integers(0, hours * HOUR, turns.size)), rng.integers(0, hours * HOUR, other.size)]
    )
    template = np.concatenate([np.zeros(turns.size, int), np.full(other.size, -1)])
    curious = turns.size + np.flatnonzero(np.diff(other, prepend=-1))[:beside]
    template[curious] = 0
    item = np.arange(who.size)
    if same:
        nth = np.empty(turns.size, int)
        for p in range(MEMBERS):
            nth[turns == p] = np.arange(each)
        item[: turns.size] = nth
    plays = np.where((np.arange(who.size) < turns.size) & (rng.random(who.size) < 0.95), GRADE, 0)
    return {"who": who, "time": time, "template": template, "item": item, "roles": plays}


def own_topics(rng: np.random.Generator, who: Any) -> Any:
    taste = rng.normal(0, 40, (EVERYONE, 8))
    return np.clip(taste[who] + rng.normal(0, 15, (who.size, 8)), -127, 127).astype(np.int8)


def cards(make_layer: MakeLayer, group: Callable[[int], object]) -> dict[str, Layer]:
    """Members hold the card ``group(p)``; everyone else has one of his own."""
    held = [(p, f"card {group(p)}" if p < MEMBERS else f"own {p}") for p in range(EVERYONE)]
    return {"payment": make_layer("payment", held, EVERYONE)}


def judged(log: Log, layers: dict[str, Layer], projections: Any, **more: Any) -> list[Verdict]:
    found = clusters.candidates(log, layers, seed=0)
    return verdicts.verdicts(
        log,
        found,
        layers,
        projections,
        reference=REFERENCE,
        margins=Margins(),
        settings=Settings(),
        **more,
    ).told


def accused(told: list[Verdict]) -> list[Verdict]:
    return [one for one in told if one.label == "campaign"]


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_campaign_is_accused_and_nobody_beside_it(
    make_log: MakeLog, make_layer: MakeLayer, seed: int
):
    rng = np.random.default_rng(seed)
    columns = scene(rng)
    log = make_log(**columns)
    steps: list[tuple[int, int]] = []
    told = judged(
        log,
        cards(make_layer, lambda p: p // 3),
        own_topics(rng, columns["who"]),
        progress=lambda done, total: steps.append((done, total)),
    )
    (one,) = accused(told)
    assert one.parties.tolist() == list(range(MEMBERS))
    assert (log.row_party[one.rows] < MEMBERS).all()
    assert one.rows.size == MEMBERS * 24
    assert (one.probability >= 0.5).all()
    assert one.candidate.kind == "template"
    assert one.log_e >= one.bar
    assert steps[-1][0] == steps[-1][1] == len(steps)


def test_judging_in_several_processes_changes_nothing(
    make_log: MakeLog, make_layer: MakeLayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rng = np.random.default_rng(3)
    columns = scene(rng)
    log, points = make_log(**columns), own_topics(rng, columns["who"])
    layers = cards(make_layer, lambda p: p // 3)
    here = judged(log, layers, points)
    monkeypatch.setattr(verdicts, "_WORTH", 0.0)
    steps: list[tuple[int, int]] = []
    monkeypatch.setattr(verdicts, "_LARGE", 0)
    with verdicts.helpers(log, Settings(), tmp_path) as pool:
        spread = judged(log, layers, points, pool=pool, progress=lambda *step: steps.append(step))
    assert [done for done, _ in steps] == list(range(1, len(steps) + 1))
    assert len(here) == len(spread) > 0
    for one, other in zip(here, spread, strict=True):
        assert (one.tests, one.log_e, one.hypotheses) == (other.tests, other.log_e, other.hypotheses)
        assert np.array_equal(one.rows, other.rows)
        assert np.array_equal(one.probability, other.probability)


def test_the_accusation_is_the_same_in_another_order_and_with_more_traffic(
    make_log: MakeLog, make_layer: MakeLayer
):
    rng = np.random.default_rng(0)
    columns = scene(rng)
    points, layers = own_topics(rng, columns["who"]), cards(make_layer, lambda p: p // 3)
    (plain,) = accused(judged(make_log(**columns), layers, points))
    order = rng.permutation(points.shape[0])
    (moved,) = accused(judged(make_log(**{n: c[order] for n, c in columns.items()}), layers, points[order]))
    assert np.array_equal(np.sort(order[moved.rows]), plain.rows)
    assert moved.log_e == pytest.approx(plain.log_e)
    assert np.array_equal(moved.parties, plain.parties)

    more = {
        "who": np.concatenate([columns["who"], rng.integers(MEMBERS, EVERYONE, 800)]),
        "time": np.concatenate([columns["time"], rng.integers(0, 12 * HOUR, 800)]),
        "template": np.concatenate([columns["template"], np.full(800, -1)]),
        "item": np.concatenate([columns["item"], 100_000 + np.arange(800)]),
        "roles": np.concatenate([columns["roles"], np.zeros(800, int)]),
    }
    wider = np.concatenate([points, own_topics(rng, more["who"][points.shape[0] :])])
    (among,) = accused(judged(make_log(**more), layers, wider))
    assert np.array_equal(among.rows, plain.rows)
    assert np.array_equal(among.parties, plain.parties)
    assert among.log_e == pytest.approx(plain.log_e)


@pytest.mark.parametrize("why", ["declared", "duplicates", "one organization", "a product", "alone"])
def test_nobody_is_accused(make_log: MakeLog, make_layer: MakeLayer, why: str):
    rng = np.random.default_rng(0)
    columns = scene(rng)
    member = columns["who"] < MEMBERS
    changed: dict[str, Any] = {
        "declared": {"declared": np.arange(EVERYONE) < MEMBERS},
        "duplicates": {"live": ~member},
        "one organization": {"party": np.maximum(np.arange(EVERYONE) - MEMBERS + 1, 0)},
        "a product": {"roles": np.where(member, TRANSLATE, 0)},
        "alone": {"who": np.zeros(member.size, int)},
    }[why]
    parties = EVERYONE if why != "one organization" else OTHERS + 1
    layers = {"payment": make_layer("payment", [(p, f"{p}") for p in range(parties)], parties)}
    if why == "a product":
        layers = cards(make_layer, lambda p: p // 3)
    told = judged(make_log(**{**columns, **changed}), layers, own_topics(rng, columns["who"]))
    assert accused(told) == []


def test_an_empty_log_gives_no_verdict(make_log: MakeLog):
    assert judged(make_log([]), {}, np.zeros((0, 8), np.int8)) == []


def test_a_class_that_does_the_same_task_is_excused_and_told_as_insufficient(
    make_log: MakeLog, make_layer: MakeLayer
):
    rng = np.random.default_rng(0)
    columns = scene(rng, same=True)
    told = judged(make_log(**columns), cards(make_layer, lambda p: p // 3), own_topics(rng, columns["who"]))
    assert accused(told) == []
    assert any(v.label == "insufficient" and v.hypotheses[0].fits == "yes" for v in told)


def test_independent_customers_with_one_prompt_and_one_role_are_never_accused(
    make_log: MakeLog, make_layer: MakeLayer
):
    layers = {"payment": make_layer("payment", [(p, f"{p}") for p in range(80)], 80)}
    found = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        size = np.maximum(1, rng.poisson(rng.gamma(4, 12 / 4, 60)))
        who = np.concatenate([np.repeat(np.arange(60), size), rng.integers(60, 80, 100)])
        template = np.where(who < 60, 0, -1)
        log = make_log(
            who,
            template=template,
            time=rng.integers(0, 12 * HOUR, who.size),
            roles=np.where(who < 60, GRADE, 0),
        )
        taste = rng.normal(0, 40, (80, 8))
        points = np.clip(taste[who] + rng.normal(0, 15, (who.size, 8)), -127, 127).astype(np.int8)
        found += len(accused(judged(log, layers, points)))
    assert found == 0


@pytest.mark.parametrize(
    ("roles", "parties", "accused_parties"),
    [
        (0, MEMBERS, MEMBERS),
        (0, 19, 0),  # too few for elimination
        (TRANSLATE, MEMBERS, 0),  # the work of a product
    ],
)
def test_without_a_role_many_who_sweep_one_pool_are_accused_unless_it_is_a_product(
    make_log: MakeLog, make_layer: MakeLayer, roles: int, parties: int, accused_parties: int
):
    rng = np.random.default_rng(0)
    columns = scene(rng, each=48, beside=0)
    turns = MEMBERS * 48
    columns["item"][:turns] = np.concatenate([rng.permutation(240) for _ in range(6)]) + 1_000_000
    columns["roles"][:turns] = roles
    kept = (columns["who"] < parties) | (columns["who"] >= MEMBERS)
    columns = {name: column[kept] for name, column in columns.items()}
    log = make_log(**columns)
    one_mix = rng.normal(0, 40, (log.acc.size, 8)).astype(np.int8)
    found = accused(judged(log, cards(make_layer, lambda p: p // 3), one_mix))
    assert sum(one.parties.size for one in found) == accused_parties
    for one in found:
        assert not one.named
        assert {t.name for t in one.tests if t.log_e > one.bar} >= {"swept_items", "shared_payment"}


# What it rests on.


def test_a_campaign_that_hangs_on_one_card_falls_without_it_and_one_with_many_stands(
    make_log: MakeLog, make_layer: MakeLayer
):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        columns = scene(rng)
        log, points = make_log(**columns), own_topics(rng, columns["who"])
        (many,) = accused(judged(log, cards(make_layer, lambda p: p // 3), points))
        (hub,) = many.hubs
        assert (hub.layer, hub.parties) == ("payment", 3)
        assert hub.stands
        assert hub.log_e >= many.bar
        (one,) = accused(judged(log, cards(make_layer, lambda p: "x" if p < 20 else p), points))
        (hub,) = one.hubs
        assert (hub.layer, hub.value, hub.parties) == ("payment", "card x", 20)
        assert not hub.stands


@pytest.mark.parametrize("holders", [28, 30])
def test_it_is_told_when_all_or_nearly_all_hangs_on_one_card(
    make_log: MakeLog, make_layer: MakeLayer, holders: int
):
    rng = np.random.default_rng(0)
    columns = scene(rng, beside=0)
    layers = cards(make_layer, lambda p: "x" if p < holders else p)
    (one,) = accused(judged(make_log(**columns), layers, own_topics(rng, columns["who"])))
    assert [hub.stands for hub in one.hubs] == [False]


@pytest.mark.parametrize("shared", [True, False])
def test_shared_cards_that_chose_the_group_are_a_second_kind_and_no_e_value(
    make_log: MakeLog, make_layer: MakeLayer, shared: bool
):
    # Without a template only cards and the role propose them, and turns alone are one kind of evidence.
    rng = np.random.default_rng(0)
    columns = scene(rng)
    columns["template"][:] = -1
    layers = cards(make_layer, (lambda _: "one") if shared else (lambda p: p))
    found = accused(judged(make_log(**columns), layers, own_topics(rng, columns["who"])))
    assert len(found) == shared
    for one in found:
        assert one.parties.tolist() == list(range(MEMBERS))
        (payment,) = (test for test in one.tests if test.name == "shared_payment")
        assert (payment.weight == 0) == one.candidate.tied
        assert one.log_e == grounds.combined([test for test in one.tests if test.weight > 0])


# Pools and resellers.


@pytest.mark.parametrize(("templates", "label"), [(1, "pool"), (10, "reseller")])
def test_one_hand_behind_many_accounts_is_a_pool_and_with_many_kinds_of_work_a_reseller(
    make_log: MakeLog, make_layer: MakeLayer, templates: int, label: str
):
    rng = np.random.default_rng(0)
    who = np.concatenate([np.repeat(np.arange(12), 40), np.repeat(np.arange(12, 400), 2)])
    template = np.where(who < 12, np.arange(who.size) % templates, -1)
    log = make_log(
        who,
        template=template,
        roles=np.full(who.size, TRANSLATE),
        time=rng.integers(0, 12 * HOUR, who.size),
    )
    held = [(p, f"card {p // 6}" if p < 12 else f"own {p}") for p in range(400)]
    told = judged(log, {"payment": make_layer("payment", [*held, *((p, "hub") for p in range(12))], 400)},
                  np.zeros((who.size, 8), np.int8))  # fmt: skip
    assert {verdict.label for verdict in told} == {label}
    assert told[0].parties.tolist() == list(range(12))
    assert told[0].probability.tolist() == [1.0] * 12


def dealt_pool(
    rng: np.random.Generator, *, swept: bool, template: Any = -1, each: int = 40, steady: bool = False
) -> tuple[dict[str, Any], Any]:
    """Sixty tied accounts to which a router deals: what they send in no text of their own. 300 others keep to themselves.

    All send the same items; ``swept``: the sixty each item as often as any, and not as popular as it is. ``steady``: what is
    dealt comes at one pace, as from one program, and not at random.
    """
    turns = np.concatenate([rng.permutation(60) for _ in range(each)])
    other = np.repeat(np.arange(60, 360), 4)
    who = np.concatenate([turns, other])
    mine = np.concatenate([rng.permutation(240) for _ in range(1 + turns.size // 240)])[: turns.size]
    if not swept:
        mine = rng.geometric(0.02, turns.size)
    when = np.linspace(0, 12 * HOUR, turns.size, endpoint=False).astype(np.int64)
    if not steady:
        when = np.sort(rng.integers(0, 12 * HOUR, turns.size))
    time = np.concatenate([when, rng.integers(0, 12 * HOUR, other.size)])
    which = np.full(who.size, -1)
    which[: turns.size] = template
    item = np.concatenate([mine, rng.geometric(0.02, other.size)])
    points = rng.normal(0, 40, (who.size, 8)).astype(np.int8)
    return {"who": who, "time": time, "item": item, "template": which}, points


def three_cards(make_layer: MakeLayer) -> dict[str, Layer]:
    """The sixty share cards by threes, by sixes and by sevens."""
    held = [(p, f"card {p // 3}" if p < 60 else f"own {p}") for p in range(360)]
    held += [(p, f"card {p // 6} too") for p in range(60)] + [(p, f"card {p % 7} also") for p in range(60)]
    return {"payment": make_layer("payment", held, 360)}


@pytest.mark.parametrize("swept", [True, False])
def test_a_pool_that_works_through_its_items_in_turn_is_accused_and_a_relay_of_customers_is_not(
    make_log: MakeLog, make_layer: MakeLayer, swept: bool
):
    columns, points = dealt_pool(np.random.default_rng(1), swept=swept)
    told = judged(make_log(**columns), three_cards(make_layer), points)
    assert [one.candidate.kind for one in accused(told)] == (["swept"] if swept else [])
    for one in accused(told):
        assert not one.named
        assert np.isin(one.parties, np.arange(60)).all()
        assert one.parties.size >= 54
    if not swept:
        assert {one.label for one in told} == {"pool"}


@pytest.mark.parametrize("steady", [True, False])
def test_a_pool_of_items_that_never_come_back_is_accused_where_it_is_dealt_out_at_one_pace(
    make_log: MakeLog, make_layer: MakeLayer, steady: bool
):
    columns, points = dealt_pool(np.random.default_rng(2), swept=True, steady=steady)
    columns["item"] = np.arange(columns["who"].size)
    told = judged(make_log(**columns), three_cards(make_layer), points)
    assert [one.candidate.kind for one in accused(told)] == (["swept"] if steady else [])
    for one in accused(told):
        assert np.isin(one.parties, np.arange(60)).all()
        assert one.parties.size >= 54
    if not steady:  # as many customers ask it through a relay
        assert {one.label for one in told} == {"pool"}


@pytest.mark.parametrize("roles", [0, TRANSLATE])
def test_texts_that_tied_accounts_are_dealt_are_one_campaign_unless_they_do_a_products_work(
    make_log: MakeLog, make_layer: MakeLayer, roles: int
):
    rng = np.random.default_rng(2)
    columns, points = dealt_pool(rng, swept=True, each=6, template=rng.integers(0, 8, 360))
    columns["item"] = np.arange(columns["who"].size)
    columns["roles"] = np.where(columns["who"] < 60, roles, 0)
    told = judged(make_log(**columns), three_cards(make_layer), points)
    assert [one.candidate.kind for one in accused(told)] == ([] if roles else ["texts"])
    for one in accused(told):
        assert np.array_equal(one.parties, np.arange(60))


# The rule itself.


def case(name: str, log_e: float) -> Test:
    return Test(name, "", "", "", 0.0, 0.0, log_e, 100, 1.0)


def test_an_accusation_stands_at_the_bar_and_falls_just_below(make_log: MakeLog, make_layer: MakeLayer):
    rng = np.random.default_rng(0)
    columns = scene(rng)
    (one,) = accused(
        judged(make_log(**columns), cards(make_layer, lambda p: p // 3), own_topics(rng, columns["who"]))
    )
    at = replace(one, bar=12.0)
    assert at.named
    assert stands(at, [case("taken_in_turn", 12.0), case("shared_payment", 12.0)])
    assert not stands(at, [case("taken_in_turn", 12.0), case("shared_payment", 11.9)])
    # Two strong ones diluted by many that say nothing: the average must pass the bar too.
    weak = [case(name, 0.0) for name in ("even_load", "swept_items", "even_arrivals")]
    assert not stands(at, [case("taken_in_turn", 12.0), case("shared_payment", 12.0), *weak])
    unnamed = replace(at, p_value=1.0)
    assert not unnamed.named
    assert not stands(unnamed, [case("taken_in_turn", 13.0), case("shared_payment", 13.0)])
    assert stands(unnamed, [case("taken_in_turn", 14.0), case("shared_payment", 14.0)])


@pytest.mark.parametrize(
    ("kind", "score", "p_value", "holds"),
    [
        ("template", 0.1, 0.05, True),
        ("template", 0.099, 0.01, False),
        ("template", 0.9, 0.051, False),
        ("items", 0.1, 0.05, True),
        ("role", 0.02, 0.05, True),
        ("role", 0.019, 0.01, False),
        ("dense", 0.02, 0.05, True),
        ("infrastructure", 0.05, 0.01, False),
    ],
)
def test_a_role_is_recognised_by_its_share_and_by_how_rare_that_is(
    kind: str, score: float, p_value: float, holds: bool
):
    none = np.zeros(0, np.int64)
    made = Verdict(clusters.Candidate(kind, none, none), View(none, none, none, none), score, p_value)
    assert made.named is holds


@pytest.mark.parametrize("joint", [False, True])
def test_what_is_too_small_for_one_log_is_tested_for_joint_evidence_and_told_nobody(
    make_log: MakeLog, make_layer: MakeLayer, *, joint: bool
):
    """Eight parties take turns with one template that no role names."""
    rng = np.random.default_rng(0)
    columns = scene(rng, beside=0)
    few = np.isin(columns["who"], np.r_[0:8, MEMBERS:EVERYONE])
    columns = {name: np.asarray(column)[few] for name, column in columns.items()}
    columns["roles"] = np.zeros(few.sum(), np.uint64)
    log = make_log(**columns)
    layers = cards(make_layer, lambda p: p)
    made = verdicts.verdicts(
        log,
        clusters.candidates(log, layers, seed=0),
        layers,
        own_topics(rng, columns["who"]),
        reference=REFERENCE,
        margins=Margins(),
        settings=Settings(joint=joint),
    )
    assert made.told == []
    (one,) = [v for v in made.heard if v.candidate.kind == "template"]
    assert (one.joint_only, bool(one.hypotheses), bool(one.tests)) == (joint, joint, joint)
    assert (one.log_e > 5) == joint


def test_what_was_decided_together_is_told_and_lowers_no_bar(make_log: MakeLog, make_layer: MakeLayer):
    rng = np.random.default_rng(0)
    columns = scene(rng, beside=0)
    few = np.isin(columns["who"], np.r_[0:8, MEMBERS:EVERYONE])
    columns = {name: np.asarray(column)[few] for name, column in columns.items()}
    columns["roles"] = np.zeros(few.sum(), np.uint64)
    log, layers = make_log(**columns), cards(make_layer, lambda p: p)
    points = own_topics(rng, columns["who"])

    def judge(*jointly: Jointly) -> verdicts.Judged:
        return verdicts.verdicts(
            log,
            clusters.candidates(log, layers, seed=0),
            layers,
            points,
            reference=REFERENCE,
            margins=Margins(),
            settings=Settings(jointly=jointly),
        )

    alone = judge(Jointly("k-another", "g-1", 20.0, 3))
    assert alone.told == []
    (name,) = (
        name
        for one, name in zip(alone.heard, names(log, alone.heard).values(), strict=True)
        if one.candidate.kind == "template"
    )
    together = judge(Jointly(name, "g-1", 20.0, 3))
    (one,) = together.told
    assert (one.label, one.parties.tolist()) == ("campaign", list(range(8)))
    assert one.jointly == Jointly(name, "g-1", 20.0, 3)
    assert one.bar == alone.heard[0].bar
