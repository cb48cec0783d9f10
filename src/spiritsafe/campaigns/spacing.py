"""Spacing: accounts that keep out of each other's way, as the requests of one queue do (ADR 27).

A stream that is paced is steadier than chance, and so is the sum of enough clocks. But clocks tick beside each other at random:
only where somebody arranges them do accounts *avoid* each other. That shows in light accounts, too: one that sent three times has
three times not met anybody. So these are asked, since a crowd around a campaign would be the lightest of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spiritsafe.campaigns import coordination as co
from spiritsafe.campaigns._distinct import dense
from spiritsafe.campaigns.log import PARTS, SLOT, part_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.campaigns.evidence import View
    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log

MANIFEST = 20 * float(np.log(2))
"""Log-likelihood ratio of all of a group from which spacing tells members from others."""
_ASKED = 3.0
"""Log e-value from which it is asked what else could keep parties apart; below it shows nothing anyway."""
_MOST = 0.5
"""An address that more than this share has, as the only one that it shares, is one server's."""


def spaced(log: Log, seen: View, layers: Mapping[str, Layer]) -> co.Test:
    """Whether the third of the senders that sends least in the slots of the choice keeps out of the way of all.

    A sender is a party, or all parties in one place (``senders``). Nothing is shown where parties send in runs, as customers do
    whose jobs a vendor does one by one, nor by who sends most of a log: that may be its server's doing. A server that does one
    thing at a time keeps everybody apart: what the parties keep off strangers is taken off.
    """
    rows = seen.test[: co.MOST_ROWS]
    slots, slot = dense(log.time[rows] // SLOT)
    part = part_of(log.time[rows])
    party = np.searchsorted(seen.parties, log.row_party[rows])
    early = np.searchsorted(seen.parties, log.row_party[seen.screen])
    log_e = _of_the_lightest(party, early, slot, part)
    if log_e > 0 and co.runs(party):
        log_e = 0.0
    if log_e > _ASKED:
        of = senders(layers, seen.parties)
        log_e = min(log_e, _of_the_lightest(of[party], of[early], slot, part))
        others, inside = _others(log, seen, slots)
        strangers = _of_the_lightest(of[party], of[early], slot, part, others)
        log_e = log_e - max(0.0, strangers) if others.sum() >= inside else min(0.0, log_e)
    _, met = dense(slot * PARTS + part)
    return co.Test(
        "spaced_apart",
        "Do the accounts keep out of each other's way, as the requests of one queue do?",
        "a sender's exchanges, moved on within their ten minutes, are as likely as they are, whatever the others do",
        "exchanges that share their ten seconds with another of the accounts'",
        float((np.bincount(met)[met] > 1).mean()) if rows.size else 0.0,
        _by_chance(slot),
        log_e,
        int(rows.size),
        1.0,
        note="the third of the senders that sends least, against all",
    )


def _of_the_lightest(sender: Any, early: Any, slot: Any, part: Any, others: Any = None) -> float:
    """``co.spaced_apart`` of the third of the senders that sends least in ``early`` (int by exchange: its sender)."""
    if not sender.size:
        return 0.0
    sent = np.bincount(early, minlength=int(sender.max()) + 1)
    light = np.zeros(sent.size, bool)
    light[np.argsort(sent, kind="stable")[: sent.size // 3]] = True
    return co.spaced_apart(sender, slot, part, light, others)


def senders(layers: Mapping[str, Layer], parties: Any) -> Any:
    """Int by party of ``parties`` (int64, sorted): its sender. Who shares a device, a card, or the one address of most is one.

    A keyboard has one user at a time, a customer's gateway one queue for all its keys, and a vendor's server does its customers'
    work one by one. An address that no other of them has is a home or a telephone. Who shares several is no vendor's customer.
    """
    one, other, nodes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], int(parties.size)
    for layer in (layers[name] for name in ("device", "payment", "network") if name in layers):
        inside, holders = layer.held_by(parties)
        inside &= (holders > 1)[layer.value]
        party, value = np.searchsorted(parties, layer.party[inside]), layer.value[inside]
        if layer.name == "network":
            lone = (np.bincount(party, minlength=parties.size) == 1)[party]
            most = (np.bincount(value[lone], minlength=holders.size) > _MOST * parties.size)[value]
            party, value = party[lone & most], value[lone & most]
        held, place = dense(value)
        one.append(party)
        other.append(nodes + place)
        nodes += held.size
    ends = np.concatenate(one), np.concatenate(other)
    graph = coo_array((np.ones(ends[0].size, bool), ends), shape=(nodes, nodes))
    return dense(connected_components(graph, directed=False)[1][: parties.size])[1]


def apart(log: Log, rows: Any) -> Any:
    """Float by party of ``rows``, sorted: log-likelihood ratio of keeping out of the others' way.

    Zeros where they do not show it all together (``MANIFEST``), or send in runs.
    """
    rows = rows[np.argsort(log.time[rows], kind="stable")]
    parties, label = dense(log.row_party[rows])
    few = slice(0, co.MOST_ROWS)
    time = log.time[rows[few]]
    found = np.zeros(parties.size)
    if rows.size and not co.runs(label):
        won = co.keeps_apart(label[few], dense(time // SLOT)[1], part_of(time))
        found[: won.size] = won
    return found if found.sum() >= MANIFEST else np.zeros(parties.size)


def _others(log: Log, seen: View, slots: Any) -> tuple[Any, int]:
    """Float (slots, ``PARTS``): exchanges of everybody else in these slots (int64, sorted); how many are the candidate's."""
    known, everybody = log.crowding()
    others = everybody[np.searchsorted(known, slots)].astype(float)
    rows = seen.rows if seen.whole is None else seen.whole
    time = log.time[rows[~log.screening(rows)]]
    row = np.searchsorted(slots, time // SLOT)
    inside = row < slots.size
    inside[inside] = slots[row[inside]] == time[inside] // SLOT
    cell = row[inside] * PARTS + part_of(time[inside])
    return np.maximum(0.0, others - np.bincount(cell, minlength=others.size).reshape(others.shape)), cell.size


def _by_chance(slot: Any) -> float:
    """Share of exchanges that share their part of a slot with another where they fall anywhere in their slots (dense int)."""
    many = np.bincount(slot).astype(float)
    return float((many * (1 - (1 - 1 / PARTS) ** (many - 1))).sum() / max(1, slot.size))
