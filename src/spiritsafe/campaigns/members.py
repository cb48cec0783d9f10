"""Membership: how probable it is that each party of a candidate belongs to the campaign, not beside it.

A two-component mixture over parties, fitted by expectation-maximisation: campaign members carry a load of the campaign's
size and nearly all their exchanges in it play its role; bystanders touch the same text once or twice. Where everything
that tied parties sent is judged, loads say nothing: bystanders are ordinary customers, who hardly ever play the role.

Parties that were gathered by role or by what they share may have nothing of the campaign's text. Where nearly all others
have it, that speaks against them, and neither what most others are nor their own role speaks for them any longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, gammaln, logit

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log

_BYSTANDER_MORE = 0.4
"""Chance that a bystander who used the text once uses it again."""
_OCTAVES = 7.0
"""Half of the bystanders use it as often as customers happen to: log-uniform over about e^7 exchanges."""
_SHAPES = (1.5, 30.0)
"""Bounds of the loads' shape (1/CV² of the rates): even loads sharpen membership, but never to a single number."""
_ODD = 0.05
"""Text that this share of the members have, at least, speaks against nobody."""
_ODD_PRIOR = 0.1
_NAMED = 0.1
"""Share of a role below which it is not the campaign's: the few who play it may be those beside it."""
_STRAY = 0.01
"""Share of an ordinary customer's exchanges that play an extraction role, generously."""


def membership(log: Log, rows: Any, *, whole: bool = False) -> tuple[Any, Any]:
    """Parties (int64) of ``rows`` and the probability (float) that each is a member.

    ``whole``: ``rows`` are all that the parties sent, not one text or role.
    """
    parties, index = np.unique(log.row_party[rows], return_inverse=True)
    count = np.bincount(index).astype(float)
    hits = np.bincount(index, weights=log.has_role(rows).astype(float))
    if parties.size < 3:
        return parties, np.ones(parties.size)
    role = float(np.clip(hits.sum() / count.sum(), 0.05, 0.95))
    if role < _NAMED and not whole:
        hits, role = np.zeros(parties.size), 0.05
    stray = _STRAY if whole else role / 4  # where no role is known, having none tells nobody from anybody
    weight = np.full(parties.size, 0.9)
    prior = 0.9
    text = _Text(log, rows, index)
    by_text = np.log(0.5 * (1 - _BYSTANDER_MORE) * _BYSTANDER_MORE ** (count - 1) + 0.5 / (count * _OCTAVES))
    for _ in range(25):
        rate = float(np.clip((weight * hits).sum() / (weight * count).sum(), stray, 0.98))
        plays = hits * np.log(rate / stray) + (count - hits) * np.log((1 - rate) / (1 - stray))
        odd = np.minimum(1.0, _as_low(text.common(weight), weight) / _ODD)
        # Others do the same work in their own words: their role says nothing about this campaign.
        plays = np.where(odd < 1, np.minimum(plays, 0.0), plays)
        before = np.where(odd < 1, np.minimum(prior, _ODD_PRIOR), prior)
        load = 0.0 if whole else _load(count, weight) - by_text
        weight = expit(logit(before) + plays + load + np.log(odd))
        prior = float(np.clip(weight.mean(), 0.5, 0.99))
    return parties, weight


def _load(count: Any, weight: Any) -> Any:
    """Log-likelihood of members' loads: zero-truncated negative binomial, as even as the members' loads are."""
    load = max(1.0, float((weight * count).sum() / weight.sum()))
    spread = float((weight * (count - load) ** 2).sum() / weight.sum())
    shape = float(np.clip(load**2 / max(spread - load, 1e-9), *_SHAPES))
    likelihood = gammaln(count + shape) - gammaln(shape) - gammaln(count + 1)
    likelihood += shape * np.log(shape / (shape + load)) + count * np.log(load / (shape + load))
    return likelihood - np.log1p(-((shape / (shape + load)) ** shape))


class _Text:
    """Which text of a candidate's exchanges several of its parties have: templates, and micro-clusters without one."""

    def __init__(self, log: Log, rows: Any, index: Any) -> None:
        near = log.near[rows].astype(np.int64)
        kind = np.where(log.template[rows] >= 0, log.template[rows], log.template_key.size + near)
        own = (log.template[rows] < 0) & (near < 0)
        _, self._kind = np.unique(kind, return_inverse=True)
        self._kind[own] = self._kind.max(initial=-1) + 1 + np.arange(own.sum())
        self._party = index
        pair = self._kind.astype(np.int64) * (int(index.max()) + 1) + index
        _, self._pair = np.unique(pair, return_inverse=True)

    def common(self, weight: Any) -> Any:
        """Float by party: how many exchanges of others have its most common text.

        ``weight`` float by party: how probable it is that the party belongs.
        """
        counts = weight[self._party]
        alone = np.bincount(self._pair, weights=counts)[self._pair]
        most = np.zeros(weight.size)
        np.maximum.at(most, self._party, np.bincount(self._kind, weights=counts)[self._kind] - alone)
        return np.rint(most)


def _as_low(value: Any, weight: Any) -> Any:
    """Float by party: the share of the others, by ``weight``, whose ``value`` is at most about twice this one's.

    Twice, since how much others have is a little less for who has much himself.
    """
    order = np.argsort(value, kind="stable")
    last = np.searchsorted(value[order], 2 * value + 1, side="right") - 1
    return (np.cumsum(weight[order])[last] - weight + 1.0) / (weight.sum() - weight + 1.0)
