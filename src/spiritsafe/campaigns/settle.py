"""Settling: many candidates tell of one campaign; each campaign is told once, with its members and their exchanges.

Accused candidates are taken largest first. One whose parties are mostly in a home of the same face (its main role)
joins it; the rest founds a home of its own. A candidate gathered by role alone that covers two separate accused templates
is two campaigns, not one, and founds nothing. One gathered by near text founds nothing either, and brings no party.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import intent, members, ring, rotation, spacing, strangers
from spiritsafe.campaigns._distinct import dense, distinct, union
from spiritsafe.campaigns.clusters import LEAST_PARTIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spiritsafe.campaigns.evidence import View
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict

    #: Parties and their probabilities (``members.membership``) of a verdict, by its identity and whether roles counted.
    Read = dict[tuple[int, bool], tuple[Any, Any]]

_ORDER = {"campaign": 0, "insufficient": 1, "pool": 2, "reseller": 2}
_MOSTLY = 0.5
_INSIDE, _LARGE, _APART = 0.8, 0.3, 0.2
"""Two templates are two campaigns if each has most of its parties inside, is not small, and they hardly overlap."""
_ONE_ROLE, _MINOR = 0.6, 0.4
_POOLS, _POOLED = frozenset({"pool", "reseller"}), 0.3
"""Of a pool this share must be a campaign's before the rest of it is asked for its turns."""


def settle(
    log: Log,
    told: list[Verdict],
    layers: Mapping[str, Layer] | None = None,
    excused: Sequence[Verdict] = (),
    carries: Callable[[Verdict], bool] = lambda _: True,
    explains: Callable[[Verdict, Any], bool] = lambda *_: True,
    read: Read | None = None,
) -> list[Verdict]:
    """One verdict a group of parties: accusations first, then what is left of the others. Sets members and rows.

    ``excused``: candidates that an innocent explanation fits; who stands in a home for such work only is taken out of it.
    ``carries``: whether a verdict's members carry the accusation alone; ``explains``: whether an excused one's explanation fits
    some of its parties alone (both ``alone``). ``read``: memberships that an earlier try has found, which no bar changes; those
    found here are added.
    """
    read = {} if read is None else read
    for verdict in told:
        verdict.joined = verdict.placed = None  # of an earlier try, under another bar
        _join(log, verdict, layers, carries, read)
    accused = [v for v in told if v.label == "campaign" and v.parties.size >= LEAST_PARTIES]
    face = {id(v): _face(log, v) for v in accused}
    late = {id(v): _pool_of(v, accused, face) for v in accused}
    accused.sort(
        key=lambda v: (v.candidate.kind == "infrastructure", late[id(v)], -v.parties.size, -v.rows.size)
    )
    before = [(v.parties, v.probability, v.rows, v.joined) for v in accused]
    while True:
        homes = _homes(log, accused, face, layers)
        for home in homes:
            _spare(log, home, excused, layers, explains)
        fallen = {id(home) for home in homes if not carries(home)}
        if not fallen:
            break
        # What joined a home that does not carry may be a campaign without it.
        for verdict, (verdict.parties, verdict.probability, verdict.rows, verdict.joined) in zip(
            accused, before, strict=True
        ):
            if id(verdict) in fallen:
                _withdraw(log, verdict)
        before = [one for one, verdict in zip(before, accused, strict=True) if id(verdict) not in fallen]
        accused = [verdict for verdict in accused if id(verdict) not in fallen]
    _rotate(log, homes, told, layers)
    for home in homes:
        _close(log, homes, home, layers)
    others = [v for v in told if v.label != "campaign"]
    others.sort(key=lambda v: (_ORDER[v.label], v.candidate.kind == "infrastructure", -v.view.rows.size))
    kept = _apart(log, homes)
    for verdict in others:
        known = np.concatenate([k.parties for k in kept]) if kept else np.zeros(0, np.int64)
        if verdict.parties.size >= LEAST_PARTIES and np.isin(verdict.parties, known).mean() <= _MOSTLY:
            kept.append(verdict)
    return kept


def _homes(
    log: Log,
    accused: list[Verdict],
    face: dict[int, str | None],
    layers: Mapping[str, Layer] | None,
) -> list[Verdict]:
    """The accused candidates, largest first, that are a campaign each, grown by those that are parts of them."""
    homes: list[Verdict] = []
    swept = [one for one in accused if one.candidate.kind == "swept"]
    grown = _gathered(log, homes, [one for one in accused if one.candidate.kind != "swept"], accused, face)
    for home in grown:
        # Who looked like a member of a small part may not look like one of the whole.
        _members(log, home, home.rows, layers, by_role=home.by_role, kept=home.joined)
    # Of these all is brought that they send: beside those with a text alone, loads and turns would tell nobody from anybody.
    before = {id(home): home.parties for home in homes}
    for home in _gathered(log, homes, swept, accused, face):
        if id(home) in before:
            strangers.of_texts(log, home, before[id(home)], layers)
    for verdict in (one for one in accused if one.candidate.alike):
        _widen(log, [home for home in homes if face[id(home)] == face[id(verdict)]], verdict)
    return homes


def _gathered(
    log: Log,
    homes: list[Verdict],
    some: list[Verdict],
    accused: list[Verdict],
    face: dict[int, str | None],
) -> list[Verdict]:
    """Let ``some`` of the ``accused`` join the homes, or found one. Returns the homes that grew, each once."""
    grown: dict[int, Verdict] = {}
    for verdict in some:
        if (
            verdict.candidate.alike
            or _coarse(verdict, accused, face)
            or (verdict.candidate.kind == "infrastructure" and face[id(verdict)] is None)
        ):
            continue
        near = [(_overlap(verdict, home), home) for home in homes]
        same = [(share, home) for share, home in near if face[id(home)] == face[id(verdict)]]
        share, home = max(same, key=lambda pair: pair[0], default=(0.0, None))
        if home is not None and share > _MOSTLY:
            _absorb(log, homes, home, verdict)
            grown[id(home)] = home
        else:
            _found(log, homes, verdict)
    return list(grown.values())


def _rotate(log: Log, homes: list[Verdict], told: list[Verdict], layers: Mapping[str, Layer] | None) -> None:
    """Let the homes have who takes turns with their members in a pool that is partly theirs."""
    for pool in (one for one in told if one.label in _POOLS and layers):
        for home in homes:
            if np.isin(pool.view.parties, home.parties).mean() >= _POOLED:
                held = np.concatenate([one.parties for one in homes if one is not home] or [home.parties[:0]])
                _join_by_turns(log, home, pool.view, layers or {}, held)


def _close(log: Log, homes: list[Verdict], home: Verdict, layers: Mapping[str, Layer] | None) -> None:
    """Let a home have what one hand deals to it, and who is tied to it by nothing but a place in its round; not who has none."""
    every = ring.sent_by(log, home.parties)
    strangers.of_round(log, home, every, layers)
    home.rows = ring.dealt(log, home.parties, home.rows, every)
    held = np.concatenate([one.parties for one in homes])
    home.placed, rows, sure = ring.joined(log, home.parties, home.rows, held)
    _take_in(home, home.placed, np.full(home.placed.size, sure), rows)


def _apart(log: Log, homes: list[Verdict]) -> list[Verdict]:
    """The homes, largest first, each exchange in one of them only."""
    used = np.zeros(log.acc.size, bool)
    kept: list[Verdict] = []
    for home in sorted(homes, key=lambda v: -v.rows.size):
        home.rows = home.rows[~used[home.rows]]
        stays = np.isin(home.parties, log.row_party[home.rows])
        home.parties, home.probability = home.parties[stays], home.probability[stays]
        if home.parties.size >= LEAST_PARTIES:
            used[home.rows] = True
            kept.append(home)
    return kept


def _spare(
    log: Log,
    home: Verdict,
    excused: Sequence[Verdict],
    layers: Mapping[str, Layer] | None,
    explains: Callable[[Verdict, Any], bool],
) -> None:
    """Take out of a home the crowd of an excused candidate that it swallowed, as far as no card or device ties it.

    A campaign's items may be a benchmark's: its text then chains the benchmark's users to it, and the tests, which the
    campaign carries, do not tell them apart. The candidate that the crowd is by itself was heard and explained. That may have
    been said of a mixture with the campaign: so it must fit the crowd alone, too. What ties of infrastructure chose is
    explained by them, not by its work.
    """
    among = np.zeros(log.acc.size, bool)
    _, index = dense(log.row_party[home.rows])
    for verdict in (one for one in excused if not one.candidate.tied):
        among[verdict.view.rows] = True
        crowd = np.bincount(index, weights=among[home.rows]) > _MOSTLY * np.bincount(index)
        among[verdict.view.rows] = False
        if crowd.size != home.parties.size or not crowd.any() or crowd.sum() > _MINOR * crowd.size:
            continue  # what explains a large part of a home should have explained the home
        if layers is not None:
            crowd &= ~members.tied(layers, home.parties, to=~crowd)
        if not crowd.any() or not explains(verdict, home.parties[crowd]):
            continue
        strangers.take_out(log, home, crowd)
        _, index = dense(log.row_party[home.rows])


def _face(log: Log, verdict: Verdict) -> str | None:
    """The extraction role that most of a verdict's role-playing exchanges have; None where none is in front."""
    found = intent.roles(log, verdict.rows)
    some = int(log.has_role(verdict.rows).sum())
    if not found or some < 0.05 * verdict.rows.size or found[0][1] < _ONE_ROLE * some:
        return None
    return found[0][0]


def _overlap(verdict: Verdict, home: Verdict) -> float:
    return float(np.isin(verdict.parties, home.parties).mean())


def _pool_of(verdict: Verdict, accused: list[Verdict], face: dict[int, str | None]) -> bool:
    """Whether a pool of items is that of an accused text's users: the text tells better what they do for the campaign."""
    return verdict.candidate.kind == "items" and any(
        one.candidate.kind == "template"
        and face[id(one)] == face[id(verdict)]
        and _overlap(verdict, one) >= _INSIDE
        for one in accused
    )


def _coarse(verdict: Verdict, accused: list[Verdict], face: dict[int, str | None]) -> bool:
    """Whether a candidate picked by role is mostly one accused template's or pool's, or has two of them in it."""
    if not verdict.candidate.picked:
        return False
    inside = [
        one
        for one in accused
        if one.candidate.kind in {"template", "items"}
        and face[id(one)] == face[id(verdict)]
        and one.parties.size >= _LARGE * verdict.parties.size
        and _overlap(one, verdict) >= _INSIDE
    ]
    return any(one.parties.size >= _MOSTLY * verdict.parties.size for one in inside) or any(
        _overlap(a, b) < _APART and _overlap(b, a) < _APART for n, a in enumerate(inside) for b in inside[:n]
    )


def _absorb(log: Log, homes: list[Verdict], home: Verdict, verdict: Verdict) -> None:
    """Let a home take in a verdict: those of its parties that no other home holds, and the exchanges of the home's.

    Of parties that the home has by a text or a role, a pool of items would bring all that they send without a template.
    So of these it brings what has the home's text, or a role.
    """
    known = home.parties
    held = np.concatenate([one.parties for one in homes])
    new = ~np.isin(verdict.parties, held)
    parties = np.concatenate([home.parties, verdict.parties[new]])
    probability = np.concatenate([home.probability, verdict.probability[new]])
    order = np.argsort(parties, kind="stable")
    home.parties, home.probability = parties[order], probability[order]
    if verdict.joined is not None:
        mine = np.intersect1d(verdict.joined, verdict.parties[new])
        home.joined = mine if home.joined is None else union(home.joined, mine)
    rows = verdict.rows[np.isin(log.row_party[verdict.rows], parties)]
    if verdict.candidate.kind == "items" and home.candidate.kind != "items":
        text = distinct(log.template[home.rows])
        mine = log.has_role(rows) | np.isin(log.template[rows], text[text >= 0])
        rows = rows[mine | ~np.isin(log.row_party[rows], known)]
    home.rows = union(home.rows, rows)


def _widen(log: Log, homes: list[Verdict], verdict: Verdict) -> None:
    """Exchanges of members whose text is near join them. That alone accuses nobody: innocent texts may lie as near.

    A crowd of judges writes like a campaign of judges. So a topic that passed every test, too, is for a person to see.
    """
    for home in homes:
        inside = np.isin(log.row_party[verdict.rows], home.parties)
        home.rows = union(home.rows, verdict.rows[inside])
    verdict.label = "insufficient"


def _found(log: Log, homes: list[Verdict], verdict: Verdict) -> None:
    """A home of its own for what no other home holds; what another one holds gives it the exchanges with a role."""
    held = np.concatenate([home.parties for home in homes]) if homes else np.zeros(0, np.int64)
    new = ~np.isin(verdict.parties, held)
    for home in homes:
        inside = np.isin(log.row_party[verdict.rows], home.parties) & log.has_role(verdict.rows)
        home.rows = union(home.rows, verdict.rows[inside])
    if new.sum() >= max(LEAST_PARTIES, _MOSTLY * new.size):
        verdict.parties, verdict.probability = verdict.parties[new], verdict.probability[new]
        verdict.rows = verdict.rows[np.isin(log.row_party[verdict.rows], verdict.parties)]
        homes.append(verdict)


def _join(
    log: Log,
    verdict: Verdict,
    layers: Mapping[str, Layer] | None,
    carries: Callable[[Verdict], bool],
    read: Read,
) -> None:
    """Members of one verdict, and which of their exchanges belong to it.

    Who plays a role may be the others in a mixture, not those who act under one hand. So where the members do not carry
    the accusation alone, they are told once more without their roles.
    """
    rows, verdict.by_role = verdict.view.rows, True
    if verdict.label == "campaign":
        tied = verdict.candidate.kind == "infrastructure"
        _members(log, verdict, members.working(log, rows) if tied else rows, layers, read=read)
        if carries(verdict):
            if tied and layers is not None:
                _join_by_turns(log, verdict, verdict.view, layers)
            return
        if not tied:
            verdict.by_role = False
            _members(log, verdict, rows, layers, by_role=False, read=read)
            if carries(verdict):
                return
    _withdraw(log, verdict)


def _join_by_turns(
    log: Log, verdict: Verdict, seen: View, layers: Mapping[str, Layer], held: Any = ()
) -> None:
    """Let a verdict have who takes turns with its members in ``seen``, but for those that others hold (``held``)."""
    joined, sure = rotation.joined(log, seen, verdict.parties, layers)
    free = ~np.isin(joined, held)
    _take_in(verdict, joined[free], sure[free], seen.rows[np.isin(log.row_party[seen.rows], joined[free])])


def _take_in(verdict: Verdict, joined: Any, sure: Any, rows: Any) -> None:
    """Add to a verdict the parties that ``joined``, how probable each is (``sure``, float), and their exchanges."""
    everybody = np.concatenate([verdict.parties, joined])
    order = np.argsort(everybody, kind="stable")
    verdict.parties = everybody[order]
    verdict.probability = np.concatenate([verdict.probability, sure])[order]
    verdict.rows = union(verdict.rows, rows)
    verdict.joined = joined if verdict.joined is None else union(verdict.joined, joined)


def _withdraw(log: Log, verdict: Verdict) -> None:
    """Tell all of a candidate's parties; of an accusation is left that the evidence does not carry one."""
    verdict.label = "insufficient" if verdict.label == "campaign" else verdict.label
    verdict.parties = distinct(log.row_party[verdict.view.rows])
    verdict.probability = np.ones(verdict.parties.size)
    verdict.rows = np.sort(verdict.view.rows)


def _members(
    log: Log,
    verdict: Verdict,
    rows: Any,
    layers: Mapping[str, Layer] | None,
    *,
    by_role: bool = True,
    kept: Any = None,
    read: Read | None = None,
) -> None:
    whole, key = verdict.candidate.kind == "infrastructure", (id(verdict), by_role)
    found = read.get(key) if read is not None else None
    if found is None and verdict.candidate.kind == "swept":
        found = rotation.dealt(log, rows, layers)
    elif found is None:
        # Of a home's exchanges some parties' are all that they sent and others' are one text's: that is no order to read.
        turns = None if whole or read is None else rotation.turns(log, rows)
        apart = None if verdict.candidate.tied or turns is None else spacing.apart(log, rows)
        found = members.membership(
            log, rows, whole=whole, layers=layers, by_role=by_role, turns=turns, apart=apart
        )
    if read is not None:
        read[key] = found
    parties, probability = found
    inside = probability >= _MOSTLY
    if kept is not None:
        joined = np.isin(parties, kept) & ~inside
        known = dict(zip(verdict.parties.tolist(), verdict.probability.tolist(), strict=True))
        probability[joined] = [known[party] for party in parties[joined].tolist()]
        inside |= joined
    verdict.parties, verdict.probability = parties[inside], probability[inside]
    verdict.rows = np.sort(rows[np.isin(log.row_party[rows], verdict.parties)])
