"""Ring: who keeps a place in the round joins it; no habit, no clock and no coincidence does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe import pipeline
from spiritsafe.campaigns import ring
from spiritsafe.campaigns.log import HOUR
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.campaigns.log import Log

KNOWN, MISSING, CUSTOMERS = 30, 14, 300
ROUNDS = 26
DAY = 24 * HOUR
WHOLE = KNOWN + MISSING


def queue(rng: np.random.Generator, *, rounds: float = ROUNDS, whole: int = WHOLE) -> tuple[Any, Any]:
    """Who (0 … ``whole``) is dealt to when (microseconds of a day): round after round in one order, one in each cell of time."""
    total = round(rounds * whole)
    time = (np.arange(total) + rng.random(total)) / total * DAY
    return np.tile(rng.permutation(whole), total // whole + 1)[:total], time


def customers(rng: np.random.Generator) -> tuple[Any, Any]:
    """Independent customers about as busy: at random, in office hours, in one run, and clocks of other periods."""
    who: list[Any] = []
    time: list[Any] = []
    for number in range(CUSTOMERS):
        many = int(rng.choice([14, 20, 22, 24, 25, 27, 30, 39]))
        habit = number % 4
        if habit == 0:
            at = rng.random(many) * DAY
        elif habit == 1:
            at = (9 + 8 * rng.random(many)) * HOUR
        elif habit == 2:
            at = (rng.random() + 1e-3 * rng.random(many)) * 23 * HOUR
        else:
            at = (rng.random() + np.arange(many)) * DAY / many + rng.normal(0, 2e6, many)
        who.append(np.full(many, WHOLE + number))
        time.append(at)
    return np.concatenate(who), np.concatenate(time)


def ticking(rng: np.random.Generator, many: int, rounds: int, first: int) -> tuple[Any, Any]:
    """So many clocks, ``first`` and following, that strike so many times a day, each at a phase of its own."""
    at = (np.tile(np.arange(rounds), many) + np.repeat(rng.random(many), rounds)) * DAY / rounds
    return np.repeat(first + np.arange(many), rounds), at


def composed(
    make_log: Callable[..., Log], *parts: tuple[Any, Any], known: int = KNOWN, **columns: Any
) -> tuple[Log, Any]:
    """A log of these senders and times, and the exchanges of the known members in it."""
    who = np.concatenate([one for one, _ in parts])
    time = np.concatenate([at for _, at in parts]).clip(0, DAY).astype(np.int64)
    order = np.argsort(time, kind="stable")
    log = make_log(who[order], time=time[order], **columns)
    return log, np.flatnonzero(log.acc < known)


def found(log: Log, rows: Any, held: Any = (), known: int = KNOWN) -> tuple[list[int], Any, float]:
    joined, more, sure = ring.joined(
        log, np.arange(known), rows, np.union1d(np.arange(known), held).astype(int)
    )
    return joined.tolist(), more, sure


@pytest.mark.parametrize("seed", range(20))
def test_all_that_are_missing_from_a_round_join_it_and_nobody_else(make_log: Callable[..., Log], seed: int):
    rng = np.random.default_rng(seed)
    log, rows = composed(make_log, queue(rng), customers(rng))
    joined, more, sure = found(log, rows)
    assert joined == list(range(KNOWN, WHOLE))
    assert more.tolist() == np.flatnonzero((log.acc >= KNOWN) & (log.acc < WHOLE)).tolist()
    assert 0.9 <= sure < 1


def test_customers_alone_never_have_a_place(make_log: Callable[..., Log]):
    met = 0
    for seed in range(100):
        rng = np.random.default_rng(1000 + seed)
        who, time = queue(rng)
        inside = who < KNOWN
        log, rows = composed(make_log, (who[inside], time[inside]), customers(rng))
        met += len(found(log, rows)[0])
    assert met == 0


@pytest.mark.parametrize("clocks", [1, 3, 20])
def test_clocks_of_the_very_period_do_not_join(make_log: Callable[..., Log], clocks: int):
    """Whether they strike where a member is missing or not; and beside them nobody joins whom they could be."""
    met = 0
    for seed in range(60):
        rng = np.random.default_rng(2000 + seed)
        who, time = queue(rng)
        inside = who < KNOWN
        log, rows = composed(make_log, (who[inside], time[inside]), ticking(rng, clocks, ROUNDS, KNOWN))
        met += len(found(log, rows)[0])
    assert met == 0


@pytest.mark.parametrize("each", [4, 5, 7])
def test_few_rounds_of_many_accounts_tell_as_much(make_log: Callable[..., Log], each: int):
    """Also of a period that clocks are set to, where many join and no account that keeps it has no place."""
    missed = 0
    for seed in range(5):
        rng = np.random.default_rng(400 + seed)
        who, at = customers(rng)
        few = rng.random(who.size) < each / ROUNDS
        log, rows = composed(
            make_log, queue(rng, rounds=each, whole=500), (who[few] - WHOLE + 500, at[few]), known=330
        )
        joined, more, _ = found(log, rows, known=330)
        assert set(joined) <= set(range(330, 500))
        assert more.size == each * len(joined)
        missed += 170 - len(joined)
    assert missed <= 0.2 * 5 * 170


@pytest.mark.parametrize(("clocks", "jitter"), [(1, 0.0), (1, 1e6), (3, 1e6), (20, 1e6), (20, 20e6)])
def test_clocks_do_not_join_a_ring_of_few_rounds(make_log: Callable[..., Log], clocks: int, jitter: float):
    """Four a day; they are on time, or there are too many of them. ``jitter``: standard deviation in microseconds."""
    met = 0
    for seed in range(20):
        rng = np.random.default_rng(500 + seed)
        ring_ = queue(rng, rounds=4, whole=500)
        of, at = ticking(rng, clocks, 4, 500)
        log, rows = composed(
            make_log, ring_, (of, at + rng.normal(0, jitter, of.size) if jitter else at), known=330
        )
        met += sum(one >= 500 for one in found(log, rows, known=330)[0])
    assert met == 0


def lost(rng: np.random.Generator, part: tuple[Any, Any], many: int) -> tuple[Any, Any]:
    """The same without so many of its exchanges."""
    stays = np.ones(part[0].size, bool)
    stays[rng.choice(stays.size, many, replace=False)] = False
    return part[0][stays], part[1][stays]


@pytest.mark.parametrize(("rounds", "whole", "known"), [(4, 500, 330), (24, 44, 30)])
@pytest.mark.parametrize("many", [1, 8, 40])
def test_requests_that_are_missing_do_not_let_a_clock_in(
    make_log: Callable[..., Log], rounds: int, whole: int, known: int, many: int
):
    """A round would seem longer by them, and no clock to keep such a one."""
    met = 0
    for seed in range(10):
        rng = np.random.default_rng(1300 + seed)
        part = lost(rng, queue(rng, rounds=rounds, whole=whole), many)
        log, rows = composed(make_log, part, ticking(rng, 3, rounds, whole), known=known)
        met += sum(one >= whole for one in found(log, rows, known=known)[0])
    assert met == 0


@pytest.mark.parametrize(
    ("rounds", "whole", "known", "part"), [(26, 500, 330, 0.03), (26, 100, 65, 0.02), (4, 500, 330, 0.01)]
)
def test_requests_that_are_missing_keep_few_out(
    make_log: Callable[..., Log], rounds: int, whole: int, known: int, part: float
):
    """Who follows a member that missed a round comes after the one before it, and is no clock without a place."""
    joined = 0
    for seed in range(4):
        rng = np.random.default_rng(1600 + seed)
        sent = lost(rng, queue(rng, rounds=rounds, whole=whole), round(part * rounds * whole))
        log, rows = composed(make_log, sent, known=known)
        joined += len(found(log, rows, known=known)[0])
    assert joined >= 0.7 * 4 * (whole - known)


@pytest.mark.parametrize("rounds", [12, 24, 26, 50])
@pytest.mark.parametrize("stray", ["a late run", "one more request"])
def test_one_stray_exchange_does_not_make_a_clock_late(make_log: Callable[..., Log], rounds: int, stray: str):
    met = 0
    for seed in range(10):
        rng = np.random.default_rng(1700 + seed)
        _, at = ticking(rng, 1, rounds, 500)
        if stray == "a late run":
            at[rng.integers(rounds)] += 0.02 * DAY / rounds
        else:
            at = np.append(at, rng.random() * DAY)
        log, rows = composed(
            make_log, queue(rng, rounds=rounds, whole=500), (np.full(at.size, 500), at), known=330
        )
        met += sum(one >= 500 for one in found(log, rows, known=330)[0])
    assert met == 0


@pytest.mark.parametrize("rounds", [60, 100])
def test_a_few_requests_that_are_late_keep_nobody_out(make_log: Callable[..., Log], rounds: int):
    rng = np.random.default_rng(1400 + rounds)
    who, time = queue(rng, rounds=rounds, whole=500)
    late = 60e6 * (rng.random(time.size) < 0.01)
    log, rows = composed(make_log, (who, time + late), known=330)
    joined, _, _ = found(log, rows, known=330)
    assert set(joined) <= set(range(330, 500))
    assert len(joined) >= 165


@pytest.mark.parametrize(
    ("each", "others", "gap", "tick"), [(8, 3, 1e5, 1e6), (3, 1, 5e5, 1e6), (5, 2, 4e7, 6e7)]
)
def test_on_a_coarse_clock_not_all_is_in_time(
    make_log: Callable[..., Log], each: int, others: int, gap: float, tick: float
):
    """Bursts of parallel requests: the time between two of an account's is a step of the clock, or none."""
    rng = np.random.default_rng(1500)
    begin = np.repeat(rng.random(KNOWN), each) * DAY
    who = np.concatenate([np.repeat(np.arange(KNOWN), each), np.repeat(np.arange(KNOWN), others)])
    time = np.concatenate([begin + rng.random(begin.size) * gap, rng.random(KNOWN * others) * DAY])
    order = np.argsort(time // tick, kind="stable")
    log = make_log(who[order], time=(time // tick * tick)[order].astype(np.int64))
    mine = np.flatnonzero(order < begin.size)
    home = np.arange(KNOWN)
    assert ring.dealt(log, home, mine, ring.sent_by(log, home)).tolist() == mine.tolist()


@pytest.mark.parametrize(("known", "each"), [(20, 4), (30, 4), (330, 4)])
def test_customers_of_few_requests_never_have_a_place(make_log: Callable[..., Log], known: int, each: int):
    met = 0
    for seed in range(40):
        rng = np.random.default_rng(600 + seed)
        who, time = queue(rng, rounds=each, whole=2 * known)
        inside = who < known
        many = 3000
        of = np.repeat(2 * known + np.arange(many), each)
        at = (np.tile(np.arange(each), many) + rng.random(of.size)) * DAY / each
        log, rows = composed(make_log, (who[inside], time[inside]), (of, at), known=known)
        met += len(found(log, rows, known=known)[0])
    assert met == 0


@pytest.mark.parametrize("each", [24, 48, 18])
def test_of_a_period_that_clocks_are_set_to_few_accounts_show_nothing(
    make_log: Callable[..., Log], each: int
):
    rng = np.random.default_rng(5)
    log, rows = composed(make_log, queue(rng, rounds=each))
    assert found(log, rows)[0] == []
    other, rows = composed(make_log, queue(rng, rounds=each + 1))
    assert found(other, rows)[0] == list(range(KNOWN, WHOLE)), "with another period they are found"


def test_who_is_held_or_declared_or_no_longer_counts_does_not_join(make_log: Callable[..., Log]):
    rng = np.random.default_rng(7)
    who, time = queue(rng)
    declared = np.arange(WHOLE) == KNOWN + 1
    log, rows = composed(make_log, (who, time), declared=declared, party=np.arange(WHOLE))
    log.live[log.acc == KNOWN + 2] = False
    assert found(log, rows, held=[KNOWN])[0] == list(range(KNOWN + 3, WHOLE))


def test_without_an_order_or_with_few_members_there_is_no_ring(make_log: Callable[..., Log]):
    rng = np.random.default_rng(8)
    who, time = queue(rng)
    log, rows = composed(make_log, (rng.permutation(who), time))
    assert found(log, rows)[0] == []
    log, rows = composed(make_log, (who, time))
    few = np.arange(15)
    assert not ring.joined(log, few, np.flatnonzero(log.acc < few.size), few)[0].size
    assert not ring.joined(log, np.arange(KNOWN), rows[:50], np.arange(KNOWN))[0].size, "two rounds"


@pytest.mark.parametrize("late", [0.0, 60e6])
def test_what_is_dealt_to_members_is_the_campaign_s_whatever_it_says(
    make_log: Callable[..., Log], late: float
):
    rng = np.random.default_rng(9)
    who, time = queue(rng)
    # Half of the work comes a minute later, so that there is no order, but a time for each.
    log, _ = composed(make_log, (who, time + late * (rng.random(who.size) < 0.5)))
    home = np.arange(WHOLE)
    some = np.flatnonzero(rng.random(who.size) < 0.6)
    got = ring.dealt(log, home, some, ring.sent_by(log, home))
    assert got.size >= 0.98 * who.size
    assert np.isin(some, got).all()
    assert (np.diff(got) > 0).all()


def test_of_few_exchanges_a_member_s_own_request_is_not_the_campaign_s(make_log: Callable[..., Log]):
    """Nearly all members must keep one period with what they send, or a window of their time takes what falls into it."""
    rng = np.random.default_rng(16)
    who, time = queue(rng, rounds=5, whole=100)
    own = np.arange(18), rng.random(18) * DAY
    log, _ = composed(make_log, (who, time + 30 * 60e6 * rng.random(who.size)), own)
    some = np.sort(rng.choice(who.size, who.size // 2, replace=False))
    assert ring.dealt(log, np.arange(100), some, ring.sent_by(log, np.arange(100))).tolist() == some.tolist()


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_what_a_member_s_other_customers_send_is_not(make_log: Callable[..., Log], share: float):
    rng = np.random.default_rng(10)
    who, time = queue(rng)
    many = round(who.size * share / (1 - share))
    log, _ = composed(make_log, (who, time), (rng.integers(WHOLE, size=many), rng.random(many) * DAY))
    some = np.sort(rng.choice(who.size + many, who.size // 2, replace=False))
    home = np.arange(WHOLE)
    assert ring.dealt(log, home, some, ring.sent_by(log, home)).tolist() == some.tolist()


@pytest.mark.parametrize("seed", range(10))
def test_whom_the_round_passes_over_is_misplaced_and_no_member_is(make_log: Callable[..., Log], seed: int):
    rng = np.random.default_rng(300 + seed)
    who, time = queue(rng)
    late = 60e6 * (rng.random(who.size) < 0.5)
    beside = np.repeat(WHOLE + np.arange(6), 12)
    log, _ = composed(make_log, (who, time + late), (beside, rng.random(beside.size) * DAY))
    home = np.arange(WHOLE + 6)
    assert (
        np.flatnonzero(ring.misplaced(log, home, ring.sent_by(log, home))).tolist() == home[WHOLE:].tolist()
    )
    crowd = np.arange(WHOLE - 5, WHOLE + 6)
    assert not ring.misplaced(log, crowd, ring.sent_by(log, crowd)).any(), (
        "most keep no time: that tells nothing"
    )
    other, at = customers(rng)
    log, _ = composed(make_log, (other - WHOLE, at))
    everybody = np.arange(CUSTOMERS)
    assert not ring.misplaced(log, everybody, ring.sent_by(log, everybody)).any()


def test_a_scan_tells_whom_a_place_in_the_round_alone_makes_a_member(tmp_path: Path):
    """Bare work, no two prompts alike; thirty accounts have cards in common, fourteen have nothing."""
    rng = np.random.default_rng(12)
    words = [
        f"{a}{b}"
        for a in ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti")
        for b in ("dor", "fen", "gal", "hix", "jom")
    ]
    who, time = queue(rng)
    other, at = customers(rng)
    who, time = np.concatenate([who, other]), np.concatenate([time, at]).clip(0, DAY - 1)
    lines = [
        {
            "time": int(1_772_323_200_000 + moment / 1000),
            "account_id": f"account-{one:03}",
            "prompt": " ".join(rng.choice(words, 24)),
            "payment_id": f"card-{one % 3 if one < KNOWN else one}",
            "device_id": f"device-{one % 5 if one < KNOWN else one}",
        }
        for one, moment in zip(who.tolist(), time.tolist(), strict=True)
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    pipeline.scan([log], tmp_path / "out", settings=Settings(threads=1))
    told = json.loads((tmp_path / "out" / "campaigns.json").read_text("utf-8"))["campaigns"]
    (accused,) = [one for one in told if one["label"] == "campaign"]
    by = {one["account_id"]: one.get("by") for one in accused["accounts"]}
    assert by == {f"account-{n:03}": None if n < KNOWN else "round" for n in range(WHOLE)}
    assert accused["exchanges"] == (who < WHOLE).sum()
    assert any("clock" in one for one in accused["clears"])
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert f"{MISSING} of them belong by their place in the round of requests alone." in page
