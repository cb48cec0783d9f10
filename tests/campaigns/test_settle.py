"""Settling: what joins a campaign, and what alone accuses nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from spiritsafe.campaigns import rotation, spacing
from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.evidence import view
from spiritsafe.campaigns.log import HOUR
from spiritsafe.campaigns.members import membership
from spiritsafe.campaigns.settle import settle
from spiritsafe.campaigns.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]
    MakeLayer = Callable[..., Layer]

MEMBERS, BESIDE, EACH = 12, 6, 8


def group(make_log: MakeLog) -> Log:
    """Twelve members send a template eight times, and text near it four times; six others sent text near it too."""
    who = np.concatenate(
        [np.repeat(np.arange(MEMBERS), EACH), np.repeat(np.arange(MEMBERS), 4), MEMBERS + np.arange(BESIDE)]
    )
    template = np.where(np.arange(who.size) < MEMBERS * EACH, 0, -1)
    # Of what has no template, every second has the role.
    roles = np.where((template == 0) | (np.arange(who.size) % 2 == 0), 1, 0)
    return make_log(who, template=template, roles=roles)


def accused(log: Log, kind: str, rows: np.ndarray) -> Verdict:
    candidate = Candidate(kind, rows, np.unique(log.template[rows]))
    return Verdict(candidate, view(log, candidate), 0.9, 0.001, label="campaign")


def test_near_text_joins_the_exchanges_of_members_with_or_without_a_role_and_adds_nobody(make_log: MakeLog):
    log = group(make_log)
    fixed, near = np.flatnonzero(log.template == 0), np.flatnonzero(log.template < 0)
    told = settle(log, [accused(log, "topic", near), accused(log, "template", fixed)])
    assert [one.label for one in told] == ["campaign"]
    assert told[0].parties.tolist() == list(range(MEMBERS))
    assert set(told[0].rows) == set(np.flatnonzero(log.acc < MEMBERS))


def test_near_text_alone_accuses_nobody_and_is_told(make_log: MakeLog):
    log = group(make_log)
    told = settle(log, [accused(log, "topic", np.flatnonzero(log.template < 0))])
    assert [one.label for one in told] == ["insufficient"]


def test_near_text_of_another_role_stays_outside(make_log: MakeLog):
    log = group(make_log)
    fixed, near = np.flatnonzero(log.template == 0), np.flatnonzero(log.template < 0)
    log.roles[near] *= np.uint64(8)
    log.role_names, log.extraction = (*log.role_names, "reconstruct"), 9
    told = settle(log, [accused(log, "topic", near), accused(log, "template", fixed)])
    assert set(told[0].rows) == set(fixed)


def swallowed(make_log: MakeLog) -> Log:
    """Twelve members and four users of a benchmark send one template; the four send its other eight templates, too."""
    who = np.concatenate([np.repeat(np.arange(MEMBERS), EACH), np.repeat(MEMBERS + np.arange(4), EACH)])
    return make_log(who, template=np.zeros(who.size, np.int64), roles=np.ones(who.size, np.int64))


def test_a_crowd_that_is_explained_by_itself_is_taken_out_of_the_campaign_that_swallowed_it(
    make_log: MakeLog,
):
    log = swallowed(make_log)
    crowd = np.flatnonzero(log.acc >= MEMBERS)
    whole = accused(log, "template", np.arange(log.acc.size))
    assert settle(log, [whole])[0].parties.size == MEMBERS + 4
    told = settle(log, [whole], None, [accused(log, "items", crowd)])
    assert told[0].parties.tolist() == list(range(MEMBERS))
    assert set(told[0].rows) == set(np.flatnonzero(log.acc < MEMBERS))


def test_an_explanation_of_most_of_a_campaign_takes_nobody_out(make_log: MakeLog):
    log = swallowed(make_log)
    most = np.flatnonzero(log.acc < MEMBERS)
    told = settle(
        log, [accused(log, "template", np.arange(log.acc.size))], None, [accused(log, "items", most)]
    )
    assert told[0].parties.size == MEMBERS + 4


def test_a_card_in_common_with_a_member_keeps_one_of_the_crowd_inside(
    make_log: MakeLog, make_layer: MakeLayer
):
    log = swallowed(make_log)
    crowd = np.flatnonzero(log.acc >= MEMBERS)
    layers = {"payment": make_layer("payment", [(0, "card"), (MEMBERS, "card")], log.parties)}
    told = settle(
        log,
        [accused(log, "template", np.arange(log.acc.size))],
        layers,
        [accused(log, "items", crowd)],
    )
    assert told[0].parties.tolist() == [*range(MEMBERS), MEMBERS]


MANY, FEW = 60, 2


def mixture(make_log: MakeLog) -> Log:
    """Sixty accounts send a text that plays no role; with two others, who send it seventy times as often, it does."""
    who = np.concatenate([np.repeat(np.arange(MANY), 4), np.repeat(MANY + np.arange(FEW), 280)])
    return make_log(who, template=np.zeros(who.size, np.int64), roles=(who >= MANY).astype(np.int64))


def test_of_a_mixture_those_are_accused_who_carry_it_alone(make_log: MakeLog, make_layer: MakeLayer):
    log = mixture(make_log)
    holds = [(p, f"card {p % 6}" if p < MANY else f"own {p}") for p in range(MANY + FEW)]
    layers = {"payment": make_layer("payment", holds, log.parties)}
    whole = accused(log, "template", np.arange(log.acc.size))
    asked: list[int] = []

    def carries(one: Verdict) -> bool:
        asked.append(one.parties.size)
        return bool(np.isin(np.arange(MANY), one.parties).all())

    (right,) = settle(log, [whole], layers, carries=carries)
    assert asked[0] < MANY, "by their roles, the others are members"
    assert right.label == "campaign"
    assert right.parties.tolist() == list(range(MANY))


def test_what_no_members_carry_alone_is_no_accusation(make_log: MakeLog):
    log = mixture(make_log)
    (told,) = settle(log, [accused(log, "template", np.arange(log.acc.size))], carries=lambda _: False)
    assert told.label == "insufficient"
    assert told.parties.size == MANY + FEW


def test_a_pool_of_items_brings_members_no_traffic_without_the_text(make_log: MakeLog):
    # Members send a text, and as much without one; a pool of items was found among all that they send.
    who = np.repeat(np.arange(MEMBERS), 2 * EACH)
    template = np.where(np.arange(who.size) % 2 == 0, 0, -1)
    log = make_log(who, template=template, roles=(template == 0).astype(np.int64))
    fixed = np.flatnonzero(template == 0)
    (told,) = settle(log, [accused(log, "template", fixed), accused(log, "items", np.arange(who.size))])
    assert told.candidate.kind == "template"
    assert set(told.rows) == set(fixed)


def test_members_by_turns_of_an_earlier_try_are_forgotten(make_log: MakeLog):
    # Settling is tried under several bars, each time with the same verdicts.
    log = group(make_log)
    fixed = np.flatnonzero(log.template == 0)
    large, small = accused(log, "template", fixed), accused(log, "template", fixed[: 10 * EACH])
    small.joined = np.array([MEMBERS + BESIDE - 1])
    told = settle(log, [large, small])
    assert [one.parties.tolist() for one in told] == [list(range(MEMBERS))]
    assert small.joined is None


def test_what_joined_a_campaign_that_does_not_carry_is_heard_without_it(make_log: MakeLog):
    log = group(make_log)
    fixed = np.flatnonzero(log.template == 0)
    large, small = accused(log, "template", fixed), accused(log, "template", fixed[: 10 * EACH])
    asked: list[int] = []

    def carries(one: Verdict) -> bool:
        # Each passes by itself; the larger no longer once it has taken in the other.
        asked.append(id(one))
        return one is small or asked.count(id(large)) == 1

    told = settle(log, [large, small], carries=carries)
    assert [one.label for one in told] == ["campaign"]
    assert told[0] is small
    assert set(told[0].rows) == set(fixed[: 10 * EACH])


def test_members_told_without_roles_stay_so_when_their_campaign_grows(make_log: MakeLog):
    # Half of the accounts word the work so that its role is not recognised, and only all of them together carry it.
    who = np.repeat(np.arange(2 * MEMBERS), 3 * EACH)
    log = make_log(who, template=np.zeros(who.size, np.int64), roles=(who % 2 == 0).astype(np.int64))
    rows = np.arange(who.size)
    whole, part = accused(log, "template", rows), accused(log, "template", rows[: rows.size // 2])
    asked: list[int] = []

    def carries(one: Verdict) -> bool:
        asked.append(one.parties.size)
        return one.parties.size == (MEMBERS if one is part else 2 * MEMBERS)

    told = settle(log, [whole, part], carries=carries)
    assert asked[0] == MEMBERS, "by their roles, the others are no members"
    assert [(one.label, one.parties.size) for one in told] == [("campaign", 2 * MEMBERS)]


def test_what_infrastructure_chose_explains_nobodys_work(make_log: MakeLog):
    log = swallowed(make_log)
    crowd = np.flatnonzero(log.acc >= MEMBERS)
    told = settle(
        log, [accused(log, "template", np.arange(log.acc.size))], None, [accused(log, "dense", crowd)]
    )
    assert told[0].parties.size == MEMBERS + 4


def test_an_explanation_that_does_not_fit_the_crowd_alone_takes_nobody_out(make_log: MakeLog):
    log = swallowed(make_log)
    crowd = np.flatnonzero(log.acc >= MEMBERS)
    asked: list[list[int]] = []

    def explains(_: Verdict, parties: np.ndarray) -> bool:
        asked.append(parties.tolist())
        return False

    told = settle(
        log,
        [accused(log, "template", np.arange(log.acc.size))],
        None,
        [accused(log, "items", crowd)],
        explains=explains,
    )
    assert asked == [list(range(MEMBERS, MEMBERS + 4))]
    assert told[0].parties.size == MEMBERS + 4


def test_another_try_with_the_memberships_of_an_earlier_one_tells_the_same(make_log: MakeLog):
    log, read = group(make_log), {}
    verdict = accused(log, "template", np.flatnonzero(log.template == 0))
    (first,) = settle(log, [verdict], read=read)
    told = first.parties.tolist(), first.probability.tolist(), first.rows.tolist()
    assert list(read) == [(id(verdict), True)]
    (found,) = read.values()
    (again,) = settle(log, [verdict], read=read)
    assert (again.parties.tolist(), again.probability.tolist(), again.rows.tolist()) == told
    assert read[id(verdict), True] is found


@pytest.mark.parametrize("holding", ["nothing", "a card", "the text"])
def test_who_came_with_all_that_it_sends_has_something_of_what_the_members_send(
    make_log: MakeLog, make_layer: MakeLayer, holding: str
):
    members, beside = 20, 2
    who = np.tile(np.arange(members + beside), EACH)
    text = (who < members) | ((holding == "the text") & (np.arange(who.size) // (members + beside) % 2 == 0))
    log = make_log(who, template=np.where(text, 0, -1), roles=np.where(who < members, 1, 0))
    cards = [(party, "one card") for party in ((0, members) if holding == "a card" else (0, 1))]
    layers = {"payment": make_layer("payment", cards, 500)}
    whole = accused(log, "swept", np.arange(who.size))
    told = settle(log, [accused(log, "template", np.flatnonzero(who < members)), whole], layers)
    assert [one.label for one in told] == ["campaign"]
    inside = {"nothing": [], "a card": [members], "the text": [members, members + 1]}[holding]
    assert told[0].parties.tolist() == [*range(members), *inside]
    assert set(log.acc[told[0].rows]) == set(told[0].parties.tolist())
    assert told[0].probability.size == told[0].parties.size


@pytest.mark.parametrize(("kind", "told"), [("template", True), ("dense", False)])
def test_how_accounts_are_spaced_makes_members_sure_unless_infrastructure_chose_them(
    make_log: MakeLog, make_layer: MakeLayer, *, kind: str, told: bool
):
    """Sixty accounts of very unequal loads share one paced stream; what each sends keeps out of the way of the others."""
    rng = np.random.default_rng(1)
    time = ((np.arange(1_800) + rng.random(1_800)) * 48 * HOUR / 3_600).astype(np.int64)
    weight = rng.lognormal(0, 1.5, 60)
    who = rng.choice(60, time.size, p=weight / weight.sum())
    log = make_log(who, time=time, template=np.zeros(who.size, np.int32))
    layers = {"payment": make_layer("payment", [(p, p) for p in range(60)], 60)}
    rows = np.arange(who.size)
    turns = rotation.turns(log, rows)
    blind = membership(log, rows, layers=layers, turns=turns)[1]
    shown = membership(log, rows, layers=layers, turns=turns, apart=spacing.apart(log, rows))[1]
    assert np.median(shown - blind) > 0.01
    (one,) = settle(log, [accused(log, kind, rows)], layers, read={})
    sure = shown if told else blind
    assert np.array_equal(one.probability, sure[sure >= 0.5])
