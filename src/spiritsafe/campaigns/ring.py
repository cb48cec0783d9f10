"""Ring: accounts that share nothing with a campaign's but their place in the round in which one hand deals to all of them.

A dispatcher that deals to a fixed list of accounts comes to each of them after the same other one, round after round. Bare work
on cards, devices and addresses of its own is tied to a campaign by that alone. What is asked of an account: that it sends once a
round, always between the same two members. Independent customers of any habit do not; but a clock of the very same period keeps
its place, too, if it happens to strike where a member is missing. So nearly all accounts of the log that keep the ring's period
must have a place in it, since clocks would fall anywhere: nine in ten of who joins are then no clocks, or forty-nine in fifty
where people set clocks to the period (``_CLOCKS``) and it is not so uneven that a clock would lose its place. Who is much more
on time than members are is left out. And each joins only if it keeps its place beside all who join (ADR 31, ADR 32).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import dense, distinct, places, union
from spiritsafe.campaigns._passes import pieces, where

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log

_LEAST, _TURNS = 20, 3
"""Members that a ring has at least, and exchanges that each sends in the mean."""
_HABIT = 0.05
"""Accounts that may have a place by chance, in the mean: the fewer rounds there are, the more members it takes to tell."""
_SENT, _OFTEN = 4, 8
"""Exchanges from which an account may keep a period: where it is asked what else members are dealt, and who is none."""
_TICKS = 20
"""Steps of the log's clock that a period has at least: on a coarse clock all would seem in time."""
_FIXED = 0.8
"""Share of a ring's exchanges that come after the same other member as most of this one's."""
_KEEPS = 0.9
"""The same of who joins; and of the rounds between its first and its last exchange in which it sends."""
_MOST, _LOST = 0.8, 0.7
"""Share of a campaign's members that keep time before the others are asked for theirs; and where one keeps none."""
_IN_TIME, _LOOSE = 0.95, 2.0
"""Length of the mean of an account's places, as points of a circle, from which it keeps the ring's period. Who has no place in it
keeps it by so many places beside its own, as a clock may that strikes between two.
"""
_OFF = 0.1
"""Part of the period by which an exchange may miss its account's time and still be dealt."""
_FALSE, _SURE, _SURER = 0.01, 0.9, 0.98
"""Of those who join, the share that may be clocks, by how many that keep the period have no place in it; and the share that are
none if there were one more of these, so that few accounts do not join, of whom each could be a clock that strikes well: in any
ring, and in one whose period clocks are set to.
"""
_LATE, _LATER = 0.3, 0.5
"""Part of the members' ``_spread`` that an account has at least, in any ring, and in one whose period clocks are set to: they are
on time, what a queue deals comes in its turn.
"""
_FAR = 4.0
"""Medians by which an exchange may miss its account's time and count as it is: a very late one tells nothing of the rest."""
_MINUTE = 60_000_000
_CLOCKS = (5 * _MINUTE, *(_MINUTE * n for n in (1, 2, 3, 4, 6, 12)))
"""Periods that clocks are set to: multiples of the first, and the others."""
_PHASES = 256
_MANY = 64
"""Exchanges that tell an account of any habit, however few members a ring has."""


@dataclass(frozen=True, slots=True)
class _Ring:
    """A round of ``members`` (int64, in its order), its exchanges' times (int64, sorted) and who sent each (int, by place).

    ``period``: see ``_period``. ``length``: microseconds of a round in the mean, if no member misses one. ``spread``: see
    ``_spread``, the members' median, with no more than ``far`` of each exchange.
    """

    members: Any
    time: Any
    place: Any
    period: float
    length: float
    spread: float
    far: float

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
    of, row, tight = _in_time(log, ring, held)
    parties, index = dense(of)
    time = log.time[row]
    clocks = _round(ring)
    missed = _missed(index, time, parties.size, ring.length)
    late = _spread(index, missed, parties.size, ring.far) >= (_LATER if clocks else _LATE) * ring.spread
    fixed, always = _fits(ring, time, index, parties.size)
    fits = late & fixed & always
    if not fits.any():
        return nothing
    by_chance = min(_by_chance(ring), 1 - 1 / _PHASES)
    odds = by_chance / (1 - by_chance)
    # Clocks without a place tell how many have one, as if one more had been seen. Who has a place and misses a round is neither.
    without = int((late & ~fixed & tight[parties]).sum())
    sure = 1 - (without + 1) * odds / fits.sum()
    if without * odds > _FALSE * fits.sum() or sure < (_SURER if clocks and by_chance > _FALSE else _SURE):
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
    _, own, sent, keeps = _phases(place, log.time[every], home.size, _OFTEN)
    if keeps.sum() < max(_LEAST, _MOST * home.size):
        return np.zeros(home.size, bool)
    return (sent >= _SENT) & (np.abs(own) < _LOST * sent)


def dealt(log: Log, home: Any, rows: Any, every: Any) -> Any:
    """Sorted exchanges of the parties ``home`` that stand in their place of the round, where nearly all that they send does.

    Where a dispatcher is late now and then there is no order: then those that keep their account's time, of who keeps one period
    if most do (of few exchanges nearly all). ``rows`` int: the campaign's exchanges so far, which are kept; ``every``: all that
    they sent (``sent_by``), or some more did.
    """
    place = places(log.row_party[every], home, log.parties)
    every, place = every[place >= 0], place[place >= 0]
    if every.size <= rows.size:
        return rows
    before, most, _ = _before(place, home.size)
    if most.sum() / max(1, place.size - 1) >= _KEEPS:
        return union(rows, every[1:][before[place[1:]] == place[:-1]])
    at, own, sent, keeps = _phases(place, log.time[every], home.size, _SENT)
    if keeps.sum() < max(_LEAST, (_MOST if np.median(sent) >= _OFTEN else _KEEPS) * home.size):
        return rows
    off = np.abs(np.angle(at * np.conj(own[place]))) / (2 * np.pi)
    return union(rows, every[keeps[place] & (off <= _OFF)])


def _phases(place: Any, time: Any, many: int, least: int) -> tuple[Any, Any, Any, Any]:
    """Where each exchange stands in the period, a point of the unit circle; their sum, how many, and who keeps time, by sender.

    ``place`` int by exchange: its sender of ``many``; ``time`` int64, sorted; ``least`` exchanges has who keeps time.
    """
    period = _period(place, time)
    at = np.exp(2j * np.pi * ((time - time[:1]) % period / period))
    own, sent = _sums(place, at, many), np.bincount(place, minlength=many)
    fine = period >= _TICKS * max(1, int(np.gcd.reduce(np.diff(time))))
    return at, own, sent, fine & (sent >= least) & (np.abs(own) >= _IN_TIME * sent)


def _sums(index: Any, at: Any, many: int) -> Any:
    """Complex by index, of ``many``: the sum of the points ``at``."""
    return np.bincount(index, at.real, many) + 1j * np.bincount(index, at.imag, many)


def _period(place: Any, time: Any) -> float:
    """Microseconds between two exchanges of a sender, in the median, at least 1. ``place`` int, ``time`` int64, by time."""
    gap = _gaps(place, time)
    return max(1.0, float(np.median(gap))) if gap.size else 1.0


def _gaps(place: Any, time: Any) -> Any:
    """Int64: microseconds between each two exchanges of a sender, one after the other. ``place`` int, ``time`` int64, by time."""
    order = np.argsort(place, kind="stable")
    return np.diff(time[order])[np.diff(place[order]) == 0]


def _ring(log: Log, home: Any, rows: Any) -> _Ring | None:
    """The round in which the home's parties send; None where they have no order."""
    rows = rows[np.argsort(log.time[rows], kind="stable")]
    place = places(log.row_party[rows], home, log.parties)
    rows, place = rows[place >= 0], place[place >= 0]
    if home.size < _LEAST or rows.size < _TURNS * home.size:
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
    period, gap = _period(place, time), _gaps(place, time)
    # Whoever misses a round does not make it longer.
    length = max(1.0, float(gap.sum() / max(1.0, np.maximum(1, np.rint(gap / period)).sum())))
    missed = _missed(place, time, order.size, length)
    far = _FAR * float(np.median(missed))
    spread = float(np.median(_spread(place, missed, order.size, far)))
    return _Ring(home[order], time, place, period, length, spread, far)


def _missed(place: Any, time: Any, many: int, length: float) -> Any:
    """Float by exchange: how far from its sender's time of a round of ``length``, in the median, it comes."""
    first = np.full(many, time[-1:].max(initial=0))
    np.minimum.at(first, place, time)
    off = time - first[place]
    off = off - np.rint(off / length) * length
    return np.abs(off - _middle(place, off, many)[place])


def _spread(place: Any, missed: Any, many: int, far: float) -> Any:
    """Float by sender, of ``many``: the root of the mean square of what is ``missed``, of which no more than ``far`` counts.

    Without the greatest where there are more: one stray exchange does not make a clock late.
    """
    square = np.minimum(missed, far) ** 2
    sent, greatest = np.bincount(place, minlength=many), np.zeros(many)
    np.maximum.at(greatest, place, square)
    more = sent >= _OFTEN
    total = np.bincount(place, square, many) - np.where(more, greatest, 0.0)
    return np.sqrt(np.maximum(total, 0.0) / np.maximum(sent - more, 1))


def _middle(place: Any, values: Any, many: int) -> Any:
    """Float by sender, of ``many``: the upper median of its ``values``; 0 for none."""
    order = np.lexsort((values, place))
    sent = np.bincount(place, minlength=many)
    found = np.zeros(many)
    some = sent > 0
    found[some] = values[order[(np.cumsum(sent) - sent + sent // 2)[some]]]
    return found


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


def _in_time(log: Log, ring: _Ring, held: Any) -> tuple[Any, Any, Any]:
    """Party and row of the exchanges, within the ring's time, of those who keep its period and are not ``held``; by time.

    And by party whether it keeps the period as closely as a clock does (``_LOOSE``).
    """
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
    own = np.abs(turn) / np.maximum(sent, 1)
    most = (sent >= 0.5 * usual) & (sent <= 1.5 * usual)
    most[held] = False
    most[log.party[log.declared]] = False
    keeps = most & (sent >= _by_habit(ring, int(most.sum()))) & (own >= _IN_TIME)
    tight = own >= 1 - 0.5 * (2 * np.pi * _LOOSE / ring.members.size) ** 2
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
    return log.row_party[row].astype(np.int64), row, tight


def _by_habit(ring: _Ring, many: int) -> int:
    """Exchanges in as many rounds from which fewer than ``_HABIT`` of so many accounts have a place by chance, in the mean."""
    room = np.bincount(ring.place[:-1], np.diff(ring.time), ring.members.size)
    room = room / max(1.0, room.sum())
    return next((k for k in range(_TURNS, _MANY) if many * (room**k).sum() <= _HABIT), _MANY)


def _fits(ring: _Ring, time: Any, index: Any, many: int) -> tuple[Any, Any]:
    """Boolean by party: it sends nearly always after the same member; and that in nearly all rounds of its time.

    ``index`` int by exchange (by time): its party of ``many``.
    """
    at, after = ring.before(time)
    usual, _ = _most(index, after, many, ring.members.size)
    size = ring.time.size + 1
    turn = np.sort(ring.place.astype(np.int64) * size + np.arange(ring.time.size))

    def turns_of(place: Any, low: Any, high: Any) -> Any:
        return np.searchsorted(turn, place * size + high) - np.searchsorted(turn, place * size + low)

    # Where that member missed a round, the place begins with the one before it.
    low, high = (np.searchsorted(ring.time, time + off * ring.length) for off in (-0.5, 0.5))
    missed = (after == (usual[index] - 1) % ring.members.size) & (turns_of(usual[index], low, high) == 0)
    after = np.where(missed, usual[index], after)
    usual, most = _most(index, after, many, ring.members.size)
    sent = np.bincount(index, minlength=many)
    # In how many of the rounds of its time: each exchange of the member that it follows begins one.
    own = after == usual[index]
    turns = np.bincount(
        distinct(index[own].astype(np.int64) * size + at[own] + 1) // size,
        minlength=many,
    )
    low, high = np.full(many, ring.time.size), np.zeros(many, np.int64)
    np.minimum.at(low, index, at)
    np.maximum.at(high, index, at)
    rounds = turns_of(usual, np.maximum(low, 0), high + 1)
    return most >= _KEEPS * sent, turns >= _KEEPS * np.maximum(rounds, sent)


def _most(index: Any, place: Any, many: int, places: int) -> tuple[Any, Any]:
    """Int by party, of ``many``: the most frequent ``place`` (int by exchange, of ``places``) among its own, and how often."""
    pair, times = np.unique(index.astype(np.int64) * places + place, return_counts=True)
    party, value = np.divmod(pair, places)
    most, usual = np.zeros(many, np.int64), np.zeros(many, np.int64)
    np.maximum.at(most, party, times)
    top = times == most[party]
    usual[party[top]] = value[top]
    return usual, most


def _by_chance(ring: _Ring) -> float:
    """Share of the ring's period in which a clock that keeps it has a place, as one of its accounts has."""
    many = int(np.median(np.bincount(ring.place)))
    # Of the ring a clock may have all but its unevenness: the mean length of a round.
    starts = np.linspace(0, ring.length, _PHASES, endpoint=False)[:, None]
    time = (ring.time[0] + starts + ring.length * np.arange(many)).astype(np.int64).ravel()
    index = np.repeat(np.arange(_PHASES), many)
    order = np.argsort(time, kind="stable")
    fixed, always = _fits(ring, time[order], index[order], _PHASES)
    return float((fixed & always).mean())


def _round(ring: _Ring) -> bool:
    """Whether clocks are set to the ring's period, as closely as its length tells."""
    period = ring.period
    rounds = ring.time.size / ring.members.size
    close = 2 * period / ring.members.size / rounds
    every, *others = _CLOCKS
    return min(period % every, -period % every, *(abs(period - one) for one in others)) <= close
