"""Ring: accounts that share nothing with a campaign's but their place in the round in which one hand deals to all of them.

A dispatcher that deals to a fixed list of accounts comes to each of them after the same other one, round after round. Bare work
on cards, devices and addresses of its own is tied to a campaign by that alone. What is asked of an account: that it sends once a
round, always between the same two members. Independent customers of any habit do not; but a clock of the very same period keeps
its place, too, if it happens to strike where a member is missing. So three things are asked of the ring. Its period must be none
that people set clocks to (``_CLOCKS``), unless it is so uneven that a clock would lose its place; nearly all accounts of the log
that keep its period must have a place in it, since clocks would fall anywhere; and each joins only if it keeps its place beside
all who join (ADR 31).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import dense, distinct, places, union
from spiritsafe.campaigns._passes import pieces, where

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log

_LEAST, _ROUNDS = 20, 16
"""Members that a ring has at least, and rounds in which an account is seen: of any habit, one of 10^6 keeps time by chance."""
_FIXED = 0.8
"""Share of a ring's exchanges that come after the same other member as most of this one's."""
_KEEPS = 0.9
"""The same of who joins; and of the rounds between its first and its last exchange in which it sends."""
_MOST, _LOST = 0.8, 0.7
"""Share of a campaign's members that keep time before the others are asked for theirs; and where one keeps none."""
_IN_TIME = 0.95
"""Length of the mean of an account's places, as points of a circle, from which it keeps the ring's period."""
_OFF = 0.1
"""Part of the period by which an exchange may miss its account's time and still be dealt."""
_FALSE, _SURE = 0.01, 0.9
"""Of those who join, the share that may be clocks, by how many that keep the period have no place in it; and if there were
one more of these: so that few accounts do not join, of whom each could be a clock that strikes well.
"""
_MINUTE = 60_000_000
_CLOCKS = (5 * _MINUTE, *(_MINUTE * n for n in (1, 2, 3, 4, 6, 12)))
"""Periods that clocks are set to: multiples of the first, and the others."""
_PHASES = 64


@dataclass(frozen=True, slots=True)
class _Ring:
    """A round of ``members`` (int64, in its order), its exchanges' times (int64, sorted) and who sent each (int, by place).

    ``period``: see ``_period``.
    """

    members: Any
    time: Any
    place: Any
    period: float

    def before(self, time: Any) -> tuple[Any, Any]:
        """Int by time: the exchange that is the last before it, −1 for none, and the place of who sent that, or would have."""
        at = np.searchsorted(self.time, time, side="right") - 1
        return at, np.where(at >= 0, self.place[at], (self.place[0] - 1) % self.members.size)


def joined(log: Log, home: Any, rows: Any, held: Any) -> tuple[Any, Any, float]:
    """Parties (int64, sorted) that have a place in a campaign's round, their exchanges, and how probably each is no clock.

    ``home`` int64: the campaign's parties; ``rows`` int: its exchanges; ``held`` int64: parties that belong to some campaign.
    """
    nothing = np.zeros(0, np.int64), np.zeros(0, rows.dtype), 0.0
    ring = _ring(log, home, rows)
    if ring is None:
        return nothing
    of, row = _in_time(log, ring, held)
    parties, index = dense(of)
    time = log.time[row]
    fits = _fits(ring, time, index, parties.size)
    if not fits.any():
        return nothing
    by_chance = min(_by_chance(ring), 1 - 1 / _PHASES)
    odds = by_chance / (1 - by_chance)
    # As if one more clock had been seen that has no place.
    sure = 1 - ((~fits).sum() + 1) * odds / fits.sum()
    strangers = (~fits).sum() * odds > _FALSE * fits.sum()
    if sure < _SURE or strangers or (by_chance > _FALSE and _round(ring)):
        return nothing
    mine = fits[index]
    # Beside the ring's members come those who may join, in their order.
    place = np.append(ring.place, ring.members.size + np.searchsorted(parties[fits], of[mine]))
    place = place[np.argsort(np.append(ring.time, time[mine]), kind="stable")]
    _, most, turns = _before(place, ring.members.size + int(fits.sum()))
    found = parties[fits][(most / np.maximum(turns, 1))[ring.members.size :] >= _KEEPS]
    return found, np.sort(row[np.isin(of, found)]), float(sure)


def sent_by(log: Log, home: Any) -> Any:
    """All exchanges (int) of the parties ``home`` that count, by time; of few parties none."""
    if home.size < _LEAST:
        return np.zeros(0, np.int64)
    mine = np.zeros(log.parties, bool)
    mine[home] = True
    every = where(log.live.size, lambda part: log.judged(part) & mine[log.row_party[part]])
    return every[np.argsort(log.time[every], kind="stable")]


def misplaced(log: Log, home: Any, every: Any) -> Any:
    """Boolean by party of ``home`` (int64, sorted): it keeps no time, where nearly all others keep one period with all they send.

    ``every``: ``sent_by`` them.
    """
    place = places(log.row_party[every], home, log.parties)
    _, own, sent, keeps = _phases(place, log.time[every], home.size)
    if keeps.sum() < max(_LEAST, _MOST * home.size):
        return np.zeros(home.size, bool)
    return (sent >= _ROUNDS / 4) & (np.abs(own) < _LOST * sent)


def dealt(log: Log, home: Any, rows: Any, every: Any) -> Any:
    """Sorted exchanges of the parties ``home`` that stand in their place of the round, where nearly all that they send does.

    Where a dispatcher is late now and then there is no order: then those that keep their account's time, where nearly all keep
    one period. ``rows`` int: the campaign's exchanges so far, which are kept; ``every``: ``sent_by`` them, or by some more.
    """
    place = places(log.row_party[every], home, log.parties)
    every, place = every[place >= 0], place[place >= 0]
    if every.size <= rows.size:
        return rows
    before, most, _ = _before(place, home.size)
    if most.sum() / max(1, place.size - 1) >= _KEEPS:
        return union(rows, every[1:][before[place[1:]] == place[:-1]])
    at, own, _, keeps = _phases(place, log.time[every], home.size)
    if keeps.sum() < _KEEPS * home.size:
        return rows
    off = np.abs(np.angle(at * np.conj(own[place]))) / (2 * np.pi)
    return union(rows, every[keeps[place] & (off <= _OFF)])


def _phases(place: Any, time: Any, many: int) -> tuple[Any, Any, Any, Any]:
    """Where each exchange stands in the period, a point of the unit circle; their sum, how many, and who keeps time, by sender.

    ``place`` int by exchange: its sender of ``many``; ``time`` int64, sorted.
    """
    period = _period(place, time)
    at = np.exp(2j * np.pi * ((time - time[:1]) % period / period))
    own, sent = _sums(place, at, many), np.bincount(place, minlength=many)
    return at, own, sent, (sent >= _ROUNDS / 2) & (np.abs(own) >= _IN_TIME * sent)


def _sums(index: Any, at: Any, many: int) -> Any:
    """Complex by index, of ``many``: the sum of the points ``at``."""
    return np.bincount(index, at.real, many) + 1j * np.bincount(index, at.imag, many)


def _period(place: Any, time: Any) -> float:
    """Microseconds between two exchanges of a sender, in the median, at least 1. ``place`` int, ``time`` int64, by time."""
    order = np.argsort(place, kind="stable")
    gap = np.diff(time[order])[np.diff(place[order]) == 0]
    return max(1.0, float(np.median(gap))) if gap.size else 1.0


def _ring(log: Log, home: Any, rows: Any) -> _Ring | None:
    """The round in which the home's parties send; None where they have no order."""
    rows = rows[np.argsort(log.time[rows], kind="stable")]
    place = places(log.row_party[rows], home, log.parties)
    rows, place = rows[place >= 0], place[place >= 0]
    if home.size < _LEAST or rows.size < _ROUNDS * home.size:
        return None
    time = log.time[rows]
    before, most, _ = _before(place, home.size)
    if most.sum() / max(1, place.size - 1) < _FIXED:
        return None
    order = _cycle(before)
    if order.size < max(_LEAST, _KEEPS * home.size):
        return None
    number = np.full(home.size, -1)
    number[order] = np.arange(order.size)
    inside = number[place] >= 0
    time, place = time[inside], number[place[inside]]
    return _Ring(home[order], time, place, _period(place, time))


def _before(place: Any, many: int) -> tuple[Any, Any, Any]:
    """Int by place, of ``many``: which other one it comes after most often, −1 for none; how often; how many turns it has.

    ``place`` int by exchange, by time.
    """
    last, place = place[:-1], place[1:]
    other = place != last
    pair, times = np.unique(place[other].astype(np.int64) * many + last[other], return_counts=True)
    of, after = np.divmod(pair, many)
    order = np.lexsort((-times, of))
    first = order[np.flatnonzero(np.diff(of[order], prepend=-1))]
    before, most = np.full(many, -1), np.zeros(many, np.int64)
    before[of[first]], most[of[first]] = after[first], times[first]
    return before, most, np.bincount(of, weights=times, minlength=many)


def _cycle(before: Any) -> Any:
    """Int: the places of the longest round that ``before`` closes, in its order."""
    best: list[int] = []
    seen = np.zeros(before.size, bool)
    for start in range(before.size):
        chain: list[int] = []
        at = start
        while at >= 0 and not seen[at]:
            seen[at] = True
            chain.append(at)
            at = int(before[at])
        if at in chain and len(chain) - chain.index(at) > len(best):
            best = chain[chain.index(at) :]
    return np.array(best[::-1], np.int64)


def _in_time(log: Log, ring: _Ring, held: Any) -> tuple[Any, Any]:
    """Party and row of the exchanges, within the ring's time, of those who keep its period and are not ``held``; by time."""
    turn, sent = np.zeros(log.parties, complex), np.zeros(log.parties, np.int64)
    each = np.exp(2j * np.pi * np.arange(ring.members.size) / ring.members.size)
    begin, end = int(ring.time[0] - ring.period), int(ring.time[-1] + ring.period)

    def inside(part: slice) -> Any:
        time = log.time[part]
        return np.flatnonzero(log.live[part] & (time >= begin) & (time <= end)) + part.start

    for part in pieces(log.live.size):
        row = inside(part)
        party, at = log.row_party[row], each[ring.before(log.time[row])[1]]
        sent += np.bincount(party, minlength=log.parties)
        turn += _sums(party, at, log.parties)
    usual = np.median(sent[ring.members])
    keeps = (sent >= max(_ROUNDS, 0.5 * usual)) & (sent <= 1.5 * usual) & (np.abs(turn) >= _IN_TIME * sent)
    keeps[held] = False
    keeps[log.party[log.declared]] = False
    found = [row[keeps[log.row_party[row]]] for row in map(inside, pieces(log.live.size))]
    row = np.concatenate(found)
    row = row[np.lexsort((log.time[row], log.row_party[row]))]
    party = log.row_party[row].astype(np.int64)
    # Who sends all at once is in one place of the round, too, but keeps no period.
    same = np.diff(party) == 0
    apart = same & (np.diff(log.time[row]) > ring.period / 2)
    times = np.bincount(party[1:][apart], minlength=log.parties)
    row = row[(times >= _KEEPS * np.bincount(party[1:][same], minlength=log.parties))[party]]
    row = row[np.argsort(log.time[row], kind="stable")]
    return log.row_party[row].astype(np.int64), row


def _fits(ring: _Ring, time: Any, index: Any, many: int) -> Any:
    """Boolean by party: it sends in nearly all rounds of its time, and nearly always after the same member.

    ``index`` int by exchange (by time): its party of ``many``.
    """
    at, after = ring.before(time)
    pair, times = np.unique(index.astype(np.int64) * ring.members.size + after, return_counts=True)
    party, place = np.divmod(pair, ring.members.size)
    sent = np.bincount(index, minlength=many)
    most = np.zeros(many, np.int64)
    np.maximum.at(most, party, times)
    usual = np.zeros(many, np.int64)
    top = times == most[party]
    usual[party[top]] = place[top]
    # In how many of the rounds of its time: each exchange of the member that it follows begins one.
    own = after == usual[index]
    turns = np.bincount(
        distinct(index[own].astype(np.int64) * (ring.time.size + 1) + at[own] + 1) // (ring.time.size + 1),
        minlength=many,
    )
    low, high = np.full(many, ring.time.size), np.zeros(many, np.int64)
    np.minimum.at(low, index, at)
    np.maximum.at(high, index, at)
    spans = zip(np.maximum(low, 0), high + 1, usual, strict=True)
    rounds = np.array([np.count_nonzero(ring.place[a:b] == one) for a, b, one in spans], np.int64)
    return (most >= _KEEPS * sent) & (turns >= _KEEPS * np.maximum(rounds, sent))


def _by_chance(ring: _Ring) -> float:
    """Share of the ring's period in which a clock that keeps it has a place, as one of its accounts has."""
    period, rounds = ring.period, int(np.bincount(ring.place).min())
    # A clock is as regular as can be: the line through the times of all members' turns, moved on by a phase.
    turn = np.arange(ring.time.size) / ring.members.size
    slope, start = np.polyfit(turn, ring.time - ring.time[0], 1)
    beats = ring.time[0] + start + slope * np.arange(1, rounds - 1)
    time = (beats[None, :] + np.linspace(0, period, _PHASES, endpoint=False)[:, None]).astype(np.int64)
    index = np.repeat(np.arange(_PHASES), beats.size)
    return float(_fits(ring, time.ravel(), index, _PHASES).mean())


def _round(ring: _Ring) -> bool:
    """Whether clocks are set to the ring's period, as closely as its length tells."""
    period = ring.period
    rounds = ring.time.size / ring.members.size
    close = 2 * period / ring.members.size / rounds
    every, *others = _CLOCKS
    return min(period % every, -period % every, *(abs(period - one) for one in others)) <= close
