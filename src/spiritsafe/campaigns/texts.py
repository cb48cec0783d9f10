"""Texts of a tied pool: templates that its parties use and few others do.

One hand's work may have several texts, of which each account sends few: too little for any text to be a candidate, or for
texts to have most users in common. The ties of the accounts show what belongs together (decision 25).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import dense, distinct, kinds
from spiritsafe.campaigns._passes import where
from spiritsafe.campaigns.links import CAP
from spiritsafe.campaigns.templates import VARIED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

_THEIRS = 1 / 3
"""Share of a template's users that is of one pool, at least, and twice the pool's share of all, for it to be the pool's text; and
its users, next to the most that such a text has."""


class Texts:
    """The templates of a log, and who uses them in the slots of the choice.

    ``strong``: layers that may tie parties; ``least``: users of a template in a pool, at least.
    """

    def __init__(self, log: Log, rows: Any, strong: Sequence[Layer], *, least: int) -> None:
        self._log, self._rows, self._strong, self._least = log, rows, strong, least
        early = rows[where(rows.size, lambda part: log.screening(rows[part]))]
        self._template, self._party = np.divmod(log.pairs(early, log.template), log.parties)
        self._users = np.bincount(self._template, minlength=log.template_key.size + 1)
        self._sending = kinds(log.row_party[early])
        self._told: set[bytes] = set()

    def of(self, members: Any) -> tuple[Any, Any] | None:
        """Exchanges and templates (int64, sorted) that ``members`` (int64, sorted) use much more than others.

        Others may ask the same, so only from ``members`` and those who hold something rare in common with one of them. None
        where these are not several templates, or were told before.
        """
        log, rows = self._log, self._rows
        mine = np.zeros(log.parties, bool)
        mine[members] = True
        inside = np.bincount(self._template[mine[self._party]], minlength=self._users.size)
        # The last cell is for exchanges without a template (-1): it has no user.
        share = max(_THEIRS, 2 * members.size / self._sending)
        theirs = (inside >= self._least) & (inside > share * self._users)
        # A pool's customers have texts, too, each little next to what one hand works on.
        theirs &= inside >= _THEIRS * inside.max(where=theirs, initial=0)
        if theirs.sum() < 2 or theirs.tobytes() in self._told:
            return None
        self._told.add(theirs.tobytes())
        near = self._near(members)
        found = rows[where(rows.size, lambda part: theirs[log.template[rows[part]]])]
        found = found[near[log.row_party[found]]]
        varied = _varied(log, found)
        if varied.size < 2:
            return None
        return log.shelf.keep(found[np.isin(log.template[found], varied)]), varied

    def _near(self, members: Any) -> Any:
        """Bool by party: of ``members``, or it holds what one of them and at most ``CAP`` parties do."""
        near = np.zeros(self._log.parties, bool)
        near[members] = True
        for layer in self._strong:
            held = (layer.held_by(members)[1] > 0) & (layer.population <= CAP)
            near[layer.party[held[layer.value]]] = True
        return near


def _varied(log: Log, rows: Any) -> Any:
    """Int64: templates of ``rows`` that stand in so many different prompts that none is an item that comes back."""
    prompts, prompt = dense(log.exact[rows])
    pair = distinct(log.template[rows].astype(np.int64) * prompts.size + prompt)
    return np.flatnonzero(np.bincount(pair // max(1, prompts.size)) >= VARIED[1])
