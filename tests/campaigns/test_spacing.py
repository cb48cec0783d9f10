"""Spacing: accounts of one queue avoid each other; customers and clocks do not, and a slow server charges nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe.campaigns import coordination as co
from spiritsafe.campaigns import evidence, grounds, spacing
from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.log import HOUR, PARTS, SLOT, part_of, screening

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

SEEDS = 400
DAY = 24 * HOUR
MINUTE = HOUR // 60


def gathered(parties: list[np.ndarray]) -> tuple[Any, Any, Any]:
    """Who sends, in which slot and in which part of it, of parties with these times, in the tested slots of a day."""
    who = np.repeat(np.arange(len(parties)), [one.size for one in parties])
    time = np.concatenate(parties).astype(np.int64) % DAY
    who, time = who[~screening(time)], time[~screening(time)]
    _, place = np.unique(who, return_inverse=True)
    _, slot = np.unique(time // SLOT, return_inverse=True)
    return place, slot, part_of(time)


def strength(parties: list[np.ndarray]) -> float:
    """The log e-value of all of them."""
    who, slot, part = gathered(parties)
    return co.spaced_apart(who, slot, part, np.ones(who.max() + 1, bool)) if who.size else 0.0


def customers(rng: Generator, *, sigma: float = 0.0, burst: float = 1.0, parties: int = 15) -> Any:
    """Poisson starts at rates that vary, each of a conversation with a mean of ``burst`` exchanges."""
    found: list[np.ndarray] = []
    for rate in 20 / burst * rng.lognormal(-(sigma**2) / 2, sigma, parties):
        turns = rng.geometric(1 / burst, rng.poisson(rate))
        gap = np.cumsum(rng.exponential(20e6, turns.sum()))
        start = rng.uniform(0, DAY, turns.size)
        found.append(np.repeat(start - gap[np.cumsum(turns) - turns], turns) + gap)
    return found


def clocks(rng: Generator, low: float, high: float, parties: int) -> Any:
    """Each strikes every ``low`` to ``high`` minutes, from a moment of its own on."""
    period = rng.uniform(low, high, parties) * MINUTE
    return [np.arange(rng.uniform(0, one), DAY, one) for one in period]


def crons(rng: Generator, minutes: int, parties: int = 15) -> Any:
    """Hourly jobs at a round minute, a moment late."""
    return [
        rng.integers(0, 60 // minutes) * minutes * MINUTE + HOUR * np.arange(24) + rng.exponential(2e6, 24)
        for _ in range(parties)
    ]


def queue(
    rng: Generator, *, gap: float, sigma: float, parties: int = 50, most: int = 3_000
) -> list[np.ndarray]:
    """One paced stream, ``gap`` seconds between two give or take; who sends is drawn at random by weights of their own."""
    size = min(int(DAY / gap / 1e6), most)
    time = (np.arange(size) + rng.random(size)) * gap * 1e6
    weight = rng.lognormal(0, sigma, parties)
    who = rng.choice(parties, size, p=weight / weight.sum())
    return [time[who == party] for party in range(parties)]


NULLS: dict[str, Callable[[Generator], list[np.ndarray]]] = {
    "customers": customers,
    "uneven customers": lambda rng: customers(rng, sigma=1.5, parties=30),
    "conversations": lambda rng: customers(rng, burst=5),
    "office hours": lambda rng: [rng.beta(4, 4, rng.poisson(20)) * DAY for _ in range(15)],
    "clocks of all periods": lambda rng: clocks(rng, 7, 40, 12),
    "hourly clocks": lambda rng: clocks(rng, 60, 60, 20),
    "clocks as long as two slots": lambda rng: clocks(rng, 20, 20, 8),
    "jobs at five minutes": lambda rng: crons(rng, 5),
    "jobs at any minute": lambda rng: crons(rng, 1),
}


@pytest.mark.parametrize("name", NULLS)
def test_the_e_value_has_mean_at_most_one_for_customers_of_any_rhythm(name: str):
    values = np.array(
        [np.exp(min(strength(NULLS[name](np.random.default_rng(seed))), 50.0)) for seed in range(SEEDS)]
    )
    error = values.std(ddof=1) / np.sqrt(SEEDS)
    assert values.mean() <= 1 + 3 * error, f"mean e-value {values.mean():.3f} ± {error:.3f}"
    assert (values >= 100).mean() <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / SEEDS)


@pytest.mark.parametrize("sigma", [0.0, 1.5])
@pytest.mark.parametrize("gap", [10, 60])
def test_a_queue_shows_however_uneven_its_accounts_are(gap: float, sigma: float):
    for seed in range(20):
        assert strength(queue(np.random.default_rng(seed), gap=gap, sigma=sigma)) > grounds.UNNAMED


def test_two_that_never_share_a_slot_and_one_alone_are_no_evidence():
    far = [np.arange(12) * 2 * HOUR, HOUR + np.arange(12) * 2 * HOUR]
    assert strength(far) == 0.0
    assert strength([np.arange(0, DAY, MINUTE)]) == 0.0


def test_one_against_another_meets_the_closed_form():
    """Two exchanges, four parts apart: of sixty moves the second one has, how many bring it near, and how near."""
    parts = np.array([10, 14])
    found = co.spaced_apart(np.array([0, 1]), np.zeros(2, int), parts, np.ones(2, bool))
    told = []
    for reach in (1, 3, 6, 12):
        near = np.maximum(
            0.0, 1 - np.minimum(np.arange(PARTS), PARTS - np.arange(PARTS)) / reach
        )  # by distance
        told += [-b * near[4] - np.log(np.exp(-b * near).mean()) for b in (0.1, 0.3, 1.0, 3.0)]
    assert found == pytest.approx(np.log(np.mean(np.exp(told))))


def test_parties_that_are_not_bet_on_only_stand_there():
    who, slot, part = gathered(queue(np.random.default_rng(3), gap=60, sigma=1.0))
    half = np.arange(who.max() + 1) % 2 == 0
    for tested in (half, ~half):
        assert co.spaced_apart(who, slot, part, tested) > grounds.UNNAMED
    assert co.spaced_apart(who, slot, part, ~half & half) == 0.0


def test_who_follows_himself_sends_in_runs():
    rng = np.random.default_rng(0)
    assert not any(co.runs(rng.integers(0, 20, 500)) for _ in range(100))
    assert not co.runs(np.tile(np.arange(20), 25))
    assert co.runs(np.repeat(rng.integers(0, 20, 100), 5))
    assert not co.runs(np.zeros(0, int))


# In a log.


def whole(log: Log, mine: Any) -> evidence.View:
    return evidence.view(log, Candidate("template", np.flatnonzero(mine), np.zeros(0, np.int64)))


def logged(
    make_log: Callable[..., Log], stream: list[np.ndarray], strangers: int, seed: int = 0
) -> tuple[Log, np.ndarray]:
    """A log of ``stream`` and of customers; which of its exchanges are the stream's."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(stream)), [one.size for one in stream])
    time = np.concatenate([*stream, rng.uniform(0, DAY, strangers)]).astype(np.int64)
    who = np.concatenate([who, len(stream) + np.arange(strangers) % 200])
    order = np.argsort(time, kind="stable")
    return make_log(who[order], time=time[order]), who[order] < len(stream)


def test_the_lightest_of_uneven_accounts_that_share_nothing_show_one_hand(make_log: Callable[..., Log]):
    log, mine = logged(make_log, queue(np.random.default_rng(1), gap=60, sigma=1.5), 5_000)
    seen = whole(log, mine)
    assert spacing.spaced(log, seen, {}).log_e > grounds.UNNAMED
    assert evidence.strength_of_turns(log, seen, seen.parties) < 0


@pytest.mark.parametrize("crowd", [40, 150])
def test_a_queue_inside_a_crowd_shows_none(make_log: Callable[..., Log], crowd: int):
    rng = np.random.default_rng(2)
    stream = [one for one in queue(rng, gap=60, sigma=0.0) if one.size > 4]
    around = [rng.uniform(0, DAY, 4) for _ in range(crowd)]
    log, mine = logged(make_log, [*stream, *around], 5_000)
    assert spacing.spaced(log, whole(log, mine), {}).log_e < grounds.UNNAMED
    alone = grounds.of_parties(log, whole(log, mine), np.arange(len(stream)), np.arange(len(stream)))
    assert spacing.spaced(log, alone, {}).log_e > grounds.UNNAMED


def test_who_sends_most_of_a_log_may_be_spaced_by_its_server(make_log: Callable[..., Log]):
    log, mine = logged(make_log, queue(np.random.default_rng(1), gap=60, sigma=0.5), 700)
    told = spacing.spaced(log, whole(log, mine), {})
    assert told.log_e == 0.0
    assert told.value < told.expected / 2
    seen = whole(log, mine)
    half = grounds.of_parties(log, seen, seen.parties[::2], seen.parties[::2])
    assert spacing.spaced(log, half, {}).log_e == 0.0, "nor is a part of it tested by itself"


def test_the_rest_of_a_queue_is_no_stranger_to_a_part_of_it(make_log: Callable[..., Log]):
    log, mine = logged(make_log, queue(np.random.default_rng(1), gap=20, sigma=0.5), 8_000)
    seen = whole(log, mine)
    half = grounds.of_parties(log, seen, seen.parties[::2], seen.parties[::2])
    assert spacing.spaced(log, half, {}).log_e > grounds.UNNAMED


def test_customers_whose_jobs_a_vendor_does_one_by_one_show_no_hand(make_log: Callable[..., Log]):
    """One queue, too, and spaced; but each customer's items come in a run, and there is no mixing of many accounts' work."""
    rng = np.random.default_rng(4)
    job = np.repeat(rng.integers(0, 40, 150), 1 + rng.poisson(8, 150))
    time = (np.arange(job.size) + rng.random(job.size)) * DAY / job.size
    stream = [time[job == k] for k in range(40)]
    assert strength(stream) > grounds.UNNAMED
    log, mine = logged(make_log, stream, 5_000)
    seen = whole(log, mine)
    assert spacing.spaced(log, seen, {}).log_e <= 0
    assert not spacing.apart(log, seen.rows).any()


@pytest.mark.parametrize("share", [0.1, 0.45])
def test_a_server_that_does_one_thing_at_a_time_charges_nobody(make_log: Callable[..., Log], share: float):
    """Everybody's exchanges are spaced by the server: what accounts keep off strangers, too, is no sign of a queue of theirs."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        time = np.cumsum(18e6 + rng.exponential(10e6, 3_000)).astype(np.int64)
        who = rng.integers(0, 200, time.size)
        who[rng.random(who.size) < share] %= 20
        who[(who < 20) & (rng.random(who.size) < 0.5 * (share < 0.2))] += 20
        log = make_log(who, time=time)
        assert spacing.spaced(log, whole(log, who < 20), {}).log_e < 3.1


def waiting(rng: Generator, parties: int) -> list[np.ndarray]:
    """One keyboard, or one worker: whoever wants it waits until it is free, does one thing in half a minute or so, and leaves."""
    asked = np.sort(rng.uniform(0, DAY, 1_200))
    takes = 20e6 + rng.exponential(15e6, asked.size)
    ends = np.cumsum(takes) + np.maximum.accumulate(asked - np.cumsum(takes) + takes)
    who = rng.integers(0, parties, asked.size)
    return [(ends - takes)[who == party] for party in range(parties)]


@pytest.mark.parametrize("layer", ["device", "payment", "network"])
def test_who_waits_for_one_device_one_card_or_at_the_address_of_most_is_one_sender(
    make_log: Callable[..., Log], make_layer: Callable[..., Layer], layer: str
):
    log, mine = logged(make_log, waiting(np.random.default_rng(7), 24), 5_000)
    seen = whole(log, mine)
    everybody = range(int(log.parties))
    one = {layer: make_layer(layer, [(p, "one" if p < 24 else f"own {p}") for p in everybody], log.parties)}
    each = {layer: make_layer(layer, [(p, f"own {p}") for p in everybody], log.parties)}
    assert spacing.spaced(log, seen, each).log_e > 10
    assert spacing.spaced(log, seen, one).log_e == 0.0
    if layer == "network":  # students have telephones, too
        both = [(p, name) for p in everybody for name in ("one" if p < 24 else "other", f"own {p}")]
        two = {layer: make_layer(layer, both, log.parties)}
        assert spacing.spaced(log, seen, two).log_e == 0.0


def test_senders_are_joined_by_any_device_and_by_the_address_of_most(make_layer: Callable[..., Layer]):
    parties = np.array([2, 3, 5, 7, 8, 9])
    device = make_layer("device", [(2, "a"), (3, "a"), (3, "b"), (5, "b"), (7, "c"), (0, "c")], 10)
    assert spacing.senders({}, parties).tolist() == [0, 1, 2, 3, 4, 5]
    assert spacing.senders({"device": device}, parties).tolist() == [0, 0, 0, 1, 2, 3]
    few = make_layer("network", [(7, "x"), (8, "x"), (9, "x")], 10)
    most = make_layer("network", [(5, "x"), (7, "x"), (8, "x"), (9, "x"), (2, "y")], 10)
    proxies = make_layer("network", [(p, proxy) for p in (2, 5, 7, 8, 9) for proxy in "xy"], 10)
    assert spacing.senders({"network": proxies}, parties).tolist() == [0, 1, 2, 3, 4, 5]
    assert spacing.senders({"network": few}, parties).tolist() == [0, 1, 2, 3, 4, 5]
    assert spacing.senders({"network": most}, parties).tolist() == [0, 1, 2, 2, 2, 2]
    assert spacing.senders({"network": most, "device": device}, parties).tolist() == [0] * 6
    cards = make_layer("payment", [(8, "c"), (9, "c")], 10)
    assert spacing.senders({"payment": cards}, parties).tolist() == [0, 1, 2, 3, 4, 4]


def test_infrastructure_that_chose_them_silences_the_test(make_log: Callable[..., Log]):
    log, mine = logged(make_log, queue(np.random.default_rng(1), gap=60, sigma=1.5), 5_000)
    seen = whole(log, mine)
    points = np.zeros((log.acc.size, 8), np.int16)
    for tied in (False, True):
        found = evidence.tests(log, seen, {}, points, evidence.Margins(), tied=tied, alike=False)
        (one,) = (test for test in found if test.name == "spaced_apart")
        assert one.log_e > grounds.UNNAMED
        assert (one.weight == 0.0) is tied


def test_who_keeps_apart_is_told_from_who_sends_when_he_likes(make_log: Callable[..., Log]):
    rng = np.random.default_rng(5)
    stream = queue(rng, gap=60, sigma=0.3)
    beside = [rng.uniform(0, DAY, 20) for _ in range(10)]
    log, mine = logged(make_log, [*stream, *beside], 10_000)
    shown = spacing.apart(log, np.random.default_rng(0).permutation(np.flatnonzero(mine)))
    assert shown.size == len(stream) + len(beside)
    assert np.median(shown[: len(stream)]) > 2
    assert np.median(shown[len(stream) :]) < 0
    assert not spacing.apart(log, np.flatnonzero(~mine)).any(), "strangers do not"


def test_what_everybody_sends_is_counted_by_ten_seconds(make_log: Callable[..., Log]):
    time = np.sort(np.random.default_rng(6).integers(0, 3 * HOUR, 500))
    live = np.arange(500) % 5 > 0
    log = make_log(np.arange(500) % 7, time=time, live=live)
    slots, sent = log.crowding()
    told = time[live & ~screening(time)]
    assert np.array_equal(slots, np.unique(told // SLOT))
    expected = np.zeros_like(sent)
    np.add.at(expected, (np.searchsorted(slots, told // SLOT), told % SLOT // 10_000_000), 1)
    assert np.array_equal(sent, expected)
