"""Evidence for one candidate: which tests apply, on which slots of time, and what they say.

Candidates are chosen with the exchanges of the screening slots (intent), and tested for coordination on the other
slots, so that the choice does not bias the test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import coordination as co
from spiritsafe.campaigns import multiplicity, spacing, traces
from spiritsafe.campaigns._distinct import dense, distinct, kinds, places
from spiritsafe.campaigns.coordination import Test
from spiritsafe.campaigns.log import HOUR, SLOT, STRONG

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.campaigns.clusters import Candidate
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

#: Tests that stand on the same kind of fact make one layer: an order that closes accounts needs two.
GROUPS = {
    "even_load": "load",
    "taken_in_turn": "load",
    "even_arrivals": "timing",
    "spaced_apart": "timing",
    "exchangeable_topics": "content",
    "swept_items": "content",
    "regular_multiplicity": "content",
    **traces.GROUPS,
}
#: What an accusation may rest on. People in one place share networks, cohorts and clients; that is context only.
DECISIVE = (*GROUPS, "shared_payment", "shared_device")

_PARTS = 15
"""Parts of two minutes in the tested half of an hour."""
_COMMON, _COMMON_SHARE = 8, 0.2
"""Items in common in the slots of the choice, and their share, without which multiplicities are not worth a test."""


@dataclass(frozen=True, slots=True)
class Margins:
    """How heterogeneous independent customers are at least, from the calibration."""

    load_spread: float = 0.25
    topic_correlation: float = 0.05


@dataclass(frozen=True, slots=True)
class View:
    """A candidate split for testing. ``parties`` int64: those seen in the screening slots, the units of every test.

    ``whole``: all of the candidate's exchanges where this view is of some of its parties.
    """

    rows: Any
    screen: Any
    test: Any
    parties: Any
    whole: Any = None

    def laid(self, keep: Callable[[Any], Any]) -> View:
        """The same with its exchanges where ``keep`` puts them."""
        return replace(self, rows=keep(self.rows), screen=keep(self.screen), test=keep(self.test))


def view(log: Log, candidate: Candidate) -> View:
    """Split a candidate's exchanges by hour; the parties come from the screening half only."""
    rows = _in_time(log, candidate.rows)
    early = log.screening(rows)
    parties = distinct(log.row_party[rows[early]])
    test = rows[~early]
    test = test[places(log.row_party[test], parties, log.parties) >= 0]
    return View(rows, rows[early], test, parties).laid(log.shelf.keep)


def _in_time(log: Log, rows: Any) -> Any:
    """``rows`` by time; mixed within a tick of a coarse clock, where a file may be in the order of accounts."""
    time = log.time[rows]
    order = np.argsort(time)
    ordered = time[order]
    if (ordered[1:] != ordered[:-1]).all():
        return rows[order]
    tie = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    tie = (tie ^ (tie >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return rows[np.lexsort((tie, time))]


def tests(
    log: Log,
    seen: View,
    layers: dict[str, Layer],
    projections: Any,
    margins: Margins,
    *,
    tied: bool,
    alike: bool,
) -> list[Test]:
    """All coordination tests that the log's columns and the candidate's size allow.

    ``tied``: shared infrastructure chose the candidate, so those layers are told but do not count, nor does how accounts are
    spaced: what holds them together may have one queue. ``alike``: near projections chose its exchanges, so that their mix of
    topics does not count.
    """
    found = [*work(log, seen, projections, margins), *traces.tests(log, seen.parties, seen.test)]
    apart = spacing.spaced(log, seen, layers)
    found.append(_silenced(apart) if tied else apart)
    for test in ties(seen, layers):
        chosen = tied and test.name.removeprefix("shared_") in STRONG
        found.append(_silenced(test) if chosen else test)
    return [_silenced(test) if alike and test.name == "exchangeable_topics" else test for test in found]


def _silenced(test: Test) -> Test:
    return replace(test, weight=0.0, note="chose the candidate, does not count")


def work(log: Log, seen: View, projections: Any, margins: Margins) -> list[Test]:
    """How the work is shared out: loads, topics, turns, items, arrivals."""
    party = np.searchsorted(seen.parties, log.row_party[seen.test])
    counts = np.bincount(party, minlength=seen.parties.size)
    mean = counts.mean() if counts.size else 0.0
    spread = (counts.var() - mean) / mean**2 if mean else 0.0
    found = [
        Test(
            "even_load",
            "Do the accounts carry more even loads than independent customers would?",
            f"independent customers whose rates vary (CV²) by at least {margins.load_spread}",
            "squared coefficient of variation of rates",
            float(spread),
            margins.load_spread,
            co.even_load(counts, spread=margins.load_spread),
            int(counts.size),
            1.0,
        )
    ]
    found += _topics(log, seen, projections, margins)
    found.append(turns(log, seen, seen.parties))
    label = party[: co.MOST_ROWS]
    item = log.exact[seen.test][: co.MOST_ROWS]
    pool = kinds(item)
    found.append(
        Test(
            "swept_items",
            "Is one pool of items worked through pass by pass?",
            "given how often each item occurs, every order is equally likely",
            "different items per exchange",
            float(pool / max(1, item.size)),
            1.0,
            co.swept(item),
            int(item.size),
            1.0,
        )
    )
    if _shared_pool(log, seen.screen):
        found.append(_multiplicity(item, label))
    # Whose requests they are does not matter here: those who were not seen before are part of the stream.
    log_e, grid = pace(log, seen.rows)
    found.append(
        Test(
            "even_arrivals",
            "Do requests arrive more regularly than chance allows?",
            "arrivals of each hour fall independently (Poisson given the hour's total)",
            "variance to mean of two-minute counts",
            float(grid.var() / grid.mean()) if grid.size and grid.mean() else 0.0,
            1.0,
            log_e,
            int(grid.sum()),
            1.0,
        )
    )
    return found


def turns(log: Log, seen: View, parties: Any) -> Test:
    """Whether ``parties`` (int64, sorted) of a candidate take turns among all of it."""
    label, time, tested = _in_order(log, seen, parties)
    return Test(
        "taken_in_turn",
        "Do the accounts take turns, as behind a load balancer?",
        "given the other slots, every order of the accounts in the tested ones is equally likely (bursts only lower the value)",
        "exchanges until the same account returns, median",
        _median_return(label),
        float(max(1, kinds(label)) * np.log(2)),
        co.taken_in_turn(label, time, tested),
        int(tested.sum()),
        1.0,
    )


def strength_of_turns(log: Log, seen: View, parties: Any) -> float:
    """The log e-value of ``turns``."""
    return co.taken_in_turn(*_in_order(log, seen, parties))


def _in_order(log: Log, seen: View, parties: Any) -> tuple[Any, Any, Any]:
    """Who sent each exchange of a candidate's parties (their place), when, and whether a bet on ``parties`` is about it."""
    label = places(log.row_party[seen.rows], seen.parties, log.parties)
    mine = np.flatnonzero(label >= 0)[: 2 * co.MOST_ROWS]
    label, rows = label[mine], seen.rows[mine]
    tested = ~log.screening(rows)
    if parties.size < seen.parties.size:
        tested &= np.isin(seen.parties, parties)[label]
    return label, log.time[rows], tested


def turns_of_choice(log: Log, seen: View) -> float:
    """Log e-value that the parties take turns, from the slots of the choice alone: what may choose the candidate."""
    rows = seen.screen[: 2 * co.MOST_ROWS]
    return co.taken_in_turn(np.searchsorted(seen.parties, log.row_party[rows]), log.time[rows])


def pace(log: Log, rows: Any) -> tuple[float, Any]:
    """Log e-value that ``rows`` arrive more regularly than chance allows, and their counts in tested slots (``_arrivals``)."""
    grid = _arrivals(log.time[rows[~log.screening(rows)]])
    return co.even_arrivals(grid), grid


def _arrivals(time: Any) -> Any:
    """Int (hours, parts): exchanges in each two minutes of an hour's three tested slots."""
    hours, row = dense(time // HOUR)
    part = time % HOUR // (2 * SLOT) * (_PARTS // 3) + time % SLOT * (_PARTS // 3) // SLOT
    return np.bincount(row * _PARTS + part, minlength=hours.size * _PARTS).reshape(-1, _PARTS)


def _shared_pool(log: Log, rows: Any) -> bool:
    """Whether enough items were sent by two or more parties to ask how regularly that happens."""
    _, item = dense(log.exact[rows])
    holders = np.bincount(distinct(item.astype(np.int64) * log.parties + log.row_party[rows]) // log.parties)
    return bool((holders > 1).sum() >= max(_COMMON, _COMMON_SHARE * holders.size))


def _multiplicity(item: Any, party: Any) -> Test:
    regular = multiplicity.regularity(item, party)
    return Test(
        "regular_multiplicity",
        "Is each item given to the same number of accounts?",
        "customers draw from one pool, with or without replacement, each item with a popularity of its own",
        f"share of items asked by {regular.times} accounts",
        regular.share,
        regular.expected,
        regular.log_e,
        int(item.size),
        1.0,
    )


def _topics(log: Log, seen: View, projections: Any, margins: Margins) -> list[Test]:
    base = np.asarray(projections[np.sort(seen.screen[: co.MOST_ROWS])], np.float64)
    if base.shape[0] < 16 or seen.test.size < 16:
        return []
    test = seen.test[: co.MOST_ROWS]
    order = np.sort(test)
    # Whole numbers below 2^53 and axes rounded to whole numbers: sums and scores are exact in any order, on any machine,
    # and a text that lies on the cut lies on it everywhere.
    points = np.asarray(projections[order], np.float64)
    total, size = base.sum(axis=0), base.shape[0]
    spread = (size * (base.T @ base) - np.outer(total, total)) / (size * (size - 1.0))
    _, axes = np.linalg.eigh(spread + np.eye(base.shape[1]) * 1e-6)
    axes = np.rint(axes[:, -4:] * 4096)
    scores = base @ axes
    cut = np.median(scores, axis=0)
    powers = 1 << np.arange(4)
    prior = np.bincount((scores > cut) @ powers, minlength=16) + 1.0
    bucket = ((points @ axes) > cut) @ powers
    party = np.searchsorted(seen.parties, log.row_party[order])
    table = np.bincount(party * 16 + bucket, minlength=seen.parties.size * 16).reshape(-1, 16)
    return [
        Test(
            "exchangeable_topics",
            "Do all accounts draw their work from one and the same mix of topics?",
            f"accounts have own topics (intra-class correlation at least {margins.topic_correlation})",
            "intra-class correlation of topics",
            _correlation(table),
            margins.topic_correlation,
            co.exchangeable(table, prior, correlation=margins.topic_correlation),
            int(table.sum()),
            1.0,
        )
    ]


def _correlation(table: Any) -> float:
    """Moment estimate of the intra-class correlation over buckets (Weir & Cockerham form)."""
    n = table.sum(axis=1)
    table, n = table[n > 1], n[n > 1]
    if not n.size:
        return 0.0
    share = table.sum(axis=0) / n.sum()
    within = (table * (n[:, None] - table) / (n[:, None] * (n[:, None] - 1))).sum(axis=1)
    agree = 1 - np.average(within, weights=n)
    chance = float((share**2).sum())
    return float((agree - chance) / max(1e-9, 1 - chance))


def _median_return(labels: Any) -> float:
    order = np.argsort(labels, kind="stable")
    same = np.diff(labels[order]) == 0
    gaps = np.diff(order)[same]
    return float(np.median(gaps)) if gaps.size else float(labels.size)


def ties(seen: View, layers: dict[str, Layer]) -> list[Test]:
    """What the parties hold in common, layer by layer."""
    found: list[Test] = []
    for layer in layers.values():
        value = layer.designated[seen.parties]
        held, place = dense(value[value >= 0])
        counted = layer.designations[held]
        holders = np.bincount(place, minlength=held.size)
        together = int(holders[holders > 1].sum())
        pool = layer.designated_parties
        expected = float((place.size * (counted[place] - 1) / max(1, pool - 1)).sum())
        found.append(
            Test(
                f"shared_{layer.name}",
                f"Do more accounts share a {layer.name} value than accounts picked at random?",
                "the accounts are a random draw from all accounts of the log",
                "accounts that share a value with another",
                float(together),
                min(expected, float(place.size)),
                co.shared(place, counted, pool),
                int(place.size),
                layer.weight,
                note="context only" if layer.weight < 0.1 else "",  # noqa: PLR2004
            )
        )
    return found


def same_work(log: Log, seen: View) -> float:
    """Overlap coefficient of the parties' items: 1 when each does the same work, near 0 when work is shared out."""
    party = places(log.row_party[seen.rows], seen.parties, log.parties)
    known = party >= 0
    _, item = dense(log.exact[seen.rows])
    pair = distinct(item[known] * seen.parties.size + party[known])
    items, who = np.divmod(pair, max(1, seen.parties.size))
    shared = np.bincount(items).astype(float)
    own = np.sort(np.bincount(who, minlength=seen.parties.size)).astype(float)
    smaller = (own * np.arange(own.size - 1, -1, -1)).sum()
    return float((shared * (shared - 1) / 2).sum() / smaller) if smaller else 0.0
