"""Tests on crossings: whether artefacts and refused requests end at fellow members more often than chance brings them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import draws
from spiritsafe.campaigns.coordination import Test
from spiritsafe.campaigns.log import HOUR, screening

if TYPE_CHECKING:
    from spiritsafe.campaigns.crossings import Bodies, Crossings


@dataclass(frozen=True, slots=True)
class Pairs:
    """First crossings between each two parties, those of the screening slots first: they are what is known before.

    ``source``, ``target``, ``row`` int64 and ``tested`` bool (pairs,); ``half`` int64 (2·pairs,): the ends, sorted by
    party and then order; ``at`` int64 (pairs,): where the source's end stands in it; ``begin`` int64 (pairs,): where
    the source's ends begin. ``volume`` int64 by party.
    """

    source: Any
    target: Any
    row: Any
    tested: Any
    half: Any
    at: Any
    begin: Any
    volume: Any


def pairs(found: Crossings, volume: Any) -> Pairs:
    """Keep each unordered pair of parties once: a customer with two organizations is one coincidence, however busy."""
    early = screening(found.time)
    order = np.lexsort((np.arange(found.time.size), ~early))
    source, target = found.source[order], found.target[order]
    key = np.minimum(source, target) * volume.size + np.maximum(source, target)
    kept = np.sort(np.unique(key, return_index=True)[1])
    source, target = source[kept], target[kept]
    count = kept.size
    ends = np.concatenate([source, target])
    order_of_ends = np.lexsort((np.tile(np.arange(count), 2), ends))
    place = np.empty(2 * count, np.int64)
    place[order_of_ends] = np.arange(2 * count)
    return Pairs(
        source,
        target,
        found.row[order][kept],
        ~early[order][kept],
        np.concatenate([target, source])[order_of_ends],
        place[:count],
        np.searchsorted(ends[order_of_ends], source),
        volume,
    )


def redeemed(known: Pairs, parties: Any) -> Test | None:
    """Whether artefacts that cross from a member end at a member. ``parties`` int64: the members.

    A source's first partner does not count: it may be the same customer under another name. Null: each further partner
    is a draw from all parties it has not crossed with, in proportion to the exchanges in which they touch artefacts.
    """
    member = np.zeros(known.volume.size, bool)
    member[parties] = True
    mine = np.flatnonzero(known.tested & member[known.source] & (known.at > known.begin))
    if not mine.size:
        return None
    everyone = _left(known, known.volume, mine)
    inside = _left(known, known.volume * member, mine)
    chance = inside / np.maximum(1, everyone)
    hit = member[known.target[mine]]
    if not ((chance > 0) & (chance < 1)).any():
        return None
    return Test(
        "redeemed_by_another",
        "Is reasoning issued to one account handed in by another of the group?",
        "whoever else hands in an account's artefact, after the first, is a draw by volume from all users of artefacts",
        "artefacts that crossed to a member",
        float(hit.sum()),
        float(chance.sum()),
        draws.inside(chance, hit),
        int(mine.size),
        1.0,
    )


def _left(known: Pairs, volume: Any, mine: Any) -> Any:
    """The volume that a source may still cross to: all but its own and that of its earlier partners."""
    before = np.concatenate([[0], np.cumsum(volume[known.half])])
    used = before[known.at[mine]] - before[known.begin[mine]]
    return volume.sum() - volume[known.source[mine]] - used


def retried(sent: Bodies, parties: Any, total: int) -> Test | None:
    """Whether requests that members were refused are those that another member sends on. ``total``: all parties.

    Null: of a body's requests, which ones are refused has nothing to do with which ones another member repeats within
    a minute. Each body is an urn of its own in every hour, so that busy hours, which bring both, tell nothing; a pair of
    parties counts once.
    """
    member = np.zeros(total, bool)
    member[parties] = True
    rows = np.flatnonzero(member[sent.party])
    rows = rows[~screening(sent.time[rows])]
    follower = sent.follower[rows]
    followed = (follower >= 0) & member[follower]
    if not (followed.any() and sent.refused[rows].any()):
        return None
    hour = sent.time[rows] // HOUR
    _, urn = np.unique(np.stack([sent.body[rows], hour]), axis=1, return_inverse=True)
    urn = urn.ravel()
    size, marked = np.bincount(urn), np.bincount(urn, weights=followed).astype(np.int64)
    drawn = np.bincount(urn, weights=sent.refused[rows]).astype(np.int64)
    hits = np.bincount(urn, weights=sent.refused[rows] & followed).astype(np.int64)
    first = np.flatnonzero(followed)
    first = first[np.argsort(sent.time[rows[first]], kind="stable")]
    first = first[np.unique(urn[first], return_index=True)[1]]
    pair = np.full((2, size.size), -1, np.int64)
    pair[:, urn[first]] = np.sort(np.stack([sent.party[rows[first]], follower[first]]), axis=0)
    telling = np.flatnonzero((marked > 0) & (marked < size) & (drawn > 0) & (drawn < size))
    telling = telling[np.unique(pair[:, telling], axis=1, return_index=True)[1]]
    if not telling.size:
        return None
    return Test(
        "retried_by_another",
        "Are requests refused to one account sent again by another of the group within a minute?",
        "which of a body's requests are refused is independent of which ones another member repeats",
        "refused requests that another member sent on",
        float(hits[telling].sum()),
        float((drawn * marked / size)[telling].sum()),
        draws.enriched(hits[telling], drawn[telling], marked[telling], size[telling]),
        int(telling.size),
        1.0,
    )
