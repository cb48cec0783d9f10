"""Rotation: accounts that take turns with the members of a campaign, on the same infrastructure.

Where each account words the work in its own way, a role or a text is recognised in some of them only. What infrastructure ties
to these is judged once more: as a group those left out must take turns among all by ``grounds.UNNAMED`` (an e-value: texts and
roles chose them, and say nothing about order), and each of them must look like a member by its own turns, load and cards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from spiritsafe.campaigns import coordination, evidence, members
from spiritsafe.campaigns._distinct import dense
from spiritsafe.campaigns.grounds import UNNAMED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.campaigns.evidence import View
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

_SURE = 0.9
_UNLIKE = 0.02
_NO_ROLE = float(np.log(0.1))
"""Log-likelihood ratio of playing no role that is recognised: by account, since a wording is an account's."""


def dealt(log: Log, rows: Any, layers: Mapping[str, Layer] | None = None) -> tuple[Any, Any]:
    """Parties (int64, sorted) of ``rows`` and how probable it is that one hand deals to each, by its turns and its load.

    ``rows``: all that tied parties sent, so that neither text nor role nor what ties them tells who is beside them. But an
    address is shared by many: who holds no member's card or device must take turns as members do who hold one (a conformal
    p-value of its turns among theirs above ``_UNLIKE``, so that at most as many members are lost).
    """
    parties, label = dense(log.row_party[rows])
    shown = turns(log, rows)
    count = np.bincount(label).astype(float)
    probability = expit(_NO_ROLE + shown + members.by_load(count, expit(shown)))
    if layers is not None:
        likely = probability >= 0.5  # noqa: PLR2004 - more likely than not
        bound = members.tied(layers, parties, to=likely, rare=True)
        theirs = np.sort(shown[bound & likely])
        rank = (1 + np.searchsorted(theirs, shown, side="right")) / (1 + theirs.size)
        probability = np.where(~bound & (rank <= _UNLIKE), np.minimum(probability, _UNLIKE), probability)
    return parties, probability


def turns(log: Log, rows: Any) -> Any:
    """Float by party of ``rows``, sorted: log-likelihood ratio of being dealt to in turn among all of them."""
    rows = rows[np.argsort(log.time[rows], kind="stable")]
    return coordination.rotates(dense(log.row_party[rows])[1], log.time[rows])


def joined(log: Log, seen: View, known: Any, layers: Mapping[str, Layer]) -> tuple[Any, Any]:
    """Parties (int64, sorted) of ``seen`` beside the ``known`` members that its rotation has too, and how probably.

    ``seen``: all that parties sent that infrastructure ties.
    """
    inside = np.isin(seen.parties, known)
    left = seen.parties[~inside]
    nobody = np.zeros(0, np.int64), np.zeros(0)
    if not left.size or not inside.any() or evidence.strength_of_turns(log, seen, left) < UNNAMED:
        return nobody
    rows = seen.rows[np.isin(log.row_party[seen.rows], seen.parties)]
    label = np.searchsorted(seen.parties, log.row_party[rows])
    score = (
        _NO_ROLE
        + coordination.rotates(label, log.time[rows])
        + members.by_load(np.bincount(label).astype(float), inside.astype(float))
        + members.by_holdings(layers, seen.parties, inside.astype(float))
    )
    probability = expit(score)
    new = ~inside & (probability >= _SURE)
    return seen.parties[new], probability[new]
