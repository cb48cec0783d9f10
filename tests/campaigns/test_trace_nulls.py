"""Tests on traces: mean of the e-value at most one under the stated null and its adversaries; power when planted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns import crossed, grids
from spiritsafe.campaigns.adoption import Adoption, adopted
from spiritsafe.campaigns.crossings import SOON, Bodies, Crossings
from spiritsafe.campaigns.log import HOUR
from spiritsafe.campaigns.migration import Lives, migrated

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from spiritsafe.campaigns.coordination import Test

SEEDS = 200
PARTIES = 200


def members(rng: Generator, count: int = 30) -> Any:
    return np.sort(rng.choice(PARTIES, count, replace=False))


def crossing(source: Any, target: Any, volume: Any) -> crossed.Pairs:
    time = np.arange(len(source)) * (24 * HOUR // max(1, len(source)))
    return crossed.pairs(Crossings(np.array(source), np.array(target), time, np.arange(len(source))), volume)


def chance_crossings(rng: Generator) -> Test | None:
    volume = rng.integers(1, 60, PARTIES)
    source = rng.integers(0, PARTIES, 400)
    target = rng.choice(PARTIES, 400, p=volume / volume.sum())
    apart = source != target
    return crossed.redeemed(crossing(source[apart], target[apart], volume), members(rng))


def busy_members_cross(rng: Generator) -> Test | None:
    # Only members cross, and they are the big users; where their artefacts end is still chance.
    volume = np.ones(PARTIES, int)
    group = members(rng)
    volume[group] = 40
    source = rng.choice(group, 300)
    target = rng.choice(PARTIES, 300, p=volume / volume.sum())
    apart = source != target
    return crossed.redeemed(crossing(source[apart], target[apart], volume), group)


def customers_with_two_organizations(rng: Generator) -> Test | None:
    first = np.repeat(np.arange(0, 30, 2), 40)
    swap = rng.random(first.size) < 0.5
    source, target = np.where(swap, first + 1, first), np.where(swap, first, first + 1)
    order = rng.permutation(first.size)
    return crossed.redeemed(crossing(source[order], target[order], np.ones(PARTIES, int)), np.arange(30))


def ring_redeems(rng: Generator) -> Test | None:
    source = rng.integers(0, 30, 200)
    target = (source + rng.integers(1, 30, 200)) % 30
    return crossed.redeemed(crossing(source, target, np.ones(PARTIES, int)), np.arange(30))


def sent(body: Any, party: Any, time: Any, refused: Any) -> Bodies:
    order = np.lexsort((time, body))
    body, party, time, refused = (np.asarray(one)[order] for one in (body, party, time, refused))
    follows = np.append(body[1:] == body[:-1], False) & (np.append(party[1:], -1) != party)
    follows &= np.append(time[1:], 0) - time <= SOON
    follower = np.where(follows, np.append(party[1:], -1), -1)
    row = np.arange(body.size)
    return Bodies(body, party, time, row, refused, follower, row + 1)


def body_that_goes_round(rng: Generator) -> Test | None:
    body = rng.integers(0, 40, 2000)
    time = rng.integers(0, 6 * HOUR, 2000)
    return crossed.retried(
        sent(body, rng.integers(0, PARTIES, 2000), time, rng.random(2000) < 0.1), np.arange(60), PARTIES
    )


def bursts_with_refusals(rng: Generator) -> Test | None:
    # Every second hour is busy, and a busy hour refuses more.
    hour = rng.choice(12, 2000, p=np.tile([0.01, 0.02, 0.1, 0.2, 0.1, 0.07], 2))
    time = hour * HOUR + rng.integers(0, HOUR, 2000)
    refused = rng.random(2000) < np.tile([0.01, 0.02, 0.2, 0.4, 0.2, 0.1], 2)[hour]
    return crossed.retried(
        sent(rng.integers(0, 10, 2000), rng.integers(0, 60, 2000), time, refused), np.arange(60), PARTIES
    )


def ring_retries(rng: Generator) -> Test | None:
    first = rng.integers(0, 60, 120)
    time = rng.integers(0, 24, 120) * HOUR + rng.integers(0, HOUR // 2, 120)
    party = np.concatenate([first, (first + rng.integers(1, 60, 120)) % 60])
    return crossed.retried(
        sent(
            np.tile(np.arange(120), 2), party, np.concatenate([time, time + 9_000_000]), np.arange(240) < 120
        ),
        np.arange(60),
        PARTIES,
    )


def lives(onset: Any, ban: Any) -> Lives:
    return Lives(np.asarray(onset), np.asarray(ban), 0)


def unrelated_bans(rng: Generator) -> Test | None:
    onset = rng.integers(1, 48 * HOUR, PARTIES)
    ban = np.where(rng.random(PARTIES) < 0.3, onset + rng.integers(HOUR, 12 * HOUR, PARTIES), -1)
    return migrated(lives(onset, ban), members(rng, 60))


def class_with_refusals(rng: Generator) -> Test | None:
    # A class begins together and some of it run into their limits within the hour.
    onset = rng.integers(1, 24 * HOUR, PARTIES)
    onset[:60] = 9 * HOUR + rng.integers(0, HOUR // 4, 60)
    ban = np.full(PARTIES, -1)
    ban[:15] = onset[:15] + rng.integers(1, HOUR, 15)
    return migrated(lives(onset, ban), np.arange(60))


def second_pool(rng: Generator) -> Test | None:
    onset = rng.integers(1, 24 * HOUR, PARTIES)
    ban = np.full(PARTIES, -1)
    onset[:30], ban[:30] = rng.integers(1, HOUR, 30), 12 * HOUR + rng.integers(0, HOUR // 2, 30)
    onset[30:60] = 13 * HOUR + rng.integers(0, HOUR // 2, 30)
    return migrated(lives(onset, ban), np.arange(60))


def adoption(hours: Any) -> Adoption:
    hour, moment = np.unique(hours, return_inverse=True)
    layer: Any = None
    return Adoption(layer, moment, hour, np.bincount(moment))


def any_adopters(rng: Generator) -> Test | None:
    return adopted(adoption(rng.geometric(0.02, PARTIES)), members(rng))


def adopters_of_one_time_zone(rng: Generator) -> Test | None:
    hours = rng.geometric(0.3, PARTIES) * 24 + rng.integers(0, 24, PARTIES)
    hours[:40] = rng.geometric(0.3, 40) * 24 + rng.integers(8, 11, 40)
    return adopted(adoption(hours), np.arange(40))


def launch_crowd(rng: Generator) -> Test | None:
    return adopted(
        adoption(np.where(rng.random(PARTIES) < 0.9, 100, rng.integers(101, 400, PARTIES))), members(rng)
    )


def pool_turns(rng: Generator) -> Test | None:
    hours = rng.integers(0, 240, PARTIES)
    hours[:40] = 100 + rng.integers(0, 2, 40)
    return adopted(adoption(hours), np.arange(40))


def settings_of(sequences: list[Any]) -> Test | None:
    party = np.concatenate([np.full(len(one), index) for index, one in enumerate(sequences)])
    log: Any = SimpleNamespace(combination=np.concatenate(sequences), row_party=party)
    return grids.enumerated(log, np.arange(party.size))


def settings_at_random(rng: Generator) -> Test | None:
    return settings_of([rng.integers(0, 6, 20) for _ in range(6)])


def settings_in_bursts(rng: Generator) -> Test | None:
    return settings_of([np.repeat(rng.integers(0, 6, 8), 4) for _ in range(6)])


def to_and_fro(rng: Generator) -> Test | None:
    return settings_of([np.tile(rng.permutation(3), 20) for _ in range(10)])


def swept_grid(rng: Generator) -> Test | None:
    return settings_of([np.tile(rng.permutation(12), 4) for _ in range(10)])


NULLS: tuple[Callable[[Generator], Test | None], ...] = (
    chance_crossings,
    busy_members_cross,
    customers_with_two_organizations,
    body_that_goes_round,
    bursts_with_refusals,
    unrelated_bans,
    class_with_refusals,
    any_adopters,
    adopters_of_one_time_zone,
    launch_crowd,
    settings_at_random,
    settings_in_bursts,
    to_and_fro,
)
PLANTED: tuple[Callable[[Generator], Test | None], ...] = (
    ring_redeems,
    ring_retries,
    second_pool,
    pool_turns,
    swept_grid,
)


def value(test: Test | None) -> float:
    return test.log_e if test else 0.0


@pytest.mark.parametrize("null", NULLS)
def test_mean_at_most_one_when_innocent(null: Callable[[Generator], Test | None]):
    found = np.array([np.exp(min(value(null(np.random.default_rng(seed))), 50.0)) for seed in range(SEEDS)])
    error = found.std(ddof=1) / np.sqrt(SEEDS)
    assert found.mean() <= 1 + 3 * error, f"mean e-value {found.mean():.3f} ± {error:.3f}"
    assert (found >= 100).mean() <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / SEEDS)


@pytest.mark.parametrize("planted", PLANTED)
def test_power_when_planted(planted: Callable[[Generator], Test | None]):
    hits = [value(planted(np.random.default_rng(seed))) > np.log(1e4) for seed in range(100)]
    assert np.mean(hits) >= 0.95


def test_a_customer_with_two_organizations_counts_once_however_busy():
    time = np.arange(400) * 10_000_000 + HOUR
    both = sent(np.arange(400) // 2, np.tile([3, 4], 200), time, np.tile([True, False], 200))
    test = crossed.retried(both, np.arange(30), PARTIES)
    assert test is not None
    assert test.log_e < np.log(2)
    assert test.n == 1


def test_tests_that_do_not_apply_are_no_tests():
    none = np.zeros(0, int)
    assert crossed.redeemed(crossing(none, none, np.ones(PARTIES, int)), np.arange(30)) is None
    assert crossed.retried(sent(none, none, none, none.astype(bool)), np.arange(30), PARTIES) is None
    assert migrated(lives(np.arange(PARTIES), np.full(PARTIES, -1)), np.arange(30)) is None
    assert to_and_fro(np.random.default_rng(0)) is None
