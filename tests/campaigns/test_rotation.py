"""Rotation: who is dealt to in turn beside the members joins them; who sends when he likes does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns import evidence, rotation
from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.log import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.evidence import View
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

KNOWN, DEALT, BESIDE = 30, 20, 6


def pool(
    make_log: Callable[..., Log], rng: np.random.Generator, *, in_turn: bool, each: int = 10
) -> tuple[Log, View]:
    """Thirty known members and twenty others, ten exchanges each by one router; six customers with as many of their own."""
    dealt = np.tile(rng.permutation(KNOWN + DEALT), each)
    time = np.sort(rng.random(dealt.size))
    if not in_turn:
        time[dealt >= KNOWN] = rng.random((dealt >= KNOWN).sum())
    who = np.concatenate([dealt, np.repeat(KNOWN + DEALT + np.arange(BESIDE), each)])
    time = (np.concatenate([time, rng.random(each * BESIDE)]) * 24 * HOUR).astype(np.int64)
    order = np.argsort(time, kind="stable")
    log = make_log(who[order], time=time[order])
    candidate = Candidate("infrastructure", np.arange(who.size), np.zeros(0, np.int64))
    return log, evidence.view(log, candidate)


def layers(make_layer: Callable[..., Layer]) -> dict[str, Any]:
    everybody = KNOWN + DEALT + BESIDE
    holds = [(p, f"card {p % 10}" if p < KNOWN + DEALT else f"own {p}") for p in range(everybody)]
    return {"payment": make_layer("payment", holds, everybody)}


@pytest.mark.parametrize("seed", range(5))
def test_who_is_dealt_to_in_turn_joins_and_customers_on_the_same_infrastructure_do_not(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer], seed: int
):
    log, seen = pool(make_log, np.random.default_rng(seed), in_turn=True)
    joined, sure = rotation.joined(log, seen, np.arange(KNOWN), layers(make_layer))
    assert (joined >= KNOWN).all()
    assert (joined < KNOWN + DEALT).sum() >= 0.9 * DEALT
    assert (joined >= KNOWN + DEALT).sum() == 0
    assert (sure >= 0.9).all()


@pytest.mark.parametrize("seed", range(5))
def test_whom_nobody_deals_to_stays_outside(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer], seed: int
):
    log, seen = pool(make_log, np.random.default_rng(seed), in_turn=False)
    joined, _ = rotation.joined(log, seen, np.arange(KNOWN), layers(make_layer))
    assert joined.size == 0
    assert rotation.joined(log, seen, np.zeros(0, np.int64), {})[0].size == 0


def test_of_all_that_tied_accounts_send_belong_those_dealt_to(make_log: Callable[..., Log]):
    beside: list[bool] = []
    for seed in range(20):
        log, seen = pool(make_log, np.random.default_rng(seed), in_turn=True, each=40)
        parties, sure = rotation.dealt(log, np.random.default_rng(seed).permutation(seen.rows))
        assert parties.tolist() == list(range(KNOWN + DEALT + BESIDE))
        assert (sure[: KNOWN + DEALT] >= 0.5).mean() >= 0.9
        beside += (sure[KNOWN + DEALT :] >= 0.5).tolist()
    assert np.mean(beside) <= 0.05


def test_accounts_that_send_when_they_like_are_dealt_to_by_nobody(make_log: Callable[..., Log]):
    found: list[float] = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        who = rng.permutation(np.repeat(np.arange(40), 40))
        log = make_log(who, time=np.sort(rng.random(who.size) * 24 * HOUR).astype(np.int64))
        found += (rotation.dealt(log, np.arange(who.size))[1] >= 0.5).tolist()
    assert np.mean(found) <= 0.05


def test_who_shares_an_address_alone_must_take_turns_as_those_do_who_hold_a_card(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer]
):
    dealt, beside, each = 300, 40, 4
    everybody = dealt + beside
    cards = {
        "payment": make_layer("payment", [(p, f"card {p % 20}") for p in range(0, dealt, 2)], everybody),
        "network": make_layer("network", [(p, "address") for p in range(everybody)], everybody),
    }
    lost, came, came_before = [], [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        who = np.concatenate(
            [np.tile(rng.permutation(dealt), each), np.repeat(dealt + np.arange(beside), each)]
        )
        time = np.concatenate([np.sort(rng.random(dealt * each)), rng.random(beside * each)])
        order = np.argsort(time, kind="stable")
        log = make_log(who[order], time=(time[order] * 24 * HOUR).astype(np.int64))
        before = rotation.dealt(log, np.arange(who.size))[1] >= 0.5
        after = rotation.dealt(log, np.arange(who.size), cards)[1] >= 0.5
        assert not (after & ~before).any(), "nobody comes by it"
        assert np.array_equal(after[:dealt:2], before[:dealt:2]), "who holds a card is as before"
        lost.append((before & ~after)[1:dealt:2].mean())
        came.append(after[dealt:].mean())
        came_before.append(before[dealt:].mean())
    assert np.mean(lost) <= 0.03
    assert np.mean(came) < np.mean(came_before) / 2
    assert np.mean(came_before) > 0.02, "otherwise this shows nothing"


def test_few_who_hold_cards_show_too_little_to_take_anybody_out(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer]
):
    log, seen = pool(make_log, np.random.default_rng(0), in_turn=True)
    before = rotation.dealt(log, seen.rows)[1]
    for holders, same in (
        (40, True),
        (50, False),
    ):  # of 41 the last is above two of a hundred, of 51 it is not
        cards = {
            "payment": make_layer("payment", [(p, f"card {p % 10}") for p in range(holders)], before.size)
        }
        assert np.array_equal(rotation.dealt(log, seen.rows, cards)[1], before) is same
