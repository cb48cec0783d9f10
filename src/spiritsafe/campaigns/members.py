"""Membership: how probable it is that each party of a candidate belongs to the campaign, not beside it.

A two-component mixture over parties, fitted by expectation-maximisation: campaign members carry a load of the campaign's
size and nearly all their exchanges in it play its role; bystanders touch the same text once or twice. Where everything
that tied parties sent is judged, loads say nothing: bystanders are ordinary customers, who hardly ever play the role.

What nearly all others have and one party lacks speaks against it: the campaign's text, most of its traffic in the
campaign, its pace, its turns, a card, device or address in common with some other member. Then neither what most others are
nor, without the text, its own role speaks for it any longer. Who lacks all of it, text, role and anything in common, is no
member.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, gammaln, logit

from spiritsafe.campaigns import evidence
from spiritsafe.campaigns._distinct import dense, distinct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

_BYSTANDER_MORE = 0.4
"""Chance that a bystander who used the text once uses it again."""
_OCTAVES = 7.0
"""Half of the bystanders use it as often as customers happen to: log-uniform over about e^7 exchanges."""
_SHAPES = (0.3, 30.0)
"""Bounds of the loads' shape (1/CV² of the rates): even loads sharpen membership, but never to a single number."""
_FEW, _MIXES = 3.0, (10.0, 30.0, 100.0, 1000.0)
"""Dirichlet concentration of a bystander's texts around the members' mix: some three in use; and what members may have."""
_ROUNDS = 25
_RUN = 5 * 60_000_000
"""Microseconds in which a benchmark's run, or a batch, sends what an account of a campaign sends in days."""
_FEW_RUN = 0.25
"""Of a larger share of the members it is the campaign's own pace to send all at once."""
_ODD = 0.1
"""What this share of the members lack, at least, speaks little against anybody."""
_ALONE = 0.05
"""Below this share of members that hold nothing in common, to be one of them speaks against a party as odd text does."""
_STRANGER = 1e-6
_MANIFEST = float(np.log(100))
"""Where a member's own turns typically show it like this, they speak against who takes none and is tied to none of these."""
_TIES = ("payment", "device", "network")
_RARE, _MOST = ("payment", "device"), float(np.log(100))
"""What strangers hardly ever share speaks for a party, too, up to this log-likelihood ratio."""
_CHANCE = 2.0
"""Taken off what a party's rhythm says for it: one stranger of seven shows as much by chance."""
_PURE, _PURE_IN_PART, _OF_TEMPLATE = 0.9, 0.2, 0.2
"""Share of what a tied party sends, or of a template's exchanges, that plays a role and speaks for the rest of it."""
_ODD_PRIOR = 0.1
_NAMED = 0.1
"""Share of a role below which it is not the campaign's: the few who play it may be those beside it."""
_STRAY = 0.01
"""Share of an ordinary customer's exchanges that play an extraction role, generously."""


def membership(
    log: Log,
    rows: Any,
    *,
    whole: bool = False,
    layers: Mapping[str, Layer] | None = None,
    by_role: bool = True,
    turns: Any = None,
    apart: Any = None,
) -> tuple[Any, Any]:
    """Parties (int64) of ``rows`` and the probability (float) that each is a member.

    ``whole``: ``rows`` are all that the parties sent, not one text or role. ``layers``: what they may have in common.
    ``by_role``: False where their roles are to tell nobody from anybody. ``turns``: float by party, log-likelihood ratio of
    being dealt to in turn (``coordination.rotates``); ``apart``: the same of keeping out of the others' way
    (``spacing.apart``), which is not asked of who sent once.
    """
    parties, index = dense(log.row_party[rows])
    count = np.bincount(index).astype(float)
    hits = np.bincount(index, weights=log.has_role(rows).astype(float))
    if parties.size < 3:
        return parties, np.ones(parties.size)
    role = float(np.clip(hits.sum() / count.sum(), 0.05, 0.95))
    if not by_role or (role < _NAMED and not whole):
        hits, role = np.zeros(parties.size), 0.05
    stray = _STRAY if whole else role / 4  # where no role is known, having none tells nobody from anybody
    weight = np.full(parties.size, 0.9)
    prior = 0.9
    text = _Text(log, rows, index)
    holding = None if whole or layers is None else _Holding(layers, parties)
    rare = None if whole or layers is None else _Holding(layers, parties, _RARE)
    inside = _Low(count / np.maximum(log.whole_load()[parties], count))
    pace = _Low(_pace(log.time[rows], index, count))
    for _ in range(_ROUNDS):
        was = weight, prior
        rate = float(np.clip((weight * hits).sum() / (weight * count).sum(), stray, 0.98))
        plays = hits * np.log(rate / stray) + (count - hits) * np.log((1 - rate) / (1 - stray))
        common = text.common(weight)
        odd = np.minimum(1.0, _Low(common, slack=1.0).share(weight) / _ODD)
        # Others do the same work in their own words: their role says nothing about this campaign.
        plays = np.where(odd < 1, np.minimum(plays, 0.0), plays)
        hasty = np.zeros(parties.size, bool)
        if not whole:
            odd *= np.minimum(1.0, inside.share(weight) / _ODD)
            run = np.minimum(1.0, pace.share(weight) / _FEW_RUN)
            # Who sends in one run what others spread over days does a task of his own: role and load make no member of him.
            odd, hasty = odd * run, run < 1
            plays = np.where(hasty, np.minimum(plays, 0.0), plays)
        lack = np.ones(parties.size)
        if holding is not None:
            ties = holding.tied(weight)
            lack = _lack(ties, weight)
            if (weight * (common > 1)).sum() >= 0.5 * weight.sum():
                # Without the text that most have, a role, or anything in common, nothing but a chance item links a party.
                lack = np.where((common <= 1) & (hits == 0) & ~ties, _STRANGER, lack)
        shares = 0.0 if rare is None else rare.shares(weight)
        strays = np.zeros(parties.size)
        if turns is not None and rare is not None and _median(turns, weight) >= _MANIFEST:
            shown = np.where(turns >= _MANIFEST, weight, 0.0)
            strays = np.where(rare.tied(shown), 0.0, np.minimum(turns, 0.0))
        mixed = 0.0 if whole else text.mixed(weight)
        unlike = (np.minimum(odd, lack / _ALONE) < 1) | (strays < 0)
        before = np.where(unlike, np.minimum(prior, _ODD_PRIOR), prior)
        load = 0.0 if whole else np.where(hasty, 0.0, by_load(count, weight))
        weight = expit(logit(before) + plays + load + mixed + shares + strays + np.log(odd) + np.log(lack))
        prior = float(np.clip(weight.mean(), 0.5, 0.99))
        if prior == was[1] and np.array_equal(weight, was[0]):
            break  # to the last bit: every further round would give the same
    return parties, weight if apart is None else _rhythmic(weight, count, apart)


def _rhythmic(weight: Any, count: Any, apart: Any) -> Any:
    """``weight`` (float by party) with what each one's own rhythm says, which tells nothing about others.

    What strangers show by chance is taken off what speaks for a party; who sent once has no rhythm.
    """
    shown = np.clip(np.where(apart > 0, np.maximum(apart - _CHANCE, 0.0), apart), -_MOST, _MOST)
    return expit(logit(weight) + np.where(count > 1, shown, 0.0))


def working(log: Log, rows: Any) -> Any:
    """Of everything that tied parties sent: what plays a role, what stands in a template that does, what pure ones send.

    Who harvests for half of his traffic may serve customers with the rest, and who is known by half of what he harvests sends the
    rest as well. So of those that are pure in part the rest counts where all of it together is paced, as no customers are.
    """
    role = log.has_role(rows)
    _, party = dense(log.row_party[rows])
    share = (np.bincount(party, weights=role) / np.bincount(party))[party]
    _, template = dense(log.template[rows])
    played = (np.bincount(template, weights=role) / np.bincount(template) >= _OF_TEMPLATE)[template]
    works = role | (share >= _PURE) | (played & (log.template[rows] >= 0))
    rest = (share >= _PURE_IN_PART) & ~works
    if evidence.pace(log, rows[rest])[0] >= _MANIFEST:
        works |= rest
    return rows[works]


def in_common(log: Log, rows: Any) -> tuple[Any, Any, Any]:
    """Parties (int64) of ``rows``; whether each plays a role in them; how many exchanges of others have its most common text."""
    parties, index = dense(log.row_party[rows])
    role = np.bincount(index, weights=log.has_role(rows)) > 0
    return parties, role, _Text(log, rows, index).common(np.ones(parties.size))


def tied(layers: Mapping[str, Layer], parties: Any, *, to: Any, rare: bool = False) -> Any:
    """Boolean by party: it holds a card, device or address (``rare``: no address) that one marked in ``to`` (boolean) holds."""
    return _Holding(layers, parties, _RARE if rare else _TIES).tied(to.astype(float))


def by_holdings(layers: Mapping[str, Layer], parties: Any, weight: Any) -> Any:
    """Float by party: log-likelihood ratio of its cards and devices, as ``weight`` float by party says who belongs."""
    return _Holding(layers, parties, _RARE).shares(weight)


def by_load(count: Any, weight: Any) -> Any:
    """Float by party: log-likelihood ratio of its ``count`` of exchanges, as a member and as one who happened to send them."""
    by_chance = 0.5 * (1 - _BYSTANDER_MORE) * _BYSTANDER_MORE ** (count - 1) + 0.5 / (count * _OCTAVES)
    return _load(count, weight) - np.log(by_chance)


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
        _, self._kind = dense(kind)
        self._kind[own] = self._kind.max(initial=-1) + 1 + np.arange(own.sum())
        self._party = index
        pair = self._kind.astype(np.int64) * (int(index.max()) + 1) + index
        first, self._pair, self._times = np.unique(
            pair, return_index=True, return_inverse=True, return_counts=True
        )[1:]
        self._pair_party, self._pair_kind = index[first], self._kind[first]

    def mixed(self, weight: Any) -> Any:
        """Float by party: log-likelihood ratio of drawing its texts from the members' mix, against having few of its own.

        Dirichlet-multinomial around the members' mix (Madsen et al., ICML 2005): a bystander's concentration is ``_FEW``, the
        members' is fitted, and where each member has texts of its own, too, this tells nobody from anybody. Never above 0:
        who asks once or twice has no mix.
        """
        total = np.bincount(self._kind, weights=weight[self._party])
        mix = (total / max(total.sum(), 1e-9) + 1e-9)[self._pair_kind]
        told = {c: self._drawn(mix, c, weight.size) for c in (_FEW, *_MIXES)}
        best = max(told, key=lambda c: float((weight * told[c]).sum()))
        return np.minimum(told[best] - told[_FEW], 0.0)

    def _drawn(self, mix: Any, concentration: float, parties: int) -> Any:
        prior = concentration * mix
        each = np.bincount(
            self._pair_party, weights=gammaln(prior + self._times) - gammaln(prior), minlength=parties
        )
        sent = np.bincount(self._pair_party, weights=self._times, minlength=parties)
        return each + gammaln(concentration) - gammaln(concentration + sent)

    def common(self, weight: Any) -> Any:
        """Float by party: how many exchanges of others have its most common text.

        ``weight`` float by party: how probable it is that the party belongs.
        """
        counts = weight[self._party]
        alone = np.bincount(self._pair, weights=counts)[self._pair]
        most = np.zeros(weight.size)
        np.maximum.at(most, self._party, np.bincount(self._kind, weights=counts)[self._kind] - alone)
        return np.rint(most)


class _Holding:
    """Which parties of a candidate hold which cards, devices and addresses."""

    def __init__(self, layers: Mapping[str, Layer], parties: Any, names: tuple[str, ...] = _TIES) -> None:
        party: list[Any] = [np.zeros(0, np.int64)]
        value: list[Any] = [np.zeros(0, np.int64)]
        outside: list[Any] = [np.zeros(0, np.int64)]
        first = 0
        self._strangers = 0
        for layer in (layers[name] for name in names if name in layers):
            inside, holders = layer.held_by(parties)
            rows = np.flatnonzero(inside)
            party.append(np.searchsorted(parties, layer.party[rows]))
            value.append(first + layer.value[rows])
            outside.append((layer.population - holders)[layer.value[rows]])
            first += layer.population.size
            self._strangers = max(self._strangers, layer.designated.size - parties.size)
        self._one = np.concatenate(party)
        _, at, self._held = np.unique(np.concatenate(value), return_index=True, return_inverse=True)
        self._outside = np.concatenate(outside)[at]

    def shares(self, weight: Any) -> Any:
        """Float by party: log-likelihood ratio of holding something with a member, against a stranger's chance of that.

        The chance is the share of the log's other parties that do; 0 for who holds nothing in common.
        """
        tied = self.tied(weight)
        members = float((weight * tied).sum() / max(weight.sum(), 1e-9))
        likely = np.bincount(self._held, weights=weight[self._one], minlength=self._outside.size) >= 0.5  # noqa: PLR2004
        strangers = (float(self._outside[likely].sum()) + 1) / (self._strangers + 1)
        return np.where(tied, np.clip(np.log(max(members, 1e-9) / strangers), 0.0, _MOST), 0.0)

    def tied(self, weight: Any) -> Any:
        """Boolean by party: it holds something that a likely member, other than itself, holds."""
        found = np.zeros(weight.size, bool)
        others = np.bincount(self._held, weights=weight[self._one])[self._held] - weight[self._one]
        found[self._one[others >= 0.5]] = True  # noqa: PLR2004 - one more likely member than not
        return found


def _median(values: Any, weight: Any) -> float:
    """The value that half of the parties by ``weight`` do not exceed."""
    order = np.argsort(values, kind="stable")
    half = np.searchsorted(np.cumsum(weight[order]), 0.5 * weight.sum())
    return float(values[order[min(half, order.size - 1)]])


def _pace(time: Any, index: Any, count: Any) -> Any:
    """Float by party: in how many spans of five minutes it sends, for each exchange. ``index`` int by exchange: its party."""
    span = (time - time.min()) // _RUN
    party = distinct(index * (int(span.max()) + 1) + span) // (int(span.max()) + 1)
    return np.bincount(party, minlength=count.size) / count


def _lack(tied: Any, weight: Any) -> Any:
    """Float by party: 1 where it is ``tied`` to a member, else the share of the others that lack that, too.

    ``weight`` float by party: how probable it is that the party belongs.
    """
    alone = float((weight * ~tied).sum())
    share = (alone - weight * ~tied + 1.0) / (weight.sum() - weight + 1.0)
    return np.where(tied, 1.0, share)


class _Low:
    """Which of the others have at most about twice a party's ``value``, float by party.

    Twice, since how much others have is a little less for who has much himself.
    """

    def __init__(self, value: Any, *, slack: float = 0.0) -> None:
        self._order = np.argsort(value, kind="stable")
        self._last = np.searchsorted(value[self._order], 2 * value + slack, side="right") - 1

    def share(self, weight: Any) -> Any:
        """Float by party: their share of the others by ``weight``."""
        below = np.cumsum(weight[self._order])[self._last]
        return (below - weight + 1.0) / (weight.sum() - weight + 1.0)
