"""Clusters: groups of parties that may be one campaign. They propose; tests decide.

Nine sources of candidates: templates used by several parties (templates with the same users are merged, and those that may
be one instruction with other values in its slots are a candidate together, and what a popular text swallows is one); communities
of parties that work on the same items; communities tied by infrastructure; of large ones, the templates that are theirs,
and all that they send as one pool of items; exchanges that play the same extraction role without any shared text
(paraphrase); micro-clusters of texts without a template; dense blocks of the graph of parties and all they share;
parties between which artefacts or refused requests cross. Communities are Leiden's with
the constant Potts model (Traag et al. 2019), at two resolutions, because modularity cannot see small groups in large
graphs (Fortunato & Barthélemy 2007).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING, Any

import graspologic_native
import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from spiritsafe.campaigns import outvoted, traces
from spiritsafe.campaigns._distinct import dense, distinct, kinds
from spiritsafe.campaigns._passes import grouped, held_by_two, pieces, where, within
from spiritsafe.campaigns._radix import ordered, ranked
from spiritsafe.campaigns.items import items
from spiritsafe.campaigns.links import by_parts, graph
from spiritsafe.campaigns.log import STRONG
from spiritsafe.campaigns.peeling import dense_blocks
from spiritsafe.campaigns.shelf import Box
from spiritsafe.campaigns.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spiritsafe.campaigns.items import Items
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

LEAST_PARTIES = 5
MANY_PARTIES = 20
"""From so many on, a group may be judged though no role is recognised: intent by elimination."""
PICKED = frozenset({"role", "dense", "tied"})
"""Kinds whose exchanges were chosen by their role."""
BY_TIES = frozenset({"dense", "tied", "texts", "swept"})
"""Kinds that shared infrastructure chose, and something that the parties send."""
_WHATEVER = frozenset({"infrastructure", "swept"})
"""Kinds of everything that tied parties send."""
_RESOLUTIONS = (0.5, 0.02)
_BLOCKS = 8
_AT_ONCE = 1 << 10
"""Templates that are compared with all others at once."""
_SCALE = 1000.0
"""Weights and resolution are divided by it: the same objective, but on weights in bits the library stops far from it."""
_MARKED = 0.1
"""Share of extraction roles above which a micro-cluster draws in its neighbours; 1 of 100 innocent ones has as much."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A set of exchanges that may be one campaign's: ``rows`` int, sorted; ``kind`` says what tied them together."""

    kind: str
    rows: Any
    templates: Any
    crossed: bool = False
    """Crossings of the screening slots tied the parties, not what they hold in common."""
    outvoted: bool = False
    """Its text stands in the exchanges, which have another template."""

    @property
    def picked(self) -> bool:
        """True when the exchanges were chosen by their role: intent is then judged on all the parties send."""
        return self.kind in PICKED

    @property
    def tied(self) -> bool:
        """True when shared infrastructure chose the parties: sharing it is then no further evidence."""
        return self.kind in {"infrastructure", *BY_TIES} and not self.crossed

    @property
    def alike(self) -> bool:
        """True when near projections chose the exchanges: one mix of topics is then no further evidence."""
        return self.kind == "topic"


def candidates(log: Log, layers: dict[str, Layer], *, seed: int) -> list[Candidate]:
    """All candidates of a log, largest first; every one has exchanges of at least five undeclared parties."""
    open_rows = where(log.live.size, log.judged)
    sent, pool = _Sent(log, open_rows), items(log, open_rows)
    proposed = chain(
        _by_template(log, open_rows),
        _by_variants(log, open_rows),
        _by_outvoted(log, open_rows),
        _by_item(log, open_rows, sent, pool, seed),
        _by_layer(log, open_rows, sent, layers, seed),
        _by_role(log, open_rows),
        _by_topic(log, open_rows),
        _by_density(log, open_rows, sent, pool, layers),
        _by_crossing(log, sent, seed),
    )
    box = Box(log.shelf.folder)
    found = [replace(one, rows=box.keep(one.rows)) for one in proposed]
    seen: set[tuple[bytes, str]] = set()
    kept: list[Candidate] = []
    # Of candidates with the same exchanges stays the one chosen by least of the evidence; and a pool, whatever it does, since it
    # is judged by other rules. A pool of items that is all of one text is that text's candidate: it needs no sweep to be one.
    for one in sorted(found, key=lambda c: (-c.rows.size, c.tied, c.picked, c.kind != "template", c.kind)):
        key = blake2b(one.rows, digest_size=16).digest(), one.kind if one.kind in _WHATEVER else ""
        if key not in seen and _wide(log.row_party[one.rows]):
            seen.add(key)
            kept.append(one)
    return kept


def _wide(party: Any) -> bool:
    """Whether exchanges come from enough parties. A few exchanges of each tell; the rest need not be sorted."""
    few = party[:: max(1, party.size // 256)]
    return kinds(few) >= LEAST_PARTIES or kinds(party) >= LEAST_PARTIES


def _by_template(log: Log, rows: Any) -> Iterator[Candidate]:
    group = _same_users(*log.held(rows, log.template), log.parties)
    if not group.size:
        return
    # The last cell is for exchanges without a template (-1).
    of = np.append(group, [-1] * (log.template_key.size + 1 - group.size))
    start, order = grouped(rows, lambda part: of[log.template[part]], int(group.max()) + 1, log.shelf.empty)
    found, templates = ranked(group)
    ends = np.searchsorted(found, np.arange(start.size))
    for number in range(start.size - 1):
        mine = order[start[number] : start[number + 1]]
        yield Candidate("template", mine, templates[ends[number] : ends[number + 1]])


def _by_variants(log: Log, rows: Any) -> Iterator[Candidate]:
    """Templates that may be one instruction: a pool that uses each of its accounts once or twice has few with the same users."""
    if not log.variants:
        return
    having = log.having(rows, distinct(np.concatenate(log.variants)))
    for one in log.variants:
        held = np.sort(np.concatenate([having[template] for template in one.tolist()]))
        yield Candidate("template", log.shelf.keep(held), one)


def _by_outvoted(log: Log, rows: Any) -> Iterator[Candidate]:
    """Templates that a more frequent text swallows, where these are an instruction and not an item."""
    for one, mine in outvoted.apart(log, rows):
        yield Candidate("template", log.shelf.keep(mine), np.array([one]), outvoted=True)


def _same_users(template: Any, party: Any, parties: int) -> Any:
    """Int64 by template: its merged group, −1 for templates with few users; empty where all have. Both int, distinct pairs."""
    users = np.bincount(template)
    wide = np.flatnonzero(users >= LEAST_PARTIES)
    if not wide.size:
        return wide
    number = np.full(users.size, -1, np.int32)
    number[wide] = np.arange(wide.size)
    keep = number[template] >= 0
    uses = coo_array(
        (np.ones(keep.sum(), np.float32), (number[template[keep]], party[keep])), shape=(wide.size, parties)
    ).tocsr()
    # A party that uses very many templates (a benchmark's runner, a router) would make this quadratic.
    busy = np.asarray(uses.sum(axis=0)).ravel() > 100
    uses = csr_array(uses[:, np.flatnonzero(~busy)]) if busy.any() else uses
    size = users[wide]
    links: list[tuple[Any, Any]] = []
    for first, part in by_parts(uses, _AT_ONCE):
        both = part.tocoo()
        a, b = both.coords[0] + first, both.coords[1]
        same = both.data * 2 >= size[a] + size[b] - both.data
        links.append((a[same], b[same]))
    a, b = (np.concatenate(ends) for ends in zip(*links, strict=True))
    linked = coo_array((np.ones(a.size, np.int8), (a, b)), shape=(wide.size, wide.size))
    group = np.full(users.size, -1, np.int64)
    group[wide] = connected_components(linked, directed=False)[1]
    return group


def _by_item(log: Log, rows: Any, sent: _Sent, pool: Items, seed: int) -> Iterator[Candidate]:
    """Communities of parties that send the very same prompts, whole prompts being the items."""
    if not pool.count:
        return
    scratch = np.full(pool.count, -1, np.int32)
    for members in communities(_by_common_items(log, rows, pool), seed):
        inside = _pool_workers(log, pool.code, members, sent.by(members), scratch)
        # Items that members share; then everything of theirs that looks like it (same template or none).
        held = held_by_two(pool.code[inside], log.row_party[inside], scratch)
        shape = distinct(log.template[inside[held]])
        wider = inside[np.isin(log.template[inside], shape)]
        yield Candidate("items", log.shelf.keep(wider), shape[shape >= 0])


def _by_common_items(log: Log, rows: Any, pool: Items) -> csr_array:
    """The graph of parties by the items that both sent."""
    value, party = log.held(rows, pool.code)
    return graph(party, value, log.parties)


def _pool_workers(log: Log, code: Any, members: Any, inside: Any, scratch: Any) -> Any:
    """The exchanges of the parties that work on the common pool, not of those who met it once.

    ``inside`` rows of the exchanges of ``members`` (sorted), each of whom has one. A party stays if its share of common
    items is at least half of the median party's.
    """
    party = log.row_party[inside]
    who = np.searchsorted(members, party)
    common = np.bincount(who, weights=held_by_two(code[inside], party, scratch)) / np.bincount(who)
    return inside[(common >= np.median(common) / 2)[who]]


def _by_layer(log: Log, rows: Any, sent: _Sent, layers: dict[str, Layer], seed: int) -> Iterator[Candidate]:
    """What tied parties send: all of it, each role in it, and where they are many the texts that are theirs."""
    strong = [layer for name, layer in layers.items() if name in STRONG]
    if not strong:
        return
    groups = list(communities(_tied(strong, log.parties), seed))
    for layer in strong:
        big = np.flatnonzero(layer.population >= LEAST_PARTIES)
        groups += [
            layer.party[layer.value == v] for v in big[np.argsort(-layer.population[big], kind="stable")][:50]
        ]
    texts = Texts(log, rows, sent.by, strong, least=LEAST_PARTIES)
    for members in groups:
        inside = log.shelf.keep(sent.by(members))
        yield Candidate("infrastructure", inside, np.zeros(0, np.int64))
        yield from _each_role(log, "tied", inside)
        if members.size >= MANY_PARTIES:
            yield Candidate("swept", inside, np.zeros(0, np.int64))
            if (found := texts.of(members)) is not None:
                yield Candidate("texts", *found)


def _tied(strong: list[Layer], parties: int) -> csr_array:
    """The graph of parties by what they hold in common in any of these layers."""
    return sum(
        (graph(layer.party, layer.value, parties) for layer in strong), start=csr_array((parties, parties))
    )


def _by_role(log: Log, rows: Any) -> Iterator[Candidate]:
    """Exchanges with one extraction role and no template that many share: paraphrase leaves only the role."""
    for bit in range(len(log.role_names)):
        if not log.extraction >> bit & 1:
            continue
        mine = _playing(log, rows, bit)
        # Counted in the slots of the choice only: a choice by all slots would make the tested loads look even.
        early = np.bincount(log.row_party[mine[log.screening(mine)]], minlength=log.parties)
        mine = mine[early[log.row_party[mine]] >= 2]
        yield Candidate("role", log.shelf.keep(mine), distinct(log.template[mine]))


def _by_topic(log: Log, rows: Any) -> Iterator[Candidate]:
    """Exchanges of one micro-cluster of texts without a template: paraphrase on every call leaves them alike.

    Paraphrase that draws on few wordings makes templates here and there. Where the texts without one play an extraction
    role, so do those: templates near by that play it belong to the candidate, all others are other people's.
    """
    # The last cell is for exchanges without a template (-1).
    uses, plays = np.zeros((2, log.template_key.size + 1))
    for part in pieces(rows.size):
        fixed = rows[part]
        fixed = fixed[(log.template[fixed] >= 0) & log.screening(fixed)]
        uses += np.bincount(log.template[fixed], minlength=uses.size)
        plays += np.bincount(log.template[fixed], weights=log.has_role(fixed), minlength=uses.size)
    playing = (plays > 0) & (plays >= _MARKED * uses)
    start, order = grouped(rows, lambda part: log.near[part], log.topic_key.size, log.shelf.empty)
    for number in range(start.size - 1):
        part = order[start[number] : start[number + 1]]
        free = log.template[part] < 0
        seen = part[free & log.screening(part)]
        role = seen[log.has_role(seen)]
        if role.size >= _MARKED * seen.size and kinds(log.row_party[role]) >= LEAST_PARTIES:
            free |= playing[log.template[part]]
        one = log.shelf.keep(part[free])
        yield Candidate("topic", one, distinct(log.template[one]))


def _by_density(
    log: Log, rows: Any, sent: _Sent, pool: Items, layers: dict[str, Layer]
) -> Iterator[Candidate]:
    """Dense blocks of the graph of parties that play a role and everything they may share; of that, what has the role."""
    plays = np.zeros(log.parties, bool)
    for part in pieces(rows.size):
        plays[log.row_party[rows[part][log.has_role(rows[part])]]] = True
    rows = rows[where(rows.size, lambda part: plays[log.row_party[rows[part]]])]
    who: list[Any] = []
    what: list[Any] = []
    base = 0
    for value, party in _shared(
        log, rows, pool, [one for name, one in layers.items() if name in STRONG], plays
    ):
        if value.size:
            several = np.bincount(value)[value] >= 2
            who.append(party[several])
            what.append(dense(value[several])[1].astype(np.int32) + np.int32(base))
            base += int(several.sum())
    if not who:
        return
    for members in dense_blocks(
        np.concatenate(who), np.concatenate(what), log.parties, blocks=_BLOCKS, least=LEAST_PARTIES
    ):
        yield from _each_role(log, "dense", sent.by(members))


def _shared(
    log: Log, rows: Any, pool: Items, strong: Sequence[Layer], plays: Any
) -> Iterator[tuple[Any, Any]]:
    """Values and parties (int, distinct pairs, by value): items and templates of ``rows``, and what those hold who ``plays``."""
    yield log.held(rows, pool.code)
    yield log.held(rows, log.template)
    for layer in strong:
        kept = np.isin(layer.party, np.flatnonzero(plays))
        value, party = layer.value[kept], layer.party[kept]
        order = np.lexsort((party, value))
        yield value[order], party[order]


def _playing(log: Log, rows: Any, bit: int) -> Any:
    """Those of ``rows`` that have the role of this bit."""
    mask = np.uint64(1 << bit)
    return rows[where(rows.size, lambda part: (log.roles[rows[part]] & mask) != 0)]


def _each_role(log: Log, kind: str, inside: Any) -> Iterator[Candidate]:
    """What tied parties sent in each extraction role: one address may serve two campaigns."""
    for bit in range(len(log.role_names)):
        if log.extraction >> bit & 1:
            mine = _playing(log, inside, bit)
            if mine.size >= LEAST_PARTIES:
                yield Candidate(kind, log.shelf.keep(mine), distinct(log.template[mine]))


def _by_crossing(log: Log, sent: _Sent, seed: int) -> Iterator[Candidate]:
    """Communities of parties that redeem each other's artefacts or send each other's refused requests."""
    party, value = traces.screened(log)
    if not party.size:
        return
    for members in communities(graph(party, value, log.parties), seed):
        inside = sent.by(members)
        role = log.has_role(inside)
        if role.any():
            yield Candidate("tied", inside[role], distinct(log.template[inside[role]]), crossed=True)


class _Sent:
    """Which exchanges each party sent: an index, so that a group costs its own size and not the log's."""

    def __init__(self, log: Log, rows: Any) -> None:
        self._start, self._rows = grouped(
            rows, lambda part: log.row_party[part], log.parties, log.shelf.empty
        )

    def by(self, members: Any) -> Any:
        """Sorted exchanges of ``members`` (int)."""
        return ordered(self._rows[within(self._start, members)])


def communities(weights: Any, seed: int) -> Iterator[Any]:
    """Int64 arrays of party indices: components first, then Leiden (CPM) inside each, at two resolutions."""
    n = int(weights.shape[0])
    if not weights.nnz:
        return
    label = connected_components(weights, directed=False)[1]
    counts = np.bincount(label)
    many = np.flatnonzero(counts[label] >= LEAST_PARTIES)
    found, order = ranked(label[many])
    if many.size:
        yield from np.split(many[order], np.flatnonzero(np.diff(found)) + 1)
    large = np.flatnonzero(counts[label] > LEAST_PARTIES)
    if not large.size:
        return
    part = csr_array(weights[large][:, large])
    del weights  # a caller who keeps none gives its room back
    begins, ends = part.indptr.astype(np.int64), part.indices.astype(np.int32)
    weight = np.asarray(part.data, np.float64) / _SCALE
    del part
    for resolution in _RESOLUTIONS:
        _, found = graspologic_native.leiden_csr(
            begins,
            ends,
            weight,
            large.size,
            resolution=resolution / _SCALE,
            use_modularity=False,
            seed=seed,
            iterations=2,
        )
        community = np.fromiter(map(found.__getitem__, range(large.size)), np.int64, large.size)
        order = np.argsort(community, kind="stable")
        for members in np.split(large[order], np.flatnonzero(np.diff(community[order])) + 1):
            if LEAST_PARTIES <= members.size < n:
                yield np.sort(members)
