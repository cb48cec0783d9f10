"""What the later stages know of a log: per-exchange columns as arrays, accounts and parties as small tables.

Text is gone at this point. A *party* is who may act independently by declaration: the organization if known, else the
account. Accounts of one organization acting together hide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._passes import Distinct, grouped, pieces, row_type
from spiritsafe.campaigns.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3_600_000_000
"""Microseconds in an hour: times are integers of microseconds everywhere."""
SLOT = HOUR // 6
"""Candidates are chosen and tested in turns of ten minutes, so that a campaign can be tested in its first hour."""

PARTS = 60
"""Parts of ten seconds in a slot: how closely it is told who sends at the same time."""

#: Account-level columns that can tie two parties together, and what each costs in the average over tests.
LAYERS: dict[str, tuple[str, float]] = {
    "payment": ("payment_id", 1.0),
    "device": ("device_id", 1.0),
    "network": ("client_ip", 0.3),
    "cohort": ("account_created", 0.3),
    "identity": ("email_domain", 0.1),
    "client": ("user_agent", 0.02),
}

#: Layers that propose candidates.
STRONG = ("payment", "device", "network")


@dataclass(slots=True)
class Log:
    """One log after features: arrays over exchanges (``rows``), accounts and parties.

    ``live`` is False for duplicates. ``template`` int32, -1 for none; ``variants``, ``outvoted``: see ``templates.Templates``.
    ``roles`` uint64 bit mask over ``role_names``. ``party`` int32 by account; ``declared`` bool by account: a relation
    is on record. ``near`` int32 by exchange: the micro-cluster that its text is close to; ``topic`` int32: the same
    where it makes a stream of own text (-1 for none); ``topic_key`` uint64 by micro-cluster, see ``streams``.
    ``combination`` int32 by exchange: a code of its parameters, -1 for none; ``traces``: see ``traces.Traces``. Both
    are read last. ``row_party`` int32 by exchange: the party that sent it. ``shelf``: where later stages put what they
    make by exchange.
    """

    acc: Any
    time: Any
    exact: Any
    live: Any
    template: Any
    template_key: Any
    template_anchors: list[Any]
    roles: Any
    role_names: tuple[str, ...]
    extraction: int
    accounts: list[str]
    party: Any
    declared: Any
    parties: int
    present: set[str]
    near: Any
    topic: Any
    topic_key: Any
    variants: list[Any] = field(default_factory=list)
    outvoted: list[tuple[int, Any]] = field(default_factory=list)
    row_party: Any = None
    combination: Any = None
    traces: Any = None
    played: Any = None
    sent: Any = None
    ends: tuple[int, int] | None = None
    by_hour: Any = None
    crowd: tuple[Any, Any] | None = None
    shelf: Shelf = field(default_factory=Shelf)

    def __post_init__(self) -> None:
        """``row_party``, unless it was given."""
        if self.row_party is None:
            self.row_party = self.party[self.acc]

    def pieces(self) -> Iterator[Any]:
        """The rows of all exchanges but duplicates, int64, a piece at a time."""
        for part in pieces(self.live.size):
            yield np.flatnonzero(self.live[part]) + part.start

    def stream(self, rows: Any) -> Any:
        """int64 by row: its stream, as the account's number << 32 | ``kind`` (0 own text, templates, then topics)."""
        kind = np.where(
            self.topic[rows] >= 0, self.template_key.size + 1 + self.topic[rows], self.template[rows] + 1
        )
        return self.acc[rows].astype(np.int64) << 32 | kind

    def streams(self) -> int:
        """How many streams there are: memory grows with them and not with exchanges."""
        found = Distinct()
        for rows in self.pieces():
            found.add(self.stream(rows))
        return int(found.values().size)

    def span(self) -> tuple[int, int]:
        """Times of the first and the last exchange, in microseconds."""
        if self.ends is None:
            found = [
                (int(time.min()), int(time.max()))
                for time in map(self.time.__getitem__, self.pieces())
                if time.size
            ]
            self.ends = min(first for first, _ in found), max(last for _, last in found)
        return self.ends

    def hourly(self) -> Any:
        """int64: exchanges by hour, from that of the first one on."""
        if self.by_hour is None:
            low, high = (moment // HOUR for moment in self.span())
            self.by_hour = np.zeros(high - low + 1, np.int64)
            for rows in self.pieces():
                self.by_hour += np.bincount(self.time[rows] // HOUR - low, minlength=self.by_hour.size)
        return self.by_hour

    def crowding(self) -> tuple[Any, Any]:
        """The tested slots in which anybody sends (int64, sorted), and int32 (slots, ``PARTS``): exchanges in each part."""
        if self.crowd is None:
            found = Distinct()
            for rows in self.pieces():
                found.add(self.time[rows[~self.screening(rows)]] // SLOT)
            slots = found.values()
            sent = np.zeros(slots.size * PARTS, np.int32)
            for rows in self.pieces():
                time = self.time[rows[~self.screening(rows)]]
                sent += np.bincount(
                    np.searchsorted(slots, time // SLOT) * PARTS + part_of(time), minlength=sent.size
                ).astype(np.int32)
            self.crowd = slots, sent.reshape(-1, PARTS)
        return self.crowd

    def whole_load(self) -> Any:
        """int64 by party: all its exchanges."""
        if self.sent is None:
            self.sent = np.zeros(self.parties, np.int64)
            for rows in self.pieces():
                self.sent += np.bincount(self.row_party[rows], minlength=self.parties)
        return self.sent

    def screened_play(self) -> tuple[Any, Any]:
        """Exchanges, and exchanges with an extraction role, of each party in the screening slots (int64)."""
        if self.played is None:
            sent, played = np.zeros((2, self.parties), np.int64)
            for live in self.pieces():
                rows = live[self.screening(live)]
                party = self.row_party[rows]
                sent += np.bincount(party, minlength=self.parties)
                played += np.bincount(party[self.has_role(rows)], minlength=self.parties)
            self.played = sent, played
        return self.played

    def screening(self, rows: Any) -> Any:
        """Boolean by row: True in the slots used to choose candidates, False in those used to test them."""
        return screening(self.time[rows])

    def largest_product(self, rows: Any) -> float:
        """Share of ``rows`` that do the most frequent product's work; own affairs are no product."""
        shares = [
            float(((self.roles[rows] >> np.uint64(bit)) & np.uint64(1)).mean())
            for bit, name in enumerate(self.role_names)
            if name != "own_affairs" and not self.extraction >> bit & 1
        ]
        return max(shares, default=0.0) if rows.size else 0.0

    def pairs(self, rows: Any, value: Any) -> Any:
        """Distinct ``value * parties + party`` of ``rows``, sorted (int64). ``value`` int by exchange, negative for none."""
        found = Distinct()
        for part in pieces(rows.size):
            row = rows[part]
            mine = value[row]
            has = mine >= 0
            found.add(mine[has].astype(np.int64) * self.parties + self.row_party[row[has]])
        return found.values()

    def held(self, rows: Any, value: Any) -> tuple[Any, Any]:
        """The value and the party of each of ``pairs``, in their order, int32 where that suffices."""
        pair = self.pairs(rows, value)
        top = int(pair[-1]) // self.parties if pair.size else 0
        values, parties = np.empty(pair.size, row_type(top)), np.empty(pair.size, row_type(self.parties))
        for part in pieces(pair.size):
            values[part], parties[part] = np.divmod(pair[part], self.parties)
        return values, parties

    def judged(self, rows: Any) -> Any:
        """Boolean by row: no duplicate, and of an account of which no relation is on record."""
        return self.live[rows] & ~self.declared[self.acc[rows]]

    def having(self, rows: Any, templates: Any) -> dict[int, Any]:
        """By template of ``templates`` (int, sorted): those of ``rows`` that have it, in their order."""
        # The last cell is for exchanges without a template (-1).
        of = np.full(self.template_key.size + 1, -1)
        of[templates] = np.arange(templates.size)
        start, order = grouped(rows, lambda part: of[self.template[part]], templates.size, self.shelf.empty)
        return {one: order[start[n] : start[n + 1]] for n, one in enumerate(templates.tolist())}

    def has_role(self, rows: Any) -> Any:
        """Boolean by row: any extraction role."""
        return (self.roles[rows] & np.uint64(self.extraction)) != 0


def part_of(time: Any) -> Any:
    """Int64 by time (int64, microseconds): the part of its slot, of ``PARTS``."""
    return np.asarray(time, np.int64) % SLOT * PARTS // SLOT


def screening(time: Any) -> Any:
    """Boolean by time (int64, microseconds): in a slot used to choose candidates. Of each two slots, one is.

    Which one is drawn from the slot's number within the week (splitmix64's mixer), or a job at each full hour would
    always fall on the same side.
    """
    slot = np.asarray(time, np.int64) // SLOT
    pair = (slot // 2 % (7 * 24 * 3)).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    pair = (pair ^ (pair >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    pair = (pair ^ (pair >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (slot & 1) == ((pair ^ (pair >> np.uint64(31))) >> np.uint64(63)).astype(np.int64)
