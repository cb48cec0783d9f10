"""Indicators: what the gateway matches inline and what can be shared, for each accused campaign.

A ``template`` indicator is a set of anchors (64-bit fingerprints of shared runs of text): an exchange matches when it
holds at least ``least`` of them. A ``skeleton`` indicator is a set of hashes of whole prompts without their items: an exchange
matches when it has one of them. ``device`` and ``network`` indicators are SHA-256 of values that some members hold and
nobody else in the log: no prompt, no account, no identifier in clear.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns._distinct import dense, kinds, union
from spiritsafe.campaigns.templates import VARIED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict

_MOST_ANCHORS = 64
_LEAST_HOLDERS = 3
"""Members that hold a value, or sent a text, before it stands for the campaign and not for one of them."""
_MOST_VALUES = 1_000
_STRAY = 0.05
"""How often an outvoted text may stand elsewhere, next to the campaign: where work is dealt by topic it may be an item."""


def indicators(
    log: Log | None,
    record: dict[str, Any],
    told: Sequence[Verdict],
    layers: Mapping[str, Layer] | None = None,
    skeletons: Any = None,
    *,
    version: int,
) -> dict[str, Any]:
    """The content of ``indicators.json``. Only campaigns give indicators; a pool is no accusation.

    ``skeletons``: uint64 by exchange, 0 for none.
    """
    found: list[dict[str, Any]] = []
    total = _uses(log) if log else None
    for entry, verdict in zip(record["campaigns"], told, strict=True):
        if log is None or total is None or entry["label"] != "campaign":
            continue
        for key, count, own, swallowed in _used(log, verdict.rows):
            anchors = log.template_anchors[key][:_MOST_ANCHORS]
            elsewhere = int(total[key]) - own
            if elsewhere > count * (_STRAY if swallowed else 1):
                continue  # it would match others more often than the campaign, or may be an item
            found.append(
                {
                    "indicator_id": f"i-{_digest(entry['campaign_id'], f'{int(log.template_key[key]):016x}')[:16]}",
                    "campaign_id": entry["campaign_id"],
                    "kind": "template",
                    "anchors": [f"{int(anchor):016x}" for anchor in anchors],
                    "least": min(2, len(anchors)),
                    "exchanges": count,
                    "elsewhere": elsewhere,
                    "valid_from": entry["first_seen"],
                }
            )
        if skeletons is not None:
            found += _worded(log, skeletons, verdict, entry)
        for kind in ("device", "network"):
            if layers is not None and kind in layers:
                found += _held(kind, layers[kind], verdict.parties, entry)
    return {"schema": 1, "fingerprint_version": version, "indicators": found}


def _used(log: Log, rows: Any) -> list[tuple[int, int, int, bool]]:
    """Templates that may stand for the campaign: how many of ``rows`` have each, how many hold it, and whether it is outvoted.

    At least three members sent it, or members in many different prompts; others are items that one of them met. A text that is
    outvoted stands for it where half of the exchanges hold it of those that have what wins.
    """
    has = np.sort(rows[log.template[rows] >= 0])
    if not has.size:
        return []
    template, which = dense(log.template[has])
    ends = np.cumsum(np.bincount(which, minlength=template.size))[:-1]
    voted = dict(zip(template.tolist(), np.split(has[np.argsort(which, kind="stable")], ends), strict=True))
    held, swallowed, shown = dict(voted), dict.fromkeys(voted, 0), set[int]()
    for one, lost in log.outvoted:
        inside = lost[has[np.searchsorted(has, lost).clip(max=has.size - 1)] == lost]
        if not inside.size:
            continue
        winner = int(np.bincount(log.template[inside]).argmax())
        swallowed[one] = int(inside.size)
        if 2 * (log.template[inside] == winner).sum() >= voted[winner].size:
            held[one], shown = union(voted.get(one, rows[:0]), inside), shown | {one}
    return [
        (one, int(sent.size), len(voted.get(one, ())) + swallowed[one], one in shown)
        for one, sent in sorted(held.items())
        if kinds(log.row_party[sent]) >= _LEAST_HOLDERS or kinds(log.exact[sent]) >= VARIED[1]
    ]


def _uses(log: Log) -> Any:
    """int64 by template: its exchanges, and what an outvoted one loses; what others lose is in no list."""
    total = np.zeros(log.template_key.size, np.int64)
    for rows in log.pieces():
        template = log.template[rows]
        total += np.bincount(template[template >= 0], minlength=total.size)
    for one, lost in log.outvoted:
        total[one] += int(np.count_nonzero(log.live[lost]))
    return total


def _worded(log: Log, skeletons: Any, verdict: Verdict, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """One indicator of all skeletons in which at least three members asked and nobody else did, or none."""
    rows = verdict.rows[skeletons[verdict.rows] != 0]
    distinct, of = dense(skeletons[rows])
    if not distinct.size:
        return []
    pairs = np.unique(np.stack([of.reshape(-1), log.row_party[rows]]), axis=1)
    holders = np.bincount(pairs[0], minlength=distinct.size)
    inside = np.zeros(skeletons.size, bool)
    inside[rows] = True
    elsewhere = np.zeros(distinct.size, bool)
    for live in log.pieces():
        others = skeletons[live[~inside[live]]]
        place = np.searchsorted(distinct, others).clip(max=distinct.size - 1)
        elsewhere[place[distinct[place] == others]] = True
    own = np.flatnonzero((holders >= _LEAST_HOLDERS) & ~elsewhere)
    if not own.size:
        return []
    most = own[np.argsort(-holders[own], kind="stable")][:_MOST_VALUES]
    return [
        {
            "indicator_id": f"i-{_digest(entry['campaign_id'], 'skeleton')[:16]}",
            "campaign_id": entry["campaign_id"],
            "kind": "skeleton",
            "values": sorted(f"{int(value):016x}" for value in distinct[most]),
            "least": 1,
            "exchanges": int(np.isin(of, most).sum()),
            "elsewhere": 0,
            "valid_from": entry["first_seen"],
        }
    ]


def _held(kind: str, layer: Layer, parties: Any, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """One indicator of all values that at least three members hold and nobody else does, or none."""
    _, holders = layer.held_by(parties)
    own = np.flatnonzero((holders >= _LEAST_HOLDERS) & (holders == layer.population))
    if not own.size:
        return []
    most = own[np.argsort(-holders[own], kind="stable")][:_MOST_VALUES]
    values = sorted(hashlib.sha256(layer.named(value).encode()).hexdigest() for value in most.tolist())
    return [
        {
            "indicator_id": f"i-{_digest(entry['campaign_id'], kind)[:16]}",
            "campaign_id": entry["campaign_id"],
            "kind": kind,
            "values": values,
            "least": 1,
            "parties": kinds(layer.party[np.isin(layer.value, most)]),
            "elsewhere": 0,
            "valid_from": entry["first_seen"],
        }
    ]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
