"""Skeletons: the runs of words that most prompts of a template have, the same for each provider that meets it.

An anchor is a hash of a run of masked tokens, chosen by the text around it alone (winnowing). Anchors inside a template's fixed
text are thus the same whoever reads it and whatever item stands beside; those across its edge change with the item and drop
out, being in few prompts. Only the slots of the choice are looked at, so that what is shared of a skeleton says nothing of the
slots on which coordination is tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import templates

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.stored import Ingest

LEAST_SHARE = 0.6
"""Share of a template's prompts that have an anchor of its skeleton."""
MOST = 64
_SAMPLE = 512
"""Prompts a template that are looked at: a share of 0.6 is then known to 0.04."""


def skeletons(taken: Ingest, log: Log, wanted: Any) -> dict[int, Any]:
    """The skeleton of each template in ``wanted`` (int): sorted anchors, uint64, at most ``MOST`` (the smallest).

    ``taken`` is what stage A left. A template seen in no slot of the choice has none.
    """
    chosen = _sample(log, np.unique(np.asarray(wanted, np.int64)))
    if not chosen.size:
        return {}
    flat, owner = _anchors(taken, chosen)
    prompts = np.bincount(log.template[chosen], minlength=int(log.template[chosen].max()) + 1)
    template = log.template[owner].astype(np.int64)
    order = np.lexsort((flat, template))
    flat, template = flat[order], template[order]
    begin = np.flatnonzero(np.append(True, (np.diff(template) != 0) | (np.diff(flat) != 0)))
    kept = begin[np.diff(np.append(begin, flat.size)) >= LEAST_SHARE * prompts[template[begin]]]
    mine, anchors = template[kept], flat[kept]
    ends = np.flatnonzero(np.diff(mine)) + 1
    parts = np.split(anchors, ends)
    heads = mine[np.concatenate([[0], ends])] if mine.size else mine
    return {
        int(head): np.sort(part)[:MOST]
        for head, part in zip(heads.tolist(), parts, strict=False)
        if part.size
    }


def _sample(log: Log, wanted: Any) -> Any:
    """Int64, sorted: at most ``_SAMPLE`` exchanges of each template, spread evenly over the slots of the choice."""
    rows = np.flatnonzero(log.live & np.isin(log.template, wanted))
    rows = rows[log.screening(rows)]
    rows = rows[np.argsort(log.template[rows], kind="stable")]
    template = log.template[rows]
    size = np.bincount(template, minlength=1) if rows.size else np.zeros(1, np.int64)
    nth = np.arange(rows.size) - np.searchsorted(template, template)
    step = -(-size[template] // _SAMPLE)
    return np.sort(rows[nth % np.maximum(step, 1) == 0])


def _anchors(taken: Ingest, rows: Any) -> tuple[Any, Any]:
    """Distinct anchors of ``rows`` (int64, sorted), uint64, and the row of each, int64."""
    flats: list[Any] = []
    owners: list[Any] = []
    for batch, here in taken.some(templates.COLUMNS, rows):
        for flat, offsets, _ in templates.each([batch]):
            flats.append(flat)
            owners.append(np.repeat(here, np.diff(offsets)))
    flat, owner = np.concatenate(flats), np.concatenate(owners)
    # A run that stands twice in one prompt, in its system text as well, is in one prompt.
    order = np.lexsort((flat, owner))
    flat, owner = flat[order], owner[order]
    first = np.append(True, (np.diff(owner) != 0) | (np.diff(flat) != 0))
    return flat[first], owner[first]
