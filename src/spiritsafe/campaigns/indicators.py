"""Indicators: what the gateway matches inline and what can be shared, for each accused campaign.

A ``template`` indicator is a set of anchors (64-bit fingerprints of shared runs of text): an exchange matches when it
holds at least ``least`` of them. No prompt, no account, no identifier.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.verdict import Verdict

_MOST_ANCHORS = 64


def indicators(
    log: Log | None, record: dict[str, Any], told: Sequence[Verdict], *, version: int
) -> dict[str, Any]:
    """The content of ``indicators.json``. Only campaigns give indicators; a pool is no accusation."""
    found: list[dict[str, Any]] = []
    total = np.bincount(log.template[log.live & (log.template >= 0)]) if log else None
    for entry, verdict in zip(record["campaigns"], told, strict=True):
        if log is None or total is None or entry["label"] != "campaign":
            continue
        template, counts = np.unique(log.template[verdict.rows], return_counts=True)
        for key, count in zip(template.tolist(), counts.tolist(), strict=True):
            if key < 0:
                continue
            anchors = log.template_anchors[key][:_MOST_ANCHORS]
            elsewhere = int(total[key]) - count
            if elsewhere > count:
                continue  # it would match others more often than the campaign
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
    return {"schema": 1, "fingerprint_version": version, "indicators": found}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
