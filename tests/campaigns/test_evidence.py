"""Evidence: halves by slot, overlap of work against brute force, ties against chance, and what leaves it unchanged."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiritsafe.campaigns import evidence
from spiritsafe.campaigns.clusters import Candidate
from spiritsafe.campaigns.evidence import Margins, View
from spiritsafe.campaigns.log import HOUR, SLOT, screening

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.coordination import Test
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

    MakeLog = Callable[..., Log]
    MakeLayer = Callable[..., Layer]

NOBODY = np.zeros(0, np.int64)


def seen(log: Log, rows: Any = None) -> View:
    chosen = np.arange(log.acc.size) if rows is None else np.asarray(rows, np.int64)
    return evidence.view(log, Candidate("template", chosen, NOBODY))


def of(parties: Any) -> View:
    return View(NOBODY, NOBODY, NOBODY, np.asarray(parties, np.int64))


# The view.

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40)


@settings(max_examples=60)
@given(ROWS, st.randoms())
def test_a_view_splits_by_slot_and_its_parties_come_from_the_screening_half(
    make_log: MakeLog, rows: list[tuple[int, int]], random: Any
):
    who, slot = np.array([p for p, _ in rows], int), np.array([h for _, h in rows], int)
    rng = np.random.default_rng(random.getrandbits(32))
    log = make_log(who, time=slot * SLOT + rng.permutation(who.size), party=range(6))
    choice = screening(slot * SLOT)
    chosen = np.flatnonzero(rng.random(who.size) < 0.8)
    made = seen(log, chosen)
    early = {int(who[row]) for row in chosen if choice[row]}
    assert made.parties.tolist() == sorted(early)
    assert sorted(made.rows) == chosen.tolist()
    assert sorted(made.screen) == [row for row in chosen if choice[row]]
    assert sorted(made.test) == [row for row in chosen if not choice[row] and who[row] in early]
    for part in (made.rows, made.screen, made.test):
        assert (np.diff(log.time[part]) > 0).all()


# The same work.


def overlap(log: Log, made: View) -> float:
    """Overlap coefficient over all pairs of parties, one pair at a time."""
    sets = [set(log.exact[made.rows[log.row_party[made.rows] == p]].tolist()) for p in made.parties]
    pairs = list(combinations(sets, 2))
    smaller = sum(min(len(a), len(b)) for a, b in pairs)
    return sum(len(a & b) for a, b in pairs) / smaller if smaller else 0.0


WORK = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=50)


@settings(max_examples=80)
@given(WORK)
def test_same_work_is_the_overlap_of_all_pairs(make_log: MakeLog, work: list[tuple[int, int, int]]):
    who, item, slot = np.array(work).T
    log = make_log(who, item=item, time=slot * SLOT)
    made = seen(log)
    if made.parties.size:
        found = evidence.same_work(log, made)
        assert found == pytest.approx(overlap(log, made))
        assert 0 <= found <= 1


@settings(max_examples=40)
@given(WORK, st.permutations(range(6)), st.permutations(range(10)), st.randoms())
def test_same_work_knows_no_names_and_no_order(
    make_log: MakeLog, work: list[tuple[int, int, int]], party: list[int], name: list[int], random: Any
):
    who, item, slot = np.array([(0, 0, 0), *work]).T
    order = np.array(random.sample(range(who.size), who.size))
    one = make_log(who, item=item, time=slot * SLOT, party=range(6))
    other = make_log(
        np.array(party)[who][order],
        item=np.array(name)[item][order],
        time=(slot * SLOT)[order],
        party=range(6),
    )
    assert evidence.same_work(other, seen(other)) == pytest.approx(evidence.same_work(one, seen(one)))


@pytest.mark.parametrize(("item", "expected"), [("same", 1.0), ("own", 0.0), ("one of two", 0.5)])
def test_same_work_is_one_for_a_class_and_none_for_work_shared_out(
    make_log: MakeLog, item: str, expected: float
):
    who = np.tile(np.arange(10), 2)
    first = np.repeat([0, 1], 10)
    own = 100 + np.arange(20)
    items = {"same": first, "own": own, "one of two": np.where(first == 0, 0, own)}[item]
    log = make_log(who, item=items, time=np.zeros(20))
    assert evidence.same_work(log, seen(log)) == pytest.approx(expected)


def test_same_work_of_one_party_or_nobody_is_none(make_log: MakeLog):
    alone = make_log([0] * 5, item=[1] * 5)
    assert evidence.same_work(alone, seen(alone)) == 0.0
    late = make_log([0] * 5, item=[1] * 5, time=np.full(5, SLOT))
    assert evidence.same_work(late, seen(late)) == 0.0


# Ties.


def cards(rng: np.random.Generator, parties: int, make_layer: MakeLayer) -> Layer:
    """Most have a card of their own, some share one by twos and fours, a hundred share one, some have two cards."""
    held = [(p, f"own {p}") for p in range(parties // 2)]
    held += [(p, f"shared {p // int(rng.integers(2, 5))}") for p in range(parties // 2, parties - 100)]
    held += [(p, "popular") for p in range(parties - 100, parties)]
    held += [(int(p), f"second {i // 2}") for i, p in enumerate(rng.choice(parties, 20, replace=False))]
    return make_layer("payment", held, parties)


def tie(layer: Layer, parties: Any) -> Test:
    (found,) = evidence.ties(of(parties), {layer.name: layer})
    return found


def test_parties_drawn_at_random_share_no_more_than_expected(make_layer: MakeLayer):
    log_e, together, expected = [], [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        layer = cards(rng, 600, make_layer)
        for _ in range(30):
            found = tie(layer, np.sort(rng.choice(600, 25, replace=False)))
            log_e.append(found.log_e)
            together.append(found.value)
            expected.append(found.expected)
    values = np.exp(np.minimum(log_e, 50))
    assert values.mean() <= 1 + 3 * values.std() / np.sqrt(300)
    assert np.mean(together) <= np.mean(expected) + 3 * np.std(together) / np.sqrt(300)


def test_a_group_with_cards_in_common_is_told_with_many_bits(make_layer: MakeLayer):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        group = np.sort(rng.choice(1000, 30, replace=False))
        card = {int(p): f"card {i % 6}" for i, p in enumerate(group)}
        layer = make_layer("payment", [(p, card.get(p, f"own {p}")) for p in range(1000)], 1000)
        found = tie(layer, group)
        assert found.log_e > np.log(1e9)
        assert (found.value, found.n, found.weight) == (30, 30, 1.0)


def test_what_everyone_holds_what_nobody_shares_and_what_nobody_has_says_nothing(make_layer: MakeLayer):
    everyone = make_layer("device", [(p, "one") for p in range(50)], 50)
    assert tie(everyone, range(10)).log_e == 0.0
    own = make_layer("device", [(p, f"{p}") for p in range(50)], 50)
    assert tie(own, range(10)).log_e == 0.0
    assert tie(own, range(10)).value == 0
    others = make_layer("device", [(p, f"{p}") for p in range(10, 50)], 50)
    absent = tie(others, range(10))
    assert (absent.n, absent.value, absent.log_e) == (0, 0, 0)
    assert evidence.ties(of(range(10)), {}) == []


def test_a_party_is_drawn_once_however_many_cards_it_holds(make_layer: MakeLayer):
    # Two parties with the same ten cards are one coincidence, not ten.
    one = make_layer("payment", [(p, f"a{p // 2}") for p in range(100)], 100)
    ten = make_layer("payment", [(p, f"{c}{p // 2}") for p in range(100) for c in "abcdefghij"], 100)
    assert tie(ten, [0, 1]).log_e == tie(one, [0, 1]).log_e
    assert tie(ten, [0, 1]).n == 2


def test_context_is_marked_as_such(make_layer: MakeLayer):
    weak = make_layer("client", [(p, "agent") for p in range(5)], 50)
    assert "context" in tie(weak, range(5)).note
    assert tie(make_layer("network", [(0, "x")], 50), range(5)).note == ""


# What changes nothing.


def told(log: Log, made: View, projections: Any) -> list[tuple[str, float, float, int]]:
    found = evidence.work(log, made, projections, Margins())
    return [(test.name, test.value, test.log_e, test.n) for test in found]


def group(rng: np.random.Generator, hours: int = 12) -> dict[str, Any]:
    """Twenty parties that take turns over a pool of sixty items, in some order in the log."""
    who = np.concatenate([rng.permutation(20) for _ in range(60)])
    item = np.concatenate([rng.permutation(60) for _ in range(20)])
    time = np.sort(rng.choice(hours * HOUR, who.size, replace=False))
    return {"who": who, "item": item, "time": time, "template": np.zeros(who.size, int)}


def test_the_tests_of_work_are_the_five_that_are_known(make_log: MakeLog):
    rng = np.random.default_rng(0)
    log = make_log(**group(rng))
    found = told(log, seen(log), rng.integers(-50, 50, (1200, 8)))
    assert [name for name, *_ in found] == [
        "even_load",
        "exchangeable_topics",
        "taken_in_turn",
        "swept_items",
        "regular_multiplicity",
        "even_arrivals",
    ]
    strength = {name: log_e for name, _, log_e, _ in found}
    assert strength["taken_in_turn"] > 20
    assert strength["swept_items"] > 20
    assert strength["even_load"] > 0


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_neither_the_order_of_rows_nor_unrelated_traffic_changes_what_a_group_is_tested_on(
    make_log: MakeLog, seed: int
):
    rng = np.random.default_rng(seed)
    columns, points = group(rng), rng.integers(-50, 50, (1200, 8)).astype(np.int8)
    alone = make_log(**columns)
    more = {
        "who": rng.integers(20, 90, 500),
        "item": rng.integers(0, 60, 500),
        "time": rng.integers(0, 12 * HOUR, 500),
        "template": np.full(500, 1),
    }
    order = rng.permutation(1700)
    among = make_log(**{name: np.concatenate([columns[name], more[name]])[order] for name in columns})
    mine = np.flatnonzero(order < 1200)
    a, b = seen(alone), seen(among, mine)
    assert np.array_equal(order[b.rows], a.rows)
    assert np.array_equal(order[b.test], a.test)
    assert np.array_equal(b.parties, a.parties)
    assert evidence.same_work(among, b) == evidence.same_work(alone, a)
    moved = np.concatenate([points, rng.integers(-50, 50, (500, 8)).astype(np.int8)])[order]
    for one, other in zip(told(alone, a, points), told(among, b, moved), strict=True):
        assert one[0] == other[0]
        assert other[1:] == pytest.approx(one[1:])


def test_a_shift_by_whole_weeks_changes_nothing(make_log: MakeLog):
    rng = np.random.default_rng(2)
    columns, points = group(rng), rng.integers(-50, 50, (1200, 8)).astype(np.int8)
    first = make_log(**columns)
    later = make_log(**{**columns, "time": columns["time"] + 7 * 24 * HOUR * 2_000})
    assert told(later, seen(later), points) == told(first, seen(first), points)


@pytest.mark.parametrize("minute", [0, 14, 30, 50])
def test_a_steady_stream_is_seen_whenever_in_the_hour_it_begins(make_log: MakeLog, minute: int):
    rng = np.random.default_rng(minute)
    begin = HOUR + minute * HOUR // 60
    steady = np.arange(begin, 13 * HOUR, HOUR // 120) + rng.integers(0, HOUR // 240)
    # Its parties were seen before, in a screening slot.
    time = np.concatenate([np.arange(20), steady])
    log = make_log(np.concatenate([np.arange(20), rng.integers(0, 20, steady.size)]), time=time)
    found = {name: log_e for name, _, log_e, _ in told(log, seen(log), np.zeros((time.size, 8), np.int8))}
    assert found["even_arrivals"] > 20 * np.log(2)


def test_nothing_in_the_tested_slots_is_no_evidence(make_log: MakeLog):
    log = make_log(np.tile(np.arange(8), 10), time=np.arange(80))
    found = told(log, seen(log), np.zeros((80, 8), np.int8))
    assert [log_e for _, _, log_e, _ in found] == [0.0] * len(found)


def test_layers_that_chose_the_candidate_are_told_and_do_not_count(make_log: MakeLog, make_layer: MakeLayer):
    log = make_log(np.tile(np.arange(8), 40))
    layers = {
        name: make_layer(name, [(p, "x" if p < 8 else f"{p}") for p in range(90)], 90)
        for name in ("payment", "device", "network", "cohort")
    }
    points = np.zeros((320, 8), np.int8)
    free = evidence.tests(log, seen(log), layers, points, Margins(), tied=False, alike=False)
    tied = evidence.tests(log, seen(log), layers, points, Margins(), tied=True, alike=False)
    assert [(t.name, t.log_e, t.value) for t in free] == [(t.name, t.log_e, t.value) for t in tied]
    silenced = [a.name for a, b in zip(free, tied, strict=True) if a.weight > 0 and b.weight == 0]
    assert silenced == ["spaced_apart", "shared_payment", "shared_device", "shared_network"]
    assert all("chose the candidate" in t.note for t in tied if t.name in silenced)


# The slots.


def test_of_each_two_slots_one_chooses_and_one_tests():
    week = screening(np.arange(7 * 24 * 6) * SLOT)
    assert (week.reshape(-1, 2).sum(axis=1) == 1).all()
    assert np.array_equal(screening(np.arange(7 * 24 * 6) * SLOT + SLOT - 1), week)
    assert np.array_equal(screening((np.arange(7 * 24 * 6) + 7 * 24 * 6 * 2900) * SLOT), week)


@pytest.mark.parametrize("every", [1, 3, 24])
def test_jobs_at_the_full_hour_fall_on_both_sides(every: int):
    runs = np.arange(0, 7 * 24, every) * HOUR
    assert 0.1 < screening(runs).mean() < 0.9
