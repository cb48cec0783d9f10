"""Templates: the fixed text that many exchanges share, found from the log itself.

A template shows as a run of tokens that recurs. The kernel leaves fingerprints of such runs ("anchors": winnowed
shingles, Schleimer et al., SIGMOD 2003). Anchors that occur in the same exchanges (Jaccard at least one half) form a
component; a component is a template; an exchange belongs to the template that holds most of its anchors, to an instruction
before the question that it stands around (``company``, ADR 26). Whole-prompt similarity would miss a short instruction around
a long item (ADR 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spiritsafe.campaigns import _anchors
from spiritsafe.campaigns._ahead import ahead
from spiritsafe.campaigns._distinct import distinct
from spiritsafe.campaigns._frequent import frequent
from spiritsafe.campaigns._passes import pieces
from spiritsafe.campaigns._tally import Counts, Tally
from spiritsafe.campaigns.company import Company, Wholes, added, nested, numbered, variants
from spiritsafe.campaigns.outvoted import Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

Batch = tuple[Any, Any, Any]
"""Flat anchors (uint64), row offsets (int64) and whole-prompt hashes (uint64) of one batch."""
Entry = tuple[Any, Any, Any]
"""Flat ranks of frequent anchors (int32), row offsets (int64), and how many anchors each exchange has (int32), of one batch."""

LEAST = 4
VARIED = (4, 24)
"""Different prompts that a template stands in. What stands in fewer than the first is an item that comes back; what stands
in fewer than the second may be one that comes back in other words."""
_CLOSE, _PART = 0.8, 0.75
"""Jaccard index of anchors that stand in one text alone; share of what a text around it stands in, at most."""


@dataclass(frozen=True, slots=True)
class Templates:
    """Which template each row has.

    ``of_row`` int32 (rows,), -1 for none; ``key`` uint64 (templates,): smallest anchor, a stable name;
    ``anchors`` list of uint64 arrays, one a template; ``variants`` list of int32 arrays, sorted: templates that may be one
    instruction with other values in its slots, see ``company.variants``; ``outvoted``: see that module.
    """

    of_row: Any
    key: Any
    anchors: list[Any]
    variants: list[Any] = field(default_factory=list)
    outvoted: list[tuple[int, Any]] = field(default_factory=list)


def templates(
    batches: Callable[[], Iterable[Batch]],
    rows: int,
    *,
    least: int = LEAST,
    out: Any = None,
    folder: Path | None = None,
) -> Templates:
    """Find the templates of a log.

    ``batches()`` yields the anchor column of ``rows`` exchanges in row order, and may be called twice. ``out`` int32 (rows,):
    room for ``of_row``; ``folder``: for files of what is read again.
    """
    of_row = np.empty(rows, np.int32) if out is None else out
    found = frequent(ahead(batches()), least, folder)
    ranking = Ranking.of(*found)
    if not ranking.anchors.size:
        of_row[:] = -1
        return Templates(of_row, np.zeros(0, np.uint64), [])
    pairs = Tally(folder)
    with TemporaryFile(dir=folder) as held:
        count = 0
        for entry in Lookup(ranking).ranks(ahead(batches())):
            for one in entry:
                np.save(held, one, allow_pickle=False)
            pairs.add(_neighbours(*entry[:2], ranking.support))
            count += 1
        groups = grouped(ranking, pairs.counted())
        del pairs

        def entries() -> Iterator[Entry]:
            held.seek(0)
            for _ in range(count):
                ranks, offsets, lengths = (np.load(held, allow_pickle=False) for _ in range(3))
                yield ranks, offsets, lengths

        held_by, counted = groups.together(entries(), folder)
        wholes = Wholes.among(held_by, counted)
        frames = variants(wholes, held_by)
        company = Company.of(wholes, *added(groups.around(entries(), wholes, folder), groups.size.size))
        at, used, aside = 0, np.zeros(groups.texts, bool), Lost(groups.texts, rows, folder)
        for entry in entries():
            votes, lost = _votes(entry, groups, company)
            used[votes[votes >= 0]] = True
            of_row[at : at + votes.size] = votes
            aside.add(lost + at)
            at += votes.size
    small = aside.outvoted(groups.stands(held_by))
    used[[one for one, _ in small]] = True
    number, known = chosen(np.flatnonzero(used), ranking, groups)
    for part in pieces(rows):
        has = of_row[part] >= 0
        of_row[part][has] = number[of_row[part][has]]
    return Templates(of_row, known.key, known.anchors, *numbered(frames, small, number))


def _index(ranked: Any) -> tuple[Any, Any]:
    size = 1 << max(8, int(np.ceil(np.log2(ranked.size * 2 + 1))))
    keys = np.zeros(size, np.uint64)
    ranks = np.full(size, -1, np.int32)
    _anchors.number(ranked, keys, ranks)
    return keys, ranks


def _components(counted: Iterable[tuple[Any, Any]], support: Any) -> tuple[Any, Any]:
    """Int32 by rank, twice: components, and those of anchors that hardly ever stand alone (``_CLOSE``), in these."""
    ends: list[Any] = [np.zeros((3, 0), np.int32)]
    for all_keys, all_counts in counted:
        tied = (
            3 * all_counts >= 2 * support[-1]
        )  # no two anchors tie by less, however few exchanges they stand in
        keys, counts = all_keys[tied], all_counts[tied]
        a, b = np.divmod(keys, support.size)
        close = counts >= _CLOSE * (support[a] + support[b] - counts)
        ends.append(np.stack([a, b, close]).astype(np.int32)[:, _tie(counts, support[a], support[b])])
    a, b, close = np.concatenate(ends, axis=1)
    found: list[Any] = []
    for kept in (slice(None), close > 0):
        pairs = a[kept], b[kept]
        graph = coo_array((np.ones(pairs[0].size, np.int8), pairs), shape=(support.size, support.size))
        found.append(connected_components(graph, directed=False)[1].astype(np.int32))
    return found[0], found[1]


def _tie(together: Any, one: Any, other: Any) -> Any:
    """Whether anchors that stand in so many exchanges each have a Jaccard index of one half or more."""
    return 2 * together >= one + other - together


def _inner(component: Any, close: Any, ranking: Ranking) -> tuple[Any, ...]:
    """Texts inside a component that stand in a part of its exchanges: int32 by rank, -1 for none; and three arrays by text.

    These are int64 the exchanges it stands in, int64 its anchors, int32 the component.

    In how many exchanges a text stands is told by its median anchor: at its edges some stand in more.
    """
    most = np.zeros(int(component.max()) + 1, np.int64)
    np.maximum.at(most, component, ranking.support)
    size = np.bincount(close)
    # Ranks fall with support, so that each group's anchors are in order, the most frequent first.
    order = np.argsort(close, kind="stable")
    middle = order[np.cumsum(size) - size + size // 2]
    inside = ranking.support[middle]
    kept = (size > 1) & (inside <= _PART * most[component[middle]]) & (_varied(close, ranking) == len(VARIED))
    number = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
    return number[close], inside[kept], size[kept], component[middle[kept]]


def _varied(label: Any, ranking: Ranking) -> Any:
    """Int8 by label: in how many different prompts its anchors stand, by ``VARIED``."""
    bodies = np.zeros(int(label.max()) + 1, np.uint64)
    np.bitwise_or.at(bodies, label, ranking.seen)
    return np.searchsorted(VARIED, np.bitwise_count(bodies), side="right").astype(np.int8)


def _neighbours(ranks: Any, offsets: Any, support: Any) -> Any:
    pairs = np.empty(ranks.size + 1, np.int64)
    return pairs[: _anchors.neighbours(ranks, offsets, support, pairs)]


def _votes(entry: Entry, groups: Groups, company: Company) -> tuple[Any, Any]:
    ranks, offsets, lengths = entry
    out, wholes = np.empty(lengths.size, np.int32), company.wholes
    lost, inside = np.empty((2, ranks.size // 2 + 1), np.int64)
    texts = groups.component, groups.size, groups.varied, company.alike, wholes.start, wholes.of
    many = _anchors.vote(ranks, offsets, lengths, *texts, out, lost)
    more = _anchors.lost_inside(ranks, offsets, groups.inner, groups.inner_size, groups.host, out, inside)
    return out, np.concatenate([lost[:many], inside[:more] + (groups.size.size << 32)])


def _anchors_of(used: Any, label: Any, ranked: Any) -> list[Any]:
    """The anchors (uint64, sorted) of each of the labels ``used`` (sorted); ``label`` int32 by rank."""
    if not used.size:
        return []
    new = np.full(int(label.max()) + 2, -1, np.int32)  # the last cell is for no label (-1)
    new[used] = np.arange(used.size, dtype=np.int32)
    mine = new[label]
    kept = np.flatnonzero(mine >= 0)
    order = kept[np.argsort(mine[kept], kind="stable")]
    bounds = np.searchsorted(mine[order], np.arange(1, used.size))
    return [np.sort(group) for group in np.split(ranked[order], bounds)]


COLUMNS = ("anchors", "system_anchors", "exact")
"""What ``each`` reads of the sketch."""


def each(batches: Iterable[Any]) -> Iterator[Batch]:
    """Concatenate the anchors of prompt and system of sketches (Arrow record batches with ``COLUMNS``) row by row."""
    for batch in batches:
        parts = [batch.column(name) for name in COLUMNS[:2]]
        flats = [part.flatten().to_numpy(zero_copy_only=False) for part in parts]
        starts = [part.offsets.to_numpy().astype(np.int64) - part.offsets[0].as_py() for part in parts]
        lengths = [np.diff(start) for start in starts]
        offsets = np.concatenate([[0], np.cumsum(np.sum(lengths, axis=0))])
        flat = np.empty(int(offsets[-1]), np.uint64)
        begin = offsets[:-1].copy()
        for values, start, length in zip(flats, starts, lengths, strict=True):
            where = np.repeat(begin - start[:-1], length) + np.arange(values.size)
            flat[where] = values
            begin = begin + length
        yield flat, offsets, batch.column("exact").to_numpy(zero_copy_only=False)


# The same for a log in parts on different machines: what parts yield is added up by SQL, what remains is small.


@dataclass(frozen=True, slots=True)
class Ranking:
    """Anchors that stand in ``LEAST`` exchanges or more, most frequent first.

    ``anchors`` uint64, ``support`` int64: exchanges each stands in, ``seen`` uint64: see ``frequent``.
    """

    anchors: Any
    support: Any
    seen: Any

    @classmethod
    def of(cls, anchors: Any, support: Any, seen: Any) -> Ranking:
        """Put distinct ``anchors`` in order."""
        order = np.lexsort((anchors, -support))
        return cls(anchors[order], support[order], seen[order])


@dataclass(frozen=True, slots=True)
class Groups:
    """``component`` int32 by rank; by component ``size`` int64 and ``varied`` int8, see ``VARIED``.

    ``inner`` and by inner text ``inside``, ``inner_size``, ``host``: see ``_inner``. Inner texts are numbered on from the
    components where both are meant.
    """

    component: Any
    size: Any
    varied: Any
    inner: Any
    inside: Any
    inner_size: Any
    host: Any

    @property
    def texts(self) -> int:
        """How many components and inner texts there are."""
        return self.size.size + self.inside.size

    def stands(self, rows: Any) -> Any:
        """Int64: the exchanges of each component (``rows``), then of each inner text."""
        return np.append(rows, self.inside)

    def together(self, entries: Iterable[Entry], folder: Path | None = None) -> tuple[Any, Counts]:
        """In how many exchanges each component stands (int64), and which two together in how many."""
        rows = np.zeros(self.size.size, np.int64)
        counts = Tally(folder)
        for ranks, offsets, _ in entries:
            room = ranks.size + 1
            while True:
                buffer, known = np.empty(room, np.int64), rows.copy()
                n = _anchors.together(ranks, offsets, self.component, self.varied, known, buffer)
                if n >= 0:
                    break
                room *= 2
            rows = known
            counts.add(buffer[:n])
        return rows, counts.counted()

    def around(self, entries: Iterable[Entry], wholes: Wholes, folder: Path | None = None) -> Counts:
        """What stands around each component, in how many exchanges."""
        counts = Tally(folder)
        for ranks, offsets, lengths in entries:
            keys = np.empty(ranks.size // 2 + 1, np.int64)
            n = _anchors.around(
                ranks, offsets, lengths, self.component, self.varied, wholes.start, wholes.of, keys
            )
            counts.add(keys[:n])
        return counts.counted()


def counted(batches: Iterable[Batch]) -> tuple[Any, Any, Any]:
    """All anchors of one part: distinct uint64, exchanges each stands in (int32), and the bits of their bodies (uint64)."""
    return frequent(batches, 1)


class Lookup:
    """Finds the ranks of a part's anchors; made once a process, for all its parts."""

    def __init__(self, ranking: Ranking) -> None:
        self.ranking = ranking
        self._slots, self._ranks = _index(ranking.anchors)

    def ranks(self, batches: Iterable[Batch]) -> Iterator[Entry]:
        """What is known of each batch."""
        for anchors, offsets, _ in batches:
            out, out_offsets = np.empty(anchors.size + 1, np.int32), np.empty(offsets.size, np.int64)
            end = _anchors.look_up(self._slots, self._ranks, anchors, offsets, out, out_offsets)
            yield out[:end], out_offsets, np.diff(offsets).astype(np.int32)

    def pairs(self, batches: Iterable[Batch]) -> tuple[Any, Any, Any]:
        """Neighbour pairs of a part (``first * anchors + second``, int64, sorted), in how many exchanges, whether they tie there.

        What ties in the log ties in a part or more: the exchanges that are asked for add up over parts.
        """
        pairs, stands = Tally(), np.zeros(self.ranking.support.size, np.int64)
        for ranks, offsets, _ in self.ranks(batches):
            pairs.add(_neighbours(ranks, offsets, self.ranking.support))
            stands += np.bincount(ranks, minlength=stands.size)
        keys, counts = pairs.whole()
        return keys, counts, _tie(counts, *(stands[end] for end in np.divmod(keys, stands.size)))

    def together(
        self, batches: Iterable[Batch], groups: Groups
    ) -> tuple[Any, Iterator[tuple[Any, Any, Any]]]:
        """In how many exchanges of a part each component stands; which two together in how many, and whether ``nested`` there.

        Who is a part of another in the log is so in a part or more.
        """
        rows, counted = groups.together(self.ranks(batches))
        return rows, ((keys, count, nested(keys, count, rows)) for keys, count in counted)

    def around(self, batches: Iterable[Batch], groups: Groups, wholes: Wholes) -> Counts:
        """What stands around each component in a part."""
        return groups.around(self.ranks(batches), wholes)

    def votes(self, batches: Iterable[Batch], groups: Groups, company: Company) -> Iterator[tuple[Any, Any]]:
        """By batch: the component of each exchange (int32), -1 for none; and which lost it (``_anchors.vote``)."""
        for entry in self.ranks(batches):
            yield _votes(entry, groups, company)


def grouped(ranking: Ranking, counted: Iterable[tuple[Any, Any]]) -> Groups:
    """Components of anchors that keep company. ``counted``: pairs and their counts, see ``Lookup.pairs``; each pair once."""
    component, close = _components(counted, ranking.support)
    inner = _inner(component, close, ranking)
    return Groups(component, np.bincount(component), _varied(component, ranking), *inner)


def chosen(used: Any, ranking: Ranking, groups: Groups) -> tuple[Any, Templates]:
    """Int32 by component and inner text: its template or -1, and the templates (without ``of_row``) of those ``used``.

    A component's name is its smallest anchor, an inner text's its largest: both may have the smallest.
    """
    used = distinct(used[used >= 0]).astype(np.int32)
    number = np.full(groups.texts, -1, np.int32)
    number[used] = np.arange(used.size, dtype=np.int32)
    many = groups.size.size
    outer = _anchors_of(used[used < many], groups.component, ranking.anchors)
    inner = _anchors_of(used[used >= many] - many, groups.inner, ranking.anchors)
    key = np.array([*(one[0] for one in outer), *(one[-1] for one in inner)], np.uint64)
    return number, Templates(None, key, [*outer, *inner])
