"""Settling: what joins a campaign, and what alone accuses nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.evidence import view
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
