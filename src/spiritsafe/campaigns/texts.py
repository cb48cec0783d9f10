"""Texts of a tied pool: templates that its parties use and few others do.

One hand's work may have several texts, of which each account sends few: too little for any text to be a candidate, or for
texts to have most users in common. The ties of the accounts show what belongs together (decision 25).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import dense, distinct, kinds
from spiritsafe.campaigns._passes import grouped, row_type, where, within
from spiritsafe.campaigns._radix import ranked
from spiritsafe.campaigns.links import CAP
from spiritsafe.campaigns.templates import VARIED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

_THEIRS = 1 / 3
"""Share of a template's users that is of one pool, at least, and twice the pool's share of all, for it to be the pool's text; and
its users, next to the most that such a text has."""


class Texts:
    """The templates of a log, and who uses them in the slots of the choice.

    ``by`` gives the sorted exchanges of parties among ``rows``; ``strong``: layers that may tie parties; ``least``: users of a
    template in a pool, at least. A pool costs what its parties sent and hold, not what all did.
    """

    def __init__(
        self, log: Log, rows: Any, by: Callable[[Any], Any], strong: Sequence[Layer], *, least: int
    ) -> None:
        self._log, self._by, self._least = log, by, least
        early = rows[where(rows.size, lambda part: log.screening(rows[part]))]
        template, party = np.divmod(log.pairs(early, log.template), log.parties)
        self._users = np.bincount(template, minlength=log.template_key.size)
        self._sending = kinds(log.row_party[early])
        numbers = np.arange(party.size, dtype=row_type(party.size))
        self._start, order = grouped(numbers, lambda part: party[part], log.parties, log.shelf.empty)
        self._used = log.shelf.keep(template[order])
        self._strong = [_Held.of(layer) for layer in strong]
        self._told: set[bytes] = set()

    def of(self, members: Any) -> tuple[Any, Any] | None:
        """Exchanges and templates (int64, sorted) that ``members`` (int64, sorted) use much more than others.

        Others may ask the same, so only from ``members`` and those who hold something rare in common with one of them. None
        where these are not several templates, or were told before.
        """
        log = self._log
        used, place = dense(self._used[within(self._start, members)])
        inside = np.bincount(place, minlength=used.size)
        share = max(_THEIRS, 2 * members.size / self._sending)
        theirs = (inside >= self._least) & (inside > share * self._users[used])
        # A pool's customers have texts, too, each little next to what one hand works on.
        theirs &= inside >= _THEIRS * inside.max(where=theirs, initial=0)
        texts = used[theirs]
        if texts.size < 2 or texts.tobytes() in self._told:
            return None
        self._told.add(texts.tobytes())
        near = distinct(np.concatenate([members, *(one.near(members) for one in self._strong)]))
        found = self._by(near)
        varied = _varied(log, found[np.isin(log.template[found], texts)])
        if varied.size < 2:
            return None
        return log.shelf.keep(found[np.isin(log.template[found], varied)]), varied


@dataclass(frozen=True, slots=True)
class _Held:
    """Who holds what of one layer, of values that at most ``CAP`` parties hold: pairs by party, and by value."""

    of_party: Any
    value: Any
    of_value: Any
    party: Any

    @classmethod
    def of(cls, layer: Layer) -> _Held:
        rare = layer.population[layer.value] <= CAP
        party, value = layer.party[rare], layer.value[rare]
        by_value, order = ranked(value)
        of_party = np.searchsorted(party, np.arange(layer.designated.size + 1))
        of_value = np.searchsorted(by_value, np.arange(layer.population.size + 1))
        return cls(of_party, value, of_value, party[order])

    def near(self, members: Any) -> Any:
        """Parties (int64) that hold what one of ``members`` does, some of them several times."""
        held = distinct(self.value[within(self.of_party, members)])
        return self.party[within(self.of_value, held)]


def _varied(log: Log, rows: Any) -> Any:
    """Int64: templates of ``rows`` that stand in so many different prompts that none is an item that comes back."""
    prompts, prompt = dense(log.exact[rows])
    pair = distinct(log.template[rows].astype(np.int64) * prompts.size + prompt)
    return np.flatnonzero(np.bincount(pair // max(1, prompts.size)) >= VARIED[1])
